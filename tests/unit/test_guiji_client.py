"""Guiji's client against its sandbox: the token in use, reconciling, polling in batches, local files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import attrs
import pytest
from sides import AsyncSide

from avatarkit.errors import InvalidRequest, SubmissionInDoubt, UnsupportedOperation
from avatarkit.models import Finding, Ticket
from avatarkit.protocol.samples import MP4_HEAD, wav
from avatarkit.providers.guiji import limits
from avatarkit.sandbox.faults import answer
from avatarkit.settings import CallOptions

TOKEN, CREATE = "GET /openapi/oauth/token", "POST /openapi/video/v3/simpleCreate"
LIST, GET = "POST /openapi/video/v2/pageList", "GET /openapi/video/v2/get/{id}"
CONSENT = {"authorize_url": "https://e.com/c.mp4", "authorize_text": "I consent"}
SPOKEN = {"avatar": -291, "voice": "C_101", "text": "hello"}


class Desk:
    """A sandbox and a client of it, in virtual time."""

    def __init__(self, side: AsyncSide) -> None:
        self.side = side
        self.box = side.sandbox(render="tiny")
        self.box.start()
        self.client = side.client(
            "guiji", self.box.token, self.box.secret, base_url=self.box.base_url("guiji"), seed=7
        )

    def seen(self, endpoint: str) -> int:
        return int(self.box.seen.requests[endpoint])

    def switch(self, **switches: Any) -> None:
        self.box.set_account(provider="guiji", switches=switches)

    def lose(self, **changes: Any) -> Ticket:
        """A video whose answer is lost."""
        self.box.faults.add(CREATE, "reset_after")
        with pytest.raises(SubmissionInDoubt) as caught:
            self.client.videos.create(**{**SPOKEN, **changes})
        return caught.value.ticket


@pytest.fixture
def desk() -> Iterator[Desk]:
    side = AsyncSide()
    desk = Desk(side)
    yield desk
    desk.client.close()
    desk.box.close()
    assert side.close() == []


# -- the token ------------------------------------------------------------------------------------------------------


def test_many_calls_share_one_token(desk: Desk) -> None:
    """Twenty calls at once ask for one token, and so do those of the next hour and a half."""
    desk.side.together(*(partial(desk.client.account.benefits) for _ in range(20)))
    desk.side.sleep(5400)
    desk.client.account.benefits()
    assert desk.seen(TOKEN) == 1
    desk.side.sleep(1500)
    desk.client.account.benefits()
    assert desk.seen(TOKEN) == 2


@pytest.mark.parametrize("way", ["ok", "401", "text"])
def test_a_token_that_dies_early_costs_one_repeat(desk: Desk, way: str) -> None:
    """Reads and submissions go out once more with a new token; a submission makes one task."""
    desk.side.original(desk.box)._control.set_switches("guiji", {"auth_failure": way})
    desk.switch(token_life=100)
    assert desk.client.account.benefits().video_seconds == 10000.0
    desk.side.sleep(101)
    assert desk.client.account.benefits().video_seconds == 10000.0
    desk.side.sleep(101)
    task = desk.client.videos.create(**SPOKEN)
    assert [made["id"] for made in desk.box.seen.tasks] == [task.id]
    assert (desk.seen(TOKEN), desk.seen(CREATE)) == (3, 2)


def test_a_token_that_dies_while_tasks_run_does_not_end_their_waits(desk: Desk) -> None:
    """Looks are cured as well."""
    desk.box.set_delays(run_seconds=500)
    desk.switch(token_life=60)
    tasks = [desk.client.videos.create(**SPOKEN) for _ in range(3)]
    results = desk.side.together(*(partial(task.wait) for task in tasks))
    assert [result.task_id for result in results] == [task.id for task in tasks]


# -- polling --------------------------------------------------------------------------------------------------------


def test_one_list_serves_all_who_wait(desk: Desk) -> None:
    """A hundred and twenty tasks are looked at by few lists, and hardly any by themselves."""
    desk.box.set_delays(run_seconds=300)
    create = partial(desk.client.videos.create, **SPOKEN)
    tasks = desk.side.together(*(create for _ in range(120)))
    results = desk.side.together(*(partial(task.wait) for task in tasks))
    assert [result.task_id for result in results] == [task.id for task in tasks]
    assert desk.seen(LIST) + desk.seen(GET) < 120


def test_a_task_beyond_the_first_pages_is_found_by_itself(desk: Desk) -> None:
    """Tasks that the newest pages do not show are looked at by their ids."""
    desk.box.set_delays(run_seconds=900)
    desk.box.set_account(provider="guiji", credits=100_000)
    first, second = desk.client.videos.create(**SPOKEN), desk.client.videos.create(**SPOKEN)
    create = partial(desk.client.videos.create, **SPOKEN)
    desk.side.together(*(create for _ in range(310)))
    results = desk.side.together(partial(first.wait), partial(second.wait))
    assert [result.task_id for result in results] == [first.id, second.id]
    assert desk.seen(GET) > 0


# -- finding what was lost -------------------------------------------------------------------------------------------


def test_a_lost_video_is_found_by_its_unique_name(desk: Desk) -> None:
    """The token that reconciling gives is waited for like any other."""
    ticket = desk.lose()
    found = desk.client.reconcile(ticket)
    assert found.finding is Finding.FOUND
    assert desk.client.task(found.token).wait().task_id == desk.box.seen.tasks[0]["id"]


def test_it_is_found_far_down_the_list(desk: Desk) -> None:
    """Behind two hundred newer ones."""
    ticket = desk.lose()
    create = partial(desk.client.videos.create, **SPOKEN)
    desk.side.together(*(create for _ in range(210)))
    assert desk.client.reconcile(ticket).finding is Finding.FOUND


def test_a_name_of_the_user_s_own_only_gives_candidates(desk: Desk) -> None:
    """Somebody else may have used it too."""
    ticket = desk.lose(title="Weather")
    desk.client.videos.create(**SPOKEN, title="Weather")
    found = desk.client.reconcile(ticket)
    assert found.finding is Finding.CANNOT_TELL
    assert sorted(found.candidates) == sorted(task["id"] for task in desk.box.seen.tasks)


def test_absence_is_certain_only_after_a_while_and_within_a_day(desk: Desk) -> None:
    """At once the row may still come; after a day it may have been deleted; in between nothing was made."""
    desk.box.faults.add(CREATE, answer(504, html=True))
    with pytest.raises(SubmissionInDoubt) as caught:
        desk.client.videos.create(**SPOKEN)
    desk.client.videos.create(**SPOKEN)
    ask = partial(desk.client.reconcile, caught.value.ticket)
    assert ask().finding is Finding.CANNOT_TELL
    desk.side.sleep(limits.SETTLE_SECONDS)
    assert ask().finding is Finding.ABSENT
    desk.side.sleep(limits.RESULT_SECONDS)
    assert ask().finding is Finding.CANNOT_TELL


@pytest.mark.parametrize("data", [None, {"records": []}, {"records": [], "totalRecord": 5}])
def test_a_list_that_does_not_say_that_it_is_whole_proves_nothing(desk: Desk, data: Any) -> None:
    """Without a total, or with fewer rows than it, absence cannot be told."""
    ticket = attrs.evolve(desk.lose(), marker="ak-unknown")
    desk.side.sleep(600)
    body = {"code": "0", "success": True, "data": data}
    desk.box.faults.add(LIST, answer(200, data=body))
    assert desk.client.reconcile(ticket).finding is Finding.CANNOT_TELL


def test_speech_has_no_name_and_is_never_found(desk: Desk) -> None:
    """Neither found nor absent."""
    desk.box.faults.add("POST /openapi/speaker/v3/fastTts", "reset_after")
    with pytest.raises(SubmissionInDoubt) as caught:
        desk.client.audios.create(voice="C_101", text="hello")
    assert caught.value.ticket.marker == ""
    desk.side.sleep(600)
    assert desk.client.reconcile(caught.value.ticket).finding is Finding.CANNOT_TELL


def test_an_internal_exception_on_a_create_is_a_doubt(desk: Desk) -> None:
    """40001 with HTTP 200: sent once, and not known whether it was made."""
    body = {"code": "40001", "success": False, "message": "internal exception"}
    desk.box.faults.add(CREATE, answer(200, data=body, accept=True))
    with pytest.raises(SubmissionInDoubt, match="40001") as caught:
        desk.client.videos.create(**SPOKEN)
    assert desk.seen(CREATE) == 1
    assert desk.client.reconcile(caught.value.ticket).finding is Finding.FOUND


# -- material and rows -----------------------------------------------------------------------------------------------


def test_local_files_need_a_staging(desk: Desk) -> None:
    """The vendor takes no uploads: a clear error with a hint, before anything is sent."""
    unchecked = CallOptions(preflight=False)
    calls = (
        partial(desk.client.videos.create, wav(), avatar=-291),
        partial(desk.client.voices.create, wav(12.0), **CONSENT),
        partial(desk.client.avatars.create, MP4_HEAD, **CONSENT, options=unchecked),
        partial(desk.client.avatars.authorize, -291, MP4_HEAD, authorize_text="I", options=unchecked),
    )
    for call in calls:
        with pytest.raises(UnsupportedOperation) as caught:
            call()
        assert "staging" in f"{caught.value} {caught.value.hint}"
    assert sum(desk.box.seen.requests.values()) == 0


def test_clones_and_works_can_be_given_back(desk: Desk) -> None:
    """A listed training, a voice and a video stand for their ids; times have a zone."""
    training = desk.client.avatars.create(video_url="https://e.com/a.mp4", **CONSENT)
    voice = desk.client.voices.create(audio_url="https://e.com/a.wav", title="Mine", **CONSENT)
    with pytest.raises(InvalidRequest, match="no avatar"):
        desk.client.videos.create(**{**SPOKEN, "avatar": desk.client.avatars.get(training.id)})
    training.wait()
    mine = voice.wait()
    avatar = desk.client.avatars.get(training.id)
    task = desk.client.videos.create(avatar=avatar, voice=desk.client.voices.get(mine), text="hello")
    task.wait()
    row = desk.client.videos.get(task.id)
    assert desk.client.videos.get(row) == row
    assert row.created is not None
    assert abs((row.created - datetime.fromtimestamp(desk.side.clock.time(), UTC)).total_seconds()) < 60
    assert [found.id for found in desk.client.voices.list(expires_from=datetime.now(UTC))] == [mine.id]
    assert voice.id == mine.id == desk.client.voices.get(mine.id).id
    assert desk.client.avatars.authorize(avatar, **CONSENT) is True


def test_public_voices_that_expired_are_left_out(desk: Desk) -> None:
    """Thirty in the stock, one of them expired; the total stays the vendor's."""
    page = desk.client.voices.list_public(size=100)
    assert (len(page), page.total) == (29, 30)
    assert {voice.languages for voice in page} == {("zh", "en")}
    assert len(list(desk.client.voices.iterate_public(sex=1, size=4))) < 29
