"""Kling's callbacks: two shapes, and the vendor's own signature vector."""

from __future__ import annotations

import orjson
import pytest

from avatarkit.errors import InvalidCallback
from avatarkit.models import FailureReason, Kind, Status
from avatarkit.providers.kling.callbacks import FORMAT

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
BODY = b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
SIGNATURE = "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="
HEADERS = {"webhook-id": "9876543210", "webhook-timestamp": "1781080794", "webhook-signature": SIGNATURE}
NOW = 1781080794.0


def test_the_vendor_s_vector() -> None:
    """The published secret, message and signature fit, and the message's id is kept."""
    event = FORMAT.parse(HEADERS, BODY, now=NOW, secret=SECRET)
    assert (event.signed, event.message_id, event.task_id) == (True, "9876543210", "1234567890")
    assert event.raw_status == "succeeded"
    assert FORMAT.answer(event).status == 200


@pytest.mark.parametrize(
    ("headers", "body", "now"),
    [
        ({}, BODY, NOW),
        ({**HEADERS, "webhook-id": "9876543211"}, BODY, NOW),
        ({**HEADERS, "webhook-timestamp": "1781080795"}, BODY, NOW),
        ({**HEADERS, "webhook-signature": SIGNATURE.replace("U", "V", 1)}, BODY, NOW),
        (HEADERS, BODY.replace(b"succeeded", b"failed   "), NOW),
        (HEADERS, BODY, NOW + 301),
        (HEADERS, BODY, NOW - 301),
    ],
)
def test_what_does_not_fit_is_refused(headers: dict[str, str], body: bytes, now: float) -> None:
    """No signature, another id, time, body or signature, and a message older or newer than five minutes."""
    with pytest.raises(InvalidCallback) as caught:
        FORMAT.parse(headers, body, now=now, secret=SECRET)
    assert caught.value.forged


def test_one_of_two_signatures_is_enough() -> None:
    """While a secret is replaced the vendor signs with both."""
    headers = {**HEADERS, "webhook-signature": f"v1,AAAA {SIGNATURE}"}
    assert FORMAT.parse(headers, BODY, now=NOW + 299, secret=SECRET).signed


def test_the_older_shape() -> None:
    """What avatar tasks send: id, status, external id, result and cost."""
    body = {
        "task_id": "831922345719271433",
        "task_status": "succeed",
        "task_info": {"external_task_id": "job-42"},
        "task_result": {"videos": [{"id": "7", "url": "https://u", "duration": "12.266"}]},
        "final_unit_deduction": "4.4",
    }
    event = FORMAT.parse({}, orjson.dumps(body), now=NOW)
    assert (event.task_id, event.marker, event.kind) == ("831922345719271433", "job-42", Kind.VIDEO)
    assert (event.status, event.raw_status, event.signed) == (Status.SUCCEEDED, "succeed", False)
    assert event.snapshot is not None
    assert event.snapshot.cost == 4.4


def test_the_newer_shape_and_a_failure() -> None:
    """``id``, ``status``, ``message`` and ``external_id`` mean the same."""
    body = {"id": 7, "status": "failed", "message": "risk control", "external_id": "job-1", "outputs": []}
    event = FORMAT.parse({}, orjson.dumps(body), now=NOW)
    assert (event.task_id, event.marker, event.status) == ("7", "job-1", Status.FAILED)
    assert event.snapshot is not None
    assert event.snapshot.reason is FailureReason.MODERATION


@pytest.mark.parametrize("body", [b"{}", b'{"task_id":[]}', b'{"hello":1}', b'{"task_info":3,"status":"x"}'])
def test_objects_that_are_no_event(body: bytes) -> None:
    """An object without an id is an event of no task, and is answered all the same."""
    event = FORMAT.parse({}, body, now=NOW)
    assert (event.task_id, event.status) == ("", Status.UNKNOWN)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"<html>"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Anything but a JSON object is no callback, but no forgery either."""
    with pytest.raises(InvalidCallback) as caught:
        FORMAT.parse({}, body, now=NOW)
    assert not caught.value.forged
