"""Opening, closing, outliving loops, proxies: a client leaves nothing behind and says clearly what cannot be."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from house import House, harmless, keys
from sides import AsyncSide

from avatarkit import Sandbox, providers
from avatarkit.errors import AvatarKitError, ClientClosed, ConfigurationError, TransportError
from avatarkit.settings import CallOptions, Polling, RetryPolicy
from avatarkit.testing import VirtualTimeLoop

_ANSWERED = (200, 400, 404)
"""Statuses of answers to a question about a task that there is not."""


def test_a_client_is_a_context_manager(house: House) -> None:
    """Leaving the block closes it; closing again does nothing."""
    with house.client() as client:
        task = house.submit(client)
        assert not client.closed
    assert client.closed
    client.close()
    assert "closed" in repr(client)
    with pytest.raises(ClientClosed):
        house.submit(client)
    with pytest.raises(ClientClosed):
        task.wait()
    assert task.id
    assert house.created() == 1


def test_a_client_that_was_never_used_closes(house: House) -> None:
    """No request, no socket, no error."""
    house.client().close()
    assert house.requests() == 0


def test_closing_ends_a_submission_that_waits_for_a_slot(house: House) -> None:
    """A submission that had not gone out ends with ClientClosed and is not sent afterwards."""
    house.start(run_seconds=600)
    client = house.client(max_running=1)
    house.submit(client)
    waiting = partial(
        house.method(client, house.submission.method), **house.arguments(client, house.submission)
    )
    ended, _ = house.side.together(waiting, partial(client.close))
    assert isinstance(ended, ClientClosed)
    house.side.sleep(3600)
    assert house.created() == 1


def test_closing_ends_a_call_that_repeats_itself(house: House) -> None:
    """A call between two tries ends with ClientClosed, opens nothing any more, and sends nothing."""
    client = house.client()
    task = house.submit(client)
    house.box.faults.add(house.look, "503_before", times=100)
    ended, _ = house.side.together(partial(task.refresh), partial(client.close))
    assert isinstance(ended, ClientClosed | TransportError)
    looks = house.box.seen.requests[house.look]
    house.side.sleep(60)
    assert house.box.seen.requests[house.look] == looks <= 1


def test_closing_ends_a_submission_that_is_to_be_tried_again(house: House) -> None:
    """A submission that waits out refused connections ends with ClientClosed when its client is closed."""
    client = house.client()
    arguments = house.arguments(client, house.submission)
    house.box.refuse(3600)
    submit = partial(house.method(client, house.submission.method), **arguments)
    ended, _ = house.side.together(submit, partial(client.close))
    assert isinstance(ended, ClientClosed | TransportError)
    house.side.sleep(4000)
    assert house.created() == 0


def test_two_clients_of_one_account_live_side_by_side(house: House) -> None:
    """Closing one leaves the other working."""
    first, second = house.client(), house.client()
    assert first.account_id == second.account_id
    task = house.submit(first)
    first.close()
    assert second.task(task.to_token()).wait().task_id == task.id


# -- the async classes by themselves -------------------------------------------------------------------------------


@pytest.fixture
def box() -> Iterator[Any]:
    """A sandbox in real time on the bridge's thread: for clients that change loops."""
    box = Sandbox(render="tiny", queue_seconds=0, run_seconds=0)
    box.start()
    yield box
    box.close()


def _make(provider: str, box: Any, **options: Any) -> Any:
    return providers.client_class(provider)(*keys(provider, box), base_url=box.base_url(provider), **options)


def _made_up(provider: str, **options: Any) -> Any:
    """A client whose credentials are nobody's."""
    return providers.client_class(provider)(
        *["t-" * 8 for _ in providers.spec(provider).credentials], **options
    )


def test_one_client_outlives_several_runs(provider: str, box: Any) -> None:
    """A client made outside any loop works in one ``asyncio.run`` after the other, without a warning in between."""
    client = _make(provider, box)
    for _ in range(3):
        answer = asyncio.run(client.raw("GET", harmless(provider)))
        assert answer.status in _ANSWERED
    asyncio.run(client.aclose())


def test_a_task_crosses_runs(provider: str, box: Any) -> None:
    """Submitted in one run, waited for in the next; its slot comes free for a third, where it is found by itself."""
    client = _make(provider, box, max_running=1, polling=Polling(shortest=0.01, longest=0.05))
    house = House(AsyncSide(), provider, Path())
    house.side.close()
    arguments = house.arguments(client, house.submission)
    submit = partial(house.method(client, house.submission.method), **arguments)
    task = asyncio.run(submit())
    assert asyncio.run(task.wait()).task_id == task.id
    second = asyncio.run(submit())
    third = asyncio.run(submit())
    assert second.done
    assert asyncio.run(third.wait()).task_id == third.id
    asyncio.run(client.aclose())


def test_a_client_on_two_running_loops_says_so(provider: str, box: Any) -> None:
    """While one loop runs it, another one gets ConfigurationError with what to do, and the first is not disturbed."""
    client = _make(provider, box)
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(client.raw("GET", harmless(provider)))
        except AvatarKitError as error:
            errors.append(error)

    async def main() -> None:
        await client.raw("GET", harmless(provider))
        thread = threading.Thread(target=elsewhere)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.001)
        await client.raw("GET", harmless(provider))
        await client.aclose()

    asyncio.run(main())
    (error,) = errors
    assert isinstance(error, ConfigurationError)
    assert error.hint


_SCRIPT = """
import asyncio, sys
from avatarkit import providers
import avatarkit
name, base, path, how, *keys = sys.argv[1:]
cls = providers.client_class(name)
if how == "async":
    client = cls(*keys, base_url=base)
    async def main():
        print((await client.raw("GET", path)).status)
    asyncio.run(main())
elif how == "async, loop left open":
    client = cls(*keys, base_url=base)
    loop = asyncio.new_event_loop()
    print(loop.run_until_complete(client.raw("GET", path)).status)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
else:
    client = getattr(avatarkit, cls.__name__.removeprefix("Async"))(*keys, base_url=base)
    print(client.raw("GET", path).status)
"""


@pytest.mark.parametrize("how", ["async", "async, loop left open", "blocking"])
def test_leaving_without_closing_prints_nothing(provider: str, box: Any, how: str) -> None:
    """A program that ends without closing its client ends silently, with warnings shown."""
    command = [sys.executable, "-W", "always", "-c", _SCRIPT, provider]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, box.base_url(provider), harmless(provider), how, *keys(provider, box)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONWARNINGS": "always"},
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert int(done.stdout) in _ANSWERED


# -- the way out ---------------------------------------------------------------------------------------------------


_FAR = "http://provider.invalid/api"


class _Proxy:
    """A proxy for plain HTTP that keeps the request lines it gets and answers for every host.

    A provider that lends tokens lends one here too; of that, no line is kept.
    """

    def __init__(self, provider: str) -> None:
        samples = providers.part(provider, "samples").SAMPLES
        self._token = f"GET {_FAR}{samples.token.path}?" if samples.token is not None else None
        self._auth = rf"[?&]({'|'.join(samples.auth_query) or '$'})=[^ &]*"
        self._body = orjson.dumps(samples.grant)
        self.lines: list[str] = []
        self.url = ""

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, body = head.split(b"\r\n")[0].decode(), self._body
        if self._token is None or not line.startswith(self._token):
            self.lines.append(re.sub(self._auth, "", line))
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        await writer.drain()
        writer.close()


def _ask(provider: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], **options: Any) -> Any:
    """What a request to a far host ends in, and what the proxy saw."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    proxy = _Proxy(provider)

    async def main() -> int:
        server = await proxy.start()
        for name, value in variables.items():
            monkeypatch.setenv(name, value.replace("PROXY", proxy.url))
        given = {name: value.replace("PROXY", proxy.url) for name, value in options.items()}
        async with (
            server,
            _made_up(provider, base_url=_FAR, retry=RetryPolicy(attempts=1), **given) as client,
        ):
            return int((await client.raw("GET", harmless(provider), options=CallOptions(retries=0))).status)

    try:
        return asyncio.run(main()), proxy.lines
    except TransportError as error:
        return error, proxy.lines


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ({"HTTP_PROXY": "PROXY"}, {}),
        ({"http_proxy": "PROXY"}, {}),
        ({"HTTP_PROXY": "PROXY", "NO_PROXY": "elsewhere.invalid"}, {}),
        ({}, {"proxy": "PROXY"}),
        ({"NO_PROXY": "*"}, {"proxy": "PROXY"}),
    ],
)
def test_proxies_are_honoured(
    provider: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], options: dict[str, str]
) -> None:
    """The environment's proxy, or the one given, gets the request with the whole URL."""
    status, lines = _ask(provider, monkeypatch, variables, **options)
    assert status == 200
    assert lines == [f"GET {_FAR}{harmless(provider)} HTTP/1.1"]


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ({"HTTP_PROXY": "PROXY", "NO_PROXY": "provider.invalid"}, {}),
        ({"HTTP_PROXY": "PROXY", "NO_PROXY": "*"}, {}),
        ({"HTTPS_PROXY": "PROXY"}, {}),
        ({"HTTP_PROXY": "PROXY"}, {"proxy": ""}),
    ],
)
def test_proxies_are_left_out_where_they_should_be(
    provider: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], options: dict[str, str]
) -> None:
    """NO_PROXY, another scheme, or ``proxy=""``: the request goes straight to a host that does not exist."""
    error, lines = _ask(provider, monkeypatch, variables, **options)
    assert isinstance(error, TransportError)
    assert lines == []


def test_a_ca_file_that_cannot_be_read_is_a_wrong_setting(house: House, tmp_path: Path) -> None:
    """Missing, as the client is made, or not a certificate, before anything is sent: ConfigurationError naming it."""
    with pytest.raises(ConfigurationError, match=r"missing\.pem"):
        house.client(ca_file=str(tmp_path / "missing.pem"))
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    client = house.client(ca_file=str(broken))
    with pytest.raises(ConfigurationError, match=broken.name):
        house.submit(client)
    client.close()
    assert house.requests() == 0


@pytest.mark.parametrize("url", ["", "ftp://x", "provider.example", "http://"])
def test_a_base_url_that_is_none_is_a_wrong_setting(provider: str, url: str) -> None:
    """It is said when the client is made."""
    if url:
        with pytest.raises(ConfigurationError):
            _made_up(provider, base_url=url)
    else:
        assert _made_up(provider, base_url=url)


def test_the_base_url_can_come_from_the_environment(
    provider: str, monkeypatch: pytest.MonkeyPatch, box: Any
) -> None:
    """The provider's variable replaces its address; a slash at the end does not matter."""
    monkeypatch.setenv(providers.spec(provider).base_url_variable, box.base_url(provider) + "/")
    client = providers.client_class(provider)(*keys(provider, box))

    async def main() -> int:
        async with client:
            return int((await client.raw("GET", harmless(provider))).status)

    assert asyncio.run(main()) in _ANSWERED


def test_unknown_options_are_told(provider: str) -> None:
    """A misspelt option is a TypeError that names it."""
    with pytest.raises(TypeError, match="max_runing"):
        _made_up(provider, max_runing=3)


def test_nothing_is_left_on_a_virtual_loop(provider: str) -> None:
    """A client that is only made leaves nothing to a loop."""
    loop = VirtualTimeLoop()
    client = _made_up(provider)
    loop.run_until_complete(client.aclose())
    assert asyncio.all_tasks(loop) == set()
    loop.close()
