"""What a provider's ``demo.py`` says: the requests that its demonstration makes, with places for what is there then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs


@attrs.frozen
class Prop:
    """Stands for a local file that the demonstration makes: a presenter's picture or clip, or a recording of speech."""

    kind: Literal["picture", "clip", "speech"]


@attrs.frozen
class FirstOf:
    """Stands for the id of the first row that one of the provider's lists gives.

    Attributes:
        operation: of the list: ``avatars.list_public``.
        arguments: its keyword arguments.

    """

    operation: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
