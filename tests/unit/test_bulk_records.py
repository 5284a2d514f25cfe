"""A ledger's records as data: copies with changes, and tickets as JSON."""

from __future__ import annotations

import copy
import pickle

import attrs
import orjson
import pytest

from avatarkit.bulk.records import Job, JobState, ticket_from_json, ticket_to_json
from avatarkit.models import Guard, Ticket

JOB = Job(seq=3, run="r", key="a", part=False, state=JobState.NEW, spec=b"{}", error={"type": "Odd"})
TICKET = Ticket(
    provider="guiji",
    endpoint="videos.create",
    kind="video",
    account="0123456789abcdef",
    marker="ak-1",
    guard=Guard.EXTERNAL_ID,
    sent_at=12.5,
    request_hash="ff",
)


def test_a_job_with_changes_is_what_attrs_makes_of_it() -> None:
    """Named fields are new, all others are kept, and the job that was there stays as it was."""
    changes = {"state": JobState.DONE, "cost": 2.5, "result": {"file": "a.mp4"}}
    before = copy.copy(JOB)
    assert JOB.but(**changes) == attrs.evolve(JOB, **changes)
    assert JOB.but() == JOB == before


def test_a_job_cannot_be_changed_and_can_be_copied() -> None:
    """It is data: frozen, and the same after a copy or on another machine."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        JOB.but(cost=1.0).state = JobState.DONE  # type: ignore[misc]
    assert copy.deepcopy(JOB) == pickle.loads(pickle.dumps(JOB)) == JOB


def test_a_ticket_comes_back_out_of_json_whole() -> None:
    """Every field of it, also one that is added one day."""
    data = ticket_to_json(TICKET)
    assert data == {**attrs.asdict(TICKET), "guard": TICKET.guard.value}
    assert ticket_from_json(orjson.loads(orjson.dumps(data))) == TICKET
