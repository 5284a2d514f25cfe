"""Callbacks of YunApi: none are documented, so tasks are polled.

The gateway behind the standard works keeps a ``notify_hook`` with each task, and a twin has a page about web hooks
whose content is not known. What such a hook would deliver nobody says, and avatarkit neither sends nor reads one.
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = None
"""No form of a callback is known; a receiver has no path for this provider."""
