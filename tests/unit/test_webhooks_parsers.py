"""What vendors, and everybody else, may post."""

import base64
import pickle
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avatarkit import providers
from avatarkit.errors import AvatarKitError, InvalidCallback
from avatarkit.models import FailureReason, Kind, Status
from avatarkit.protocol.callback import CallbackFormat, callback_text, signed_message_id
from avatarkit.protocol.signing import webhook_key, webhook_signature
from avatarkit.providers.hifly.callbacks import FORMAT
from avatarkit.webhooks.receiver import _formats

FORMATS = list(_formats().values())
NAMES = [shape.provider for shape in FORMATS]

# The official example of Kling's document on callbacks.
SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
BODY = b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
HEADERS = {
    "webhook-id": "9876543210",
    "webhook-timestamp": "1781080794",
    "webhook-signature": "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
}
NOW = 1781080800.0

WORDS = st.sampled_from(
    [
        "task_id",
        "id",
        "type",
        "taskType",
        "data",
        "status",
        "task_status",
        "result",
        "title",
        "code",
        "message",
        "voice",
        "task_info",
        "external_task_id",
        "task_result",
        "videos",
        "url",
        "video_Url",
        "duration",
        "speakerId",
        "avatar",
        "synthesisStatus",
        "videoName",
        "outputs",
        "external_id",
        "failReason",
        "demo_url",
        "extra",
        "reason",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(
        [1, 2, 3, 4, "3", "succeed", "failed", "submitted", "success", "fail", "video-synthesis", -88]
    )
    | st.sampled_from(
        ["video-training", "voice-clone", "tts-synthesis", "1e400", "٣", " 3 ", "\ud7ff", "a/b"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=6), inner, max_size=8)
    ),
    max_leaves=25,
)
BODIES = (
    JSON.map(orjson.dumps)
    | st.dictionaries(WORDS, JSON, max_size=10).map(orjson.dumps)
    | st.binary(max_size=80)
    | JSON.map(lambda v: orjson.dumps(v)[:-1])
)
HEADER_SETS = st.dictionaries(
    st.sampled_from(sorted(HEADERS)) | st.text(max_size=8), st.text(max_size=30), max_size=5
)


def parsed(shape: CallbackFormat, headers: dict[str, str], body: bytes, secret: str | None) -> Any:
    try:
        return shape.parse(headers, body, now=NOW, secret=secret)
    except InvalidCallback as error:
        return error


@pytest.mark.parametrize("shape", FORMATS, ids=NAMES)
@settings(max_examples=300, deadline=None)
@given(headers=HEADER_SETS, body=BODIES, secret=st.sampled_from([None, SECRET]))
@example(headers={}, body=b"", secret=None)
@example(headers={}, body=b"null", secret=None)
@example(headers={}, body=b"[" * 5000 + b"]" * 5000, secret=None)
@example(headers={}, body=b'{"a":' * 3000 + b"1" + b"}" * 3000, secret=None)
@example(headers={}, body=b'{"task_id":"\xff"}', secret=None)
@example(headers={}, body=BODY, secret=None)
def test_any_bytes_are_an_event_or_our_error(
    shape: CallbackFormat, headers: dict[str, str], body: bytes, secret: str | None
) -> None:
    """A parser gives an event of plain texts whose answer is a 200, or raises InvalidCallback, which can be pickled."""
    event = parsed(shape, headers, body, secret)
    if isinstance(event, InvalidCallback):
        again = pickle.loads(pickle.dumps(event))
        assert (type(again), again.provider, again.forged) == (InvalidCallback, shape.provider, event.forged)
        assert isinstance(event, AvatarKitError)
        return
    assert isinstance(orjson.loads(body), dict)
    assert event.provider == shape.provider
    assert event.kind is None or isinstance(event.kind, Kind)
    assert isinstance(event.status, Status)
    assert event.task_id == event.task_id.strip()
    assert all(
        isinstance(text, str) for text in (event.task_id, event.marker, event.raw_status, event.message_id)
    )
    assert hash((event.task_key, event.message_key))
    assert event.signed == (shape.signed and secret is not None)
    assert shape.answer(event).status == 200
    assert isinstance(shape.answer(event).body, bytes)


# -- Standard Webhooks


def test_official_vector() -> None:
    """The vendor's own example verifies, and its message id is the one to tell copies by."""
    assert signed_message_id("kling", HEADERS, BODY, now=NOW, secret=SECRET) == "9876543210"


@pytest.mark.parametrize(
    ("headers", "body", "now"),
    [
        ({}, BODY, NOW),
        (HEADERS, BODY + b" ", NOW),
        (HEADERS, BODY, NOW + 301),
        (HEADERS, BODY, NOW - 320),
        ({**HEADERS, "webhook-id": "9876543211"}, BODY, NOW),
        ({**HEADERS, "webhook-timestamp": "1781080795"}, BODY, NOW),
        ({**HEADERS, "webhook-signature": HEADERS["webhook-signature"].removeprefix("v1,")}, BODY, NOW),
        ({**HEADERS, "webhook-signature": ""}, BODY, NOW),
        ({**HEADERS, "webhook-signature": "v1,\u00e9"}, BODY, NOW),
        ({name: value for name, value in HEADERS.items() if name != "webhook-timestamp"}, BODY, NOW),
    ],
    ids=["bare", "body", "old", "early", "id", "time", "version", "empty", "letters", "no time"],
)
def test_wrong_signatures(headers: dict[str, str], body: bytes, now: float) -> None:
    """A missing, altered, old or early signature is a forgery."""
    with pytest.raises(InvalidCallback) as caught:
        signed_message_id("kling", headers, body, now=now, secret=SECRET)

    assert caught.value.forged
    assert SECRET[6:] not in str(caught.value)


def test_two_signatures_while_the_secret_rotates() -> None:
    """Of several signatures one that fits is enough."""
    other = "whsec_" + base64.b64encode(b"another secret of 24 byt").decode()
    signature = webhook_signature(webhook_key(other), "m", "1781080794", BODY)
    headers = {**HEADERS, "webhook-id": "m", "webhook-signature": f"v1,AAAA {signature}"}

    assert signed_message_id("kling", headers, BODY, now=NOW, secret=other) == "m"


# -- HiFly


def hifly(**body: Any) -> Any:
    return FORMAT.parse({}, orjson.dumps(body), now=NOW)


def test_hifly_work() -> None:
    """A work's event: video or audio is not told, the title is the marker, the claim reads like a look."""
    event = hifly(
        task_id="0aB",
        message="",
        code=0,
        type=1,
        status=3,
        video_Url="https://x.example/v",
        duration=45,
        title="job",
    )

    assert (event.kind, event.task_id, event.status, event.raw_status) == (None, "0aB", Status.SUCCEEDED, "3")
    assert event.marker == "job"
    assert event.snapshot.result == {"url": "https://x.example/v", "duration": 45.0}
    assert "x.example" not in repr(event)


def test_hifly_failure() -> None:
    """A failed work's code and message are in the claim."""
    event = hifly(task_id="t", message="no sound", code=2013, type="1", status="4", title="job")

    assert event.status is Status.FAILED
    assert (event.snapshot.reason, event.snapshot.code, event.snapshot.message) == (
        FailureReason.BAD_INPUT,
        "2013",
        "no sound",
    )


@pytest.mark.parametrize(("number", "kind", "field"), [(2, Kind.AVATAR, "avatar"), (3, Kind.VOICE, "voice")])
def test_hifly_clone_without_id(number: int, kind: Kind, field: str) -> None:
    """The older edition's events of clones name no task: the kind is all there is."""
    event = hifly(message="", code=0, type=number, status=3, **{field: "aVt0"})

    assert (event.kind, event.task_id, event.marker, event.message_key) == (kind, "", "", "")
    assert event.snapshot.result["id"] == "aVt0"


def test_hifly_unknown_event() -> None:
    """A type or status that nobody documents is an event of no known end."""
    assert hifly(task_id="t", type=7, status=3).status is Status.UNKNOWN
    assert hifly(task_id="t", type=1, status=9).status is Status.UNKNOWN
    assert hifly(task_id=123, type=1, status=3.0).task_id == "123"
    assert hifly(task_id=123, type=1.0, status=3.0).raw_status == "3"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" a ", "a"),
        (12, "12"),
        (12.0, "12"),
        (-88, "-88"),
        (True, ""),
        (None, ""),
        ([1], ""),
        ("x" * 900, "x" * 512),
    ],
)
def test_text_of_anything(value: Any, text: str) -> None:
    """Ids come as text or numbers; anything else is none."""
    assert callback_text(value) == text


def test_every_format_is_found() -> None:
    """Each provider's folder with callbacks is in the registry under its own name."""
    assert {"hifly"} <= set(NAMES) <= set(providers.names())
    assert [shape.provider for shape in FORMATS] == list(_formats())
