"""Webhooks behind ASGI: paths, sizes, methods, and what a server may do."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import pytest
from test_webhooks_parsers import BODY, HEADERS, NOW, SECRET

import avatarkit
from avatarkit import providers
from avatarkit.protocol.callback import CallbackEvent
from avatarkit.testing import VirtualClock
from avatarkit.webhooks import LARGEST_BODY, Webhooks, asgi, receiver

EVENT = b'{"task_id":"t","type":1,"status":3}'


class Signing:
    """A vendor that signs, whatever the registry has."""

    provider = "hifly"
    signed = True

    def parse(self, headers: Any, body: bytes, *, now: float, secret: str | None = None) -> CallbackEvent:
        from avatarkit.protocol.callback import signed_message_id

        message_id = ""
        if secret is not None:
            message_id = signed_message_id(self.provider, headers, body, now=now, secret=secret)
        return CallbackEvent(
            provider=self.provider, task_id="t", message_id=message_id, signed=secret is not None
        )

    def answer(self, event: CallbackEvent) -> Any:
        from avatarkit.protocol.callback import CallbackAnswer

        return CallbackAnswer(200)


class FixedClock(VirtualClock):
    def monotonic(self) -> float:
        return 100.0

    def time(self) -> float:
        return NOW


def call(
    hooks: Webhooks,
    path: str,
    body: bytes | Iterable[bytes] = EVENT,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    root_path: str = "",
    end: str = "http.request",
) -> tuple[int, dict[str, str], bytes]:
    """One request through ASGI, by hand."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        if not pieces and end != "http.request":
            return {"type": end}
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "root_path": root_path}
    asyncio.run(asgi.app(hooks)(scope, receive, send))
    start, answer = sent
    return (
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        answer["body"],
    )


@pytest.fixture
def hooks() -> Webhooks:
    return Webhooks(clock=FixedClock())


def test_path_is_long_and_secret() -> None:
    """The path ends in 32 characters that follow from the secret and the provider, and from nothing else."""
    first, again = (Webhooks(secret_path="a secret of some length") for _ in range(2))
    other, random = Webhooks(secret_path="another secret, also long"), Webhooks()

    assert first.path("hifly") == again.path("hifly")
    assert first.path("hifly").startswith("/avatarkit/hifly/")
    assert len(first.path("hifly").rpartition("/")[2]) == 32
    assert len({hooks.path("hifly") for hooks in (first, other, random, Webhooks())}) == 4
    assert first.path("hifly").rpartition("/")[2] not in repr(first)
    assert first.url("hifly", "https://x.example/") == "https://x.example" + first.path("hifly")


@pytest.mark.parametrize(
    "wrong", [{"secret_path": "short"}, {"prefix": "x"}, {"prefix": "/x/"}, {"secrets": {"hifly": SECRET}}]
)
def test_settings_that_cannot_work(wrong: dict[str, Any]) -> None:
    """A guessable secret, an odd prefix, or a signing secret for a vendor that signs nothing are refused at once."""
    with pytest.raises(avatarkit.ConfigurationError):
        Webhooks(**wrong)


def test_providers_without_callbacks(hooks: Webhooks) -> None:
    """Asking for the path of a provider that sends no callbacks, or is not there, says so."""
    for name in set(providers.names()) - set(hooks.providers):
        with pytest.raises(avatarkit.UnsupportedOperation):
            hooks.path(name)
    with pytest.raises(avatarkit.ConfigurationError):
        hooks.path("nobody")


def test_blocking_clients_are_refused() -> None:
    """A blocking client has no event loop of the caller's; that is said when it is given."""
    client: Any = avatarkit.HiFly("x")
    with pytest.raises(avatarkit.ConfigurationError, match="HiFly is no async client"):
        Webhooks(client)
    with pytest.raises(avatarkit.ConfigurationError):
        Webhooks([client])


def test_good_callback(hooks: Webhooks) -> None:
    """A callback at the right path is answered as the vendor expects, and counted."""
    status, headers, body = call(hooks, hooks.path("hifly"))

    assert (status, body) == (200, b"ok")
    assert headers["content-length"] == "2"
    assert hooks.counts.received == 1


@pytest.mark.parametrize(
    "change",
    [lambda p: p[:-1], lambda p: p + "/", lambda p: p.upper(), lambda p: p[:-1] + "é", lambda p: "/"],
)
def test_wrong_path_is_not_found(hooks: Webhooks, change: Any) -> None:
    """Any other path is 404, for every method, before anything is read."""
    for method in ("POST", "GET"):
        assert call(hooks, change(hooks.path("hifly")), [], method=method)[0] == 404
    assert hooks.counts.received == 0


def test_paths_are_compared_in_constant_time(hooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every comparison is hmac's, and right or wrong paths make equally many."""
    counted: list[bytes] = []
    real = receiver.hmac.compare_digest
    monkeypatch.setattr(receiver.hmac, "compare_digest", lambda a, b: counted.append(a) or real(a, b))

    assert hooks.provider_at(hooks.path("hifly")) == "hifly"
    right = len(counted)
    assert hooks.provider_at("/x") is None
    assert len(counted) == 2 * right


@pytest.mark.parametrize(
    ("path", "root"),
    [("/avatarkit{}", ""), ("/api/avatarkit{}", "/api"), ("/avatarkit{}", "/api"), ("{}", "/avatarkit")],
    ids=["plain", "whole path", "behind a proxy", "stripped"],
)
def test_mounted_anywhere(hooks: Webhooks, path: str, root: str) -> None:
    """Whether or not the framework strips the mount's path, the callback arrives."""
    tail = hooks.path("hifly").removeprefix("/avatarkit")

    assert call(hooks, path.format(tail), root_path=root)[0] == 200


def test_wrong_method(hooks: Webhooks) -> None:
    """Only POST delivers."""
    status, headers, _ = call(hooks, hooks.path("hifly"), method="GET")

    assert (status, headers["allow"]) == (405, "POST")


def test_body_limit(hooks: Webhooks) -> None:
    """256 KiB are read, one byte more is refused without reading on; so is a body that breaks off."""
    path, most = hooks.path("hifly"), LARGEST_BODY
    padded = EVENT[:-1] + b" " * (most - len(EVENT)) + b"}"

    assert call(hooks, path, padded)[0] == 200
    assert call(hooks, path, padded + b" ")[0] == 413
    assert call(hooks, path, [padded[: most // 2], padded[most // 2 :]])[0] == 200
    assert call(hooks, path, [b" " * 65536] * 4 + [b" "])[0] == 413
    assert call(hooks, path, [EVENT[:5], b""], end="http.disconnect")[0] == 413
    assert asyncio.run(hooks.handle("hifly", {}, b" " * (most + 1)))[0] == 413
    assert asyncio.run(hooks.handle("nobody", {}, b"{}"))[0] == 404


def test_not_json(hooks: Webhooks, caplog: pytest.LogCaptureFixture) -> None:
    """What is no JSON object is 400; the log says so once and not a thousand times, without the body."""
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            assert call(hooks, hooks.path("hifly"), b"secret garbage")[0] == 400

    assert hooks.counts.unreadable == 1000
    assert len(caplog.records) == 1
    assert "garbage" not in caplog.text


def test_signature_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a secret unsigned and wrongly signed callbacks are 401, rightly signed ones 200, and copies count once."""
    monkeypatch.setattr(receiver, "_formats", lambda: {"hifly": Signing()})
    events: list[CallbackEvent] = []
    hooks = Webhooks(secrets={"hifly": SECRET}, clock=FixedClock(), on_event=events.append)
    path = hooks.path("hifly")

    assert call(hooks, path, BODY)[0] == 401
    assert call(hooks, path, BODY + b" ", headers=HEADERS)[0] == 401
    assert call(hooks, path, BODY, headers={name.title(): value for name, value in HEADERS.items()})[0] == 200
    assert call(hooks, path, BODY, headers=HEADERS)[0] == 200
    assert (hooks.counts.forged, hooks.counts.received, hooks.counts.copies, len(events)) == (2, 2, 1, 1)
    assert events[0].signed


def test_bad_signing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signing secret that is none is found when the program starts, not when the first callback comes."""
    monkeypatch.setattr(receiver, "_formats", lambda: {"hifly": Signing()})
    for secret in ("whsec_!!!", "", "whsec_QUJD"):
        with pytest.raises(avatarkit.ConfigurationError):
            Webhooks(secrets={"hifly": secret})


def test_lifespan_and_websockets(hooks: Webhooks) -> None:
    """A server that sends lifespan events gets its answers; a websocket is closed."""
    sent: list[str] = []

    def run(scope: str, *messages: str) -> list[str]:
        queue = list(messages)

        async def receive() -> dict[str, Any]:
            return {"type": queue.pop(0)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        sent.clear()
        asyncio.run(asgi.app(hooks)({"type": scope}, receive, send))
        return list(sent)

    events = ["lifespan.startup", "lifespan.shutdown"]
    assert run("lifespan", *events) == [f"{event}.complete" for event in events]
    assert run("websocket", "websocket.connect") == ["websocket.close"]


def test_httpx_can_call_it(hooks: Webhooks) -> None:
    """An ASGI client of somebody else's is content with what it gets."""
    import httpx

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=asgi.app(hooks))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(hooks.path("hifly"), content=EVENT)

    answer = asyncio.run(main())
    assert (answer.status_code, answer.text) == (200, "ok")
