"""How a bulk run is done."""

from __future__ import annotations

import math
import os

import attrs

from avatarkit.errors import InvalidRequest


@attrs.frozen(kw_only=True)
class BulkOptions:
    """How a run is done.

    Attributes:
        out: folder or object-store URL that gets the files.
        name: template of their names: ``{key}``, ``{title}``, ``{row}``, ``{provider}`` or any column.
        sidecar: whether each file gets a JSON file with its facts beside it.
        budget: the most to spend, in the provider's unit; what a job may cost is set aside before it is submitted. None
            keeps what the run had before, ``math.inf`` lifts it.
        default_cost: what a job is taken to cost where no price is published.
        retries: how often a job that failed by the provider's fault is submitted again; each is billed.
        max_failures: failures in a row after which the run submits no more; 0: never.
        submits: uploads and submissions at once.
        downloads: downloads at once.
        run: name of the run in the ledger.
        base: the folder where relative paths begin; None is the manifest's own.
        encoding: of a CSV's text, such as ``gb18030``; None keeps what the run had before, else it is told by the file.

    """

    out: str | os.PathLike[str] = "."
    name: str = "{key}"
    sidecar: bool = False
    budget: float | None = None
    default_cost: float | None = None
    retries: int = 2
    max_failures: int = 20
    submits: int = 16
    downloads: int = 8
    run: str = "main"
    base: str | os.PathLike[str] | None = None
    encoding: str | None = None

    def __attrs_post_init__(self) -> None:
        wrong = [
            *(_text(name, getattr(self, name)) for name in ("name", "run")),
            *(_amount(name, getattr(self, name)) for name in ("budget", "default_cost")),
            *(_count(name, getattr(self, name), 0) for name in ("retries", "max_failures")),
            *(_count(name, getattr(self, name), 1) for name in ("submits", "downloads")),
            "" if isinstance(self.out, os.PathLike) else _text("out", self.out),
        ]
        if problems := [each for each in wrong if each]:
            raise InvalidRequest(problems)


def _text(name: str, value: object) -> str:
    good = isinstance(value, str) and value.strip()
    return "" if good else f"{name}: {value!r} found, a text allowed"


def _amount(name: str, value: object) -> str:
    # Not a number would hold nothing back: every comparison with it is false.
    good = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)
    if name != "budget" and value is not None:
        good = good and math.isfinite(value)  # type: ignore[arg-type]
    return "" if good else f"{name}: {value!r} found, a number from 0 allowed"


def _count(name: str, value: object, least: int) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return "" if good else f"{name}: {value!r} found, a whole number from {least} allowed"
