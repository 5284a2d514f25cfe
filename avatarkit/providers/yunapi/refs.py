"""What a task or a model is called at YunApi, as one word.

The vendor's own ids are no names: ``32`` may be a video of the V2 API, a video of the fast API and a trained model at
the same time, and once on each line (``line_type``). So handles carry family, line and id: ``v2:1:32``. Works of the
standard API have ids of their own kind and are called by these alone.
"""

from __future__ import annotations

from typing import Final

import attrs

STANDARD: Final = "std"
CLEAN: Final = "clean"
V2: Final = "v2"
FAST: Final = "fast"
REMAKE: Final = "remake"
MODEL: Final = "model"
TIMBRE: Final = "timbre"
SPEECH: Final = "speech"
PEOPLE: Final = "people"

_ON_A_LINE: Final = frozenset({V2, FAST, MODEL, TIMBRE, SPEECH, PEOPLE})
_ALONE: Final = frozenset({STANDARD, CLEAN, REMAKE})


@attrs.frozen
class Ref:
    """One thing at the vendor.

    Attributes:
        family: which of the stacked APIs it lives in; ``clean`` is a standard work without watermark.
        id: the vendor's id.
        line: the ``line_type`` it was made with, ``""`` when none was sent.

    """

    family: str
    id: str
    line: str = ""

    def __str__(self) -> str:
        if self.family in _ON_A_LINE:
            return f"{self.family}:{self.line}:{self.id}"
        if self.family == STANDARD and ":" not in self.id:
            return self.id
        return f"{self.family}:{self.id}"


def parse(text: str, default: str) -> Ref:
    """What *text* names; a bare id belongs to the family *default*."""
    family, _, rest = text.partition(":")
    if family in _ON_A_LINE and ":" in rest:
        line, _, own = rest.partition(":")
        return Ref(family, own, line)
    if family in _ALONE and rest:
        return Ref(family, rest)
    return Ref(default, text)
