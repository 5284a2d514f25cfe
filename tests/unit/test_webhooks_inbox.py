"""Which events are news, and which task an event means."""

import gc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from avatarkit import providers
from avatarkit.models import Kind, Status
from avatarkit.protocol.callback import CallbackEvent
from avatarkit.transport.hints import Hints
from avatarkit.transport.watched import Watched
from avatarkit.webhooks.inbox import Inbox, Verdict


def event(task_id: str = "t1", status: Status = Status.SUCCEEDED, **fields: Any) -> CallbackEvent:
    return CallbackEvent(
        **{"provider": "hifly", "task_id": task_id, "status": status, "raw_status": status, **fields}
    )


def watched(task_id: str, kind: Kind = Kind.VIDEO, marker: str = "") -> Watched:
    return Watched(task_id, providers.spec("hifly").kinds[kind], born=0.0, born_wall=0.0, marker=marker)


def test_copy_counts_once() -> None:
    """The same task and status again is a copy; another status, task, kind or provider is not."""
    inbox = Inbox()

    assert inbox.take(event(), 0.0) is Verdict.NEW
    assert inbox.take(event(), 1.0) is Verdict.COPY
    assert inbox.take(event(status=Status.FAILED), 1.0) is Verdict.NEW
    assert inbox.take(event("t2"), 1.0) is Verdict.NEW
    assert inbox.take(event(kind=Kind.AVATAR), 1.0) is Verdict.NEW
    assert inbox.take(event(provider="guiji"), 1.0) is Verdict.NEW


def test_message_id_tells_copies() -> None:
    """Where the vendor numbers its messages, the number decides, whatever the body says."""
    inbox = Inbox()

    assert inbox.take(event(message_id="m1"), 0.0) is Verdict.NEW
    assert inbox.take(event(message_id="m2"), 0.0) is Verdict.NEW
    assert inbox.take(event("t9", message_id="m1"), 0.0) is Verdict.COPY


def test_running_after_the_end_is_late() -> None:
    """An event that says "running" and arrives after the one that said "done" undoes nothing."""
    inbox = Inbox()
    assert inbox.take(event(status=Status.QUEUED), 0.0) is Verdict.NEW
    assert inbox.take(event(), 1.0) is Verdict.NEW

    assert inbox.take(event(status=Status.RUNNING), 2.0) is Verdict.LATE
    assert inbox.take(event("t2", status=Status.RUNNING), 2.0) is Verdict.NEW


def test_event_without_a_name_is_always_news() -> None:
    """Events that name no task cannot be told from each other, so none is dropped as a copy."""
    inbox = Inbox()

    assert inbox.take(event("", kind=Kind.AVATAR), 0.0) is Verdict.NEW
    assert inbox.take(event("", kind=Kind.AVATAR), 0.0) is Verdict.NEW
    assert len(inbox) == 0


def test_titles_stand_in_for_ids() -> None:
    """Events without ids are told by their marker, which is never mixed up with an id."""
    inbox = Inbox()

    assert inbox.take(event("", marker="job"), 0.0) is Verdict.NEW
    assert inbox.take(event("", marker="job"), 0.0) is Verdict.COPY
    assert inbox.take(event("job"), 0.0) is Verdict.NEW


@given(
    steps=st.lists(st.tuples(st.integers(0, 30), st.sampled_from(Status), st.floats(0, 40)), max_size=150),
)
def test_memory_is_bounded_and_copies_never_pass(steps: list[tuple[int, Status, float]]) -> None:
    """At most *most* messages are kept; what is younger than *keep* and among the last *most* is never news twice."""
    inbox, now, recent = Inbox(most=10, keep=60.0), 0.0, []
    for number, status, pause in steps:
        now += pause
        verdict = inbox.take(event(f"t{number}", status), now)
        known = [at for key, at in recent[-10:] if key == (number, status)]
        if known and now - known[-1] <= 60.0:
            assert verdict is Verdict.COPY
        if verdict is not Verdict.COPY:
            recent.append(((number, status), now))
        assert len(inbox) <= 10


def test_old_messages_are_forgotten() -> None:
    """After *keep* seconds a message is news again, and its memory is free."""
    inbox = Inbox(keep=60.0)
    inbox.take(event("t1"), 0.0)
    inbox.take(event("t2"), 100.0)

    assert len(inbox) == 1
    assert inbox.take(event("t1"), 100.0) is Verdict.NEW


# -- which task


def test_task_is_found_by_id_and_kind() -> None:
    """An id leads to its task; with a kind only to that kind's, since some vendors number each kind by itself."""
    hints, video, avatar = Hints(), watched("7"), watched("7", Kind.AVATAR)
    hints.meet(video, 0.0)
    hints.meet(avatar, 0.0)

    assert hints.find(Kind.VIDEO, "7", "") == [video]
    assert hints.find(None, "7", "") == [video, avatar] or hints.find(None, "7", "") == [avatar, video]
    assert hints.find(None, "8", "") == []


def test_product_before_the_id_does_not_matter() -> None:
    """A handle's id may carry the product's name before a slash; the vendor's events do not."""
    hints, record = Hints(), watched("lip-sync/88")
    hints.meet(record, 0.0)

    assert hints.find(Kind.VIDEO, "88", "") == [record]


def test_events_without_ids_mean_all_that_fit() -> None:
    """Without an id the marker decides; without both, all unfinished tasks of the kind are meant, up to a few."""
    hints = Hints()
    records = [watched(f"v{n}", marker="same" if n < 2 else f"m{n}") for n in range(5)]
    clones = [watched(f"a{n}", Kind.AVATAR) for n in range(50)]
    for record in (*records, *clones):
        hints.meet(record, 0.0)

    assert hints.find(None, "", "same") == records[:2]
    assert hints.find(None, "", "m4") == [records[4]]
    assert len(hints.find(Kind.AVATAR, "", "")) == 32
    assert hints.find(None, "", "") == []


def test_index_holds_no_record_alive() -> None:
    """A handle that the program dropped is gone from the index too."""
    hints, record = Hints(), watched("v1")
    hints.meet(record, 0.0)
    del record
    gc.collect()

    assert hints.find(Kind.VIDEO, "v1", "") == []


def test_early_event_waits_for_its_task() -> None:
    """An event that overtook the submission's answer is found, once, when the task is met; by id or by marker."""
    hints = Hints()
    hints.keep(Kind.VIDEO, "v1", "", 0.0)
    hints.keep(None, "", "title", 0.0)

    assert hints.meet(watched("v1"), 5.0)
    assert not hints.meet(watched("v1"), 5.0)
    assert not hints.meet(watched("v1", Kind.AVATAR), 5.0)
    assert hints.meet(watched("v2", marker="title"), 5.0)


def test_early_events_are_bounded_and_grow_old() -> None:
    """Ten thousand early events at most are kept, and none longer than ten minutes."""
    hints = Hints()
    for number in range(10_100):
        hints.keep(None, f"t{number}", "", 0.0)

    assert not hints.meet(watched("t5"), 1.0)
    assert hints.meet(watched("t10099"), 1.0)
    assert not hints.meet(watched("t10098"), 601.0)


def test_looks_relax_only_while_ends_are_announced() -> None:
    """Three announced ends in a row make looks of that kind rare; one that a look found makes them frequent again."""
    hints = Hints()
    for _ in range(2):
        hints.ended(Kind.VIDEO, told=True)
    assert hints.tightness(Kind.VIDEO) == 1.0
    hints.ended(Kind.VIDEO, told=True)

    assert hints.tightness(Kind.VIDEO) == 4.0
    assert hints.tightness(Kind.AUDIO) == 1.0
    hints.ended(Kind.VIDEO, told=False)
    assert hints.tightness(Kind.VIDEO) == 1.0
