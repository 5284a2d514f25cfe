"""Standard streams that are closed: a place for every one of them, before anything is opened or written."""

from __future__ import annotations

import os
import sys


def settle_streams() -> None:
    """Give every standard stream that is closed (``>&-``) a place: nothing is read there, and what is written is lost.

    Python has None in its place, at which every ``print`` would fail in the middle of paid work. Its number is taken,
    too: else the next file that is opened gets it, and what was meant for the terminal is written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - as the real ones are
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # A number of its own: 1 may be a file that somebody else opened. Never closed, so nobody warns of it.
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
