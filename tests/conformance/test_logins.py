"""Further ways to authenticate: what they may not do, how their tokens are renewed, and a clock that is wrong."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import attrs
import pytest
from house import House

from avatarkit import providers
from avatarkit.errors import AvatarKitError
from avatarkit.events import RequestDone
from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeRequest, FakeResponse
from avatarkit.protocol.samples import Login
from avatarkit.sandbox.faults import Fault, FaultKind

_LOGINS = [
    pytest.param(name, login, id=f"{name}-{login.label}")
    for name in providers.names()
    for login in providers.part(name, "samples").SAMPLES.logins
]
_DYING = [each for each in _LOGINS if each.values[1].seconds is not None]  # type: ignore[attr-defined]
every_login = pytest.mark.parametrize(("provider", "login"), _LOGINS)
every_dying_login = pytest.mark.parametrize(("provider", "login"), _DYING)


class _Dated:
    """A provider's fake whose answers bear the sandbox's date: the web server's own knows no virtual time."""

    def __init__(self, fake: Any) -> None:
        self._fake = fake
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def handle(self, request: FakeRequest, world: Any) -> FakeResponse:
        answer: FakeResponse = self._fake.handle(request, world)
        self.refused += answer.status in (401, 403)
        return attrs.evolve(answer, headers={**answer.headers, "date": formatdate(world.now(), usegmt=True)})


def _dated(house: House) -> _Dated:
    fakes = house.side.original(house.box)._world.fakes
    fakes[house.provider] = dated = _Dated(fakes[house.provider])
    return dated


@every_login
def test_what_a_login_may_not_do(house: House, login: Login) -> None:
    """What the provider refuses to those who come this way raises the class that says so; nothing is made."""
    client = house.client()
    for method, error in login.refused.items():
        operation = house.samples.operation(method)
        arguments = house.arguments(client, operation)
        before = house.created()
        with pytest.raises(AvatarKitError) as caught:
            house.method(client, method)(**arguments)
        assert type(caught.value) is error
        assert house.created() == before


@every_login
def test_each_login_is_an_account_of_its_own(house: House, provider: str) -> None:
    """A handle made the usual way is not taken for one of this login: what is shown may differ between them."""
    usual = House(house.side, provider, house.folder)
    usual._box = house.box
    other = usual.client()
    assert other.account_id != house.client().account_id
    other.close()


@every_dying_login
def test_a_token_is_renewed_during_a_long_wait(house: House, login: Login) -> None:
    """Over four lifetimes no token is used longer than its own, and no request is refused for it."""
    assert login.seconds is not None
    house.start(run_seconds=4 * login.seconds)
    answers: list[RequestDone] = []
    client = house.client(hooks=lambda event: answers.append(event) if isinstance(event, RequestDone) else 0)
    used: dict[str, list[float]] = {}
    with house.listening() as heard:
        task = house.submit(client)
        while not task.done:
            task.refresh()
            used.setdefault(heard[-1].headers["authorization"], []).append(house.side.now())
            house.side.sleep(login.seconds / 10)
    assert task.status is Status.SUCCEEDED
    assert len(used) >= 4
    assert max(times[-1] - times[0] for times in used.values()) < login.seconds
    assert {answer.status for answer in answers} == {200}


@every_dying_login
def test_one_wait_outlives_its_tokens(house: House, login: Login) -> None:
    """A single ``wait`` over three lifetimes ends with the result, whatever it has to sign anew meanwhile."""
    assert login.seconds is not None
    house.start(run_seconds=3 * login.seconds)
    with house.listening() as heard:
        task = house.submit(house.client())
        assert task.wait(timeout=4 * login.seconds).task_id == task.id
    assert len({request.headers["authorization"] for request in heard}) >= 3


@pytest.mark.parametrize("skew", [-30.0, 30.0])
@every_dying_login
def test_a_clock_wrong_by_half_a_minute_is_tolerated(house: House, login: Login, skew: float) -> None:
    """Half a minute ahead or behind: one task for one call, every result, and at most one request in vain."""
    assert login.seconds is not None
    house.start(run_seconds=2 * login.seconds)
    dated = _dated(house)
    client = house.client(skew=skew)
    task = house.submit(client)
    assert task.wait(timeout=3 * login.seconds).task_id == task.id
    house.submit(client)
    assert house.created() == 2
    assert dated.refused <= 1


@every_dying_login
def test_a_wrong_clock_leaves_no_doubt_unsettled(house: House, login: Login) -> None:
    """A submission whose answer is lost is found again by a client whose clock is half a minute ahead."""
    _dated(house)
    client = house.client(skew=30.0)
    house.submit(client)  # by now the clock is corrected
    house.fault(Fault(kind=FaultKind.RESET, accept=True))
    with pytest.raises(AvatarKitError) as caught:
        house.submit(client)
    house.side.sleep(60)
    found = client.reconcile(caught.value.ticket)  # type: ignore[attr-defined]
    assert client.task(found.token).id == house.box.seen.tasks[-1]["id"]
