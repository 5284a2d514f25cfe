"""The codec's tolerance."""

from typing import Any

import attrs
import pytest

from avatarkit.errors import UnexpectedResponse
from avatarkit.protocol.codec import decode, encode, structure, wire, without_none


@attrs.define
class Row:
    """A class as the vendors' rows are."""

    id: str = ""
    note: str | None = None
    number: int | None = None
    seconds: float | None = None
    url: str | None = wire("video_Url", "video_url", "url")
    anything: Any = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"id": 12}, Row(id="12")),
        ({"id": None, "note": None}, Row()),
        ({"number": "7", "seconds": "6.966"}, Row(number=7, seconds=6.966)),
        ({"number": 7.0, "seconds": 45}, Row(number=7, seconds=45.0)),
        ({"number": "many", "seconds": [], "note": {}}, Row()),
        ({"number": True, "seconds": "nan"}, Row()),
        ({"video_Url": "a"}, Row(url="a")),
        ({"video_url": "b"}, Row(url="b")),
        ({"video_Url": "", "video_url": "b"}, Row(url="b")),
        ({"video_Url": "a", "video_url": "b"}, Row(url="a")),
        ({"new": {"x": 1}}, Row(extra={"new": {"x": 1}})),
    ],
)
def test_structure_bends(payload: dict[str, Any], expected: Row) -> None:
    """Numbers as strings and the reverse, null, other spellings and unknown fields all fit."""
    assert structure(payload, Row) == expected


@pytest.mark.parametrize("payload", [None, [], "x", 3, {"id": {}}, {"id": [1]}])
def test_structure_refuses(payload: Any) -> None:
    """What cannot be read is an UnexpectedResponse, not a crash."""
    with pytest.raises(UnexpectedResponse):
        structure(payload, Row)


def test_payload_is_left_alone() -> None:
    """Structuring does not change what the caller passed in."""
    payload = {"video_url": "b", "other": 1}
    structure(payload, Row)

    assert payload == {"video_url": "b", "other": 1}


def test_bytes() -> None:
    """Bytes in, bytes out; null is never sent."""
    assert decode(encode(without_none(a=1, b=None, c="中"))) == {"a": 1, "c": "中"}
    with pytest.raises(UnexpectedResponse):
        decode(b'{"a":"\xff"}')
