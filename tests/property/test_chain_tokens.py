"""Whatever is given as a chain's token: a chain or InvalidHandle, never anything else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avatarkit.errors import InvalidHandle
from avatarkit.models import Kind
from avatarkit.protocol.chain_token import PREFIX, ChainHandle, from_chain_token, to_chain_token
from avatarkit.protocol.plan import Made, Step

KEY = b"k" * 32
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    | st.sampled_from(["video", "avatar", "title", "hifly", "avk1.x"])
)
NAMES = st.sampled_from(["$made", "$file", "$subtitle", "$path", "x", "0", "1"])
SHAPES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)
STEPS = st.lists(
    st.lists(SHAPES, min_size=5, max_size=5)
    | st.tuples(
        st.just("videos.create"),
        st.sampled_from(["video", None, 3]),
        st.just("title"),
        st.dictionaries(NAMES, SHAPES, max_size=3),
        st.dictionaries(NAMES, SHAPES, max_size=2),
    ),
    max_size=3,
)
CHAINS = st.tuples(
    SCALARS, SCALARS, SCALARS, SCALARS, STEPS, st.integers(0, 2) | SCALARS, SCALARS, SHAPES, SHAPES
)


def signed(body: bytes) -> str:
    """A token of this content."""
    sign = hmac.new(KEY, body, hashlib.sha256).digest()[:16]
    return PREFIX + base64.urlsafe_b64encode(sign + body).decode().rstrip("=")


def read(token: Any) -> None:
    """Read it; what it gives can be written again."""
    try:
        found = from_chain_token(token, KEY)
    except InvalidHandle:
        return
    assert from_chain_token(to_chain_token(found, KEY), KEY).steps == found.steps


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Unsigned bytes are no token, signed ones no chain, compressed or not."""
    with pytest.raises(InvalidHandle):
        from_chain_token(PREFIX + base64.urlsafe_b64encode(data).decode(), KEY)
    with pytest.raises(InvalidHandle):
        from_chain_token(signed(data), KEY)
    with pytest.raises(InvalidHandle):
        from_chain_token(signed(zlib.compress(data)), KEY)


@given(st.text(max_size=60))
@example("é")
@example("\ud800")
@example("=" * 20)
def test_any_text(text: str) -> None:
    """Text after the prefix, or alone, is no token."""
    for token in (text, PREFIX + text):
        with pytest.raises(InvalidHandle):
            from_chain_token(token, KEY)


@given(st.one_of(SHAPES, CHAINS))
def test_any_signed_data(data: Any) -> None:
    """Signed JSON of any shape is a chain that can be written again, or InvalidHandle."""
    read(signed(zlib.compress(orjson.dumps(data))))


@given(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), SCALARS, max_size=3),
    st.floats(0, 4e9),
)
def test_what_is_written_can_be_read(text: str, more: dict[str, Any], born: float) -> None:
    """Every chain comes back as it was, and one changed letter makes it no chain."""
    steps = (
        Step(operation="avatars.create", arguments={"video": "https://x.example/a"}, makes=Kind.AVATAR),
        Step(
            operation="videos.create", arguments={"text": text, "avatar": Made(0), **more}, named_by="title"
        ),
    )
    handle = ChainHandle(provider="guiji", account="a", name="ak-n", born=born, steps=steps, task="avk1.x")
    token = to_chain_token(handle, KEY)
    found = from_chain_token(f" {token}\n", KEY)
    assert found.steps == steps
    assert abs(found.born - born) <= 0.001
    changed = token[:30] + ("A" if token[30] != "A" else "B") + token[31:]
    with pytest.raises(InvalidHandle):
        from_chain_token(changed, KEY)
