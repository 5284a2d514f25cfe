"""The example services work as they stand: against the sandbox, over real sockets, in virtual time."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web

import avatarkit
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.testing import VirtualClock, run_virtual

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
Story = Callable[[avatarkit.AsyncSandbox, aiohttp.ClientSession], Awaitable[None]]
SLOW = avatarkit.Polling(shortest=5000, longest=10_000)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relay(service: Any) -> web.Application:
    """An aiohttp server in front of an ASGI application: what uvicorn would do."""
    transport = httpx.ASGITransport(app=service)

    async def forward(request: web.Request) -> web.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            answer = await client.request(
                request.method,
                request.path_qs,
                content=await request.read(),
                headers={"content-type": request.headers.get("content-type", "application/json")},
                timeout=None,
            )
        return web.Response(status=answer.status_code, body=answer.content, content_type="application/json")

    async def living(app: web.Application) -> AsyncIterator[None]:
        async with service.router.lifespan_context(service):
            yield

    app = web.Application()
    app.cleanup_ctx.append(living)
    app.router.add_route("*", "/{tail:.*}", forward)
    return app


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture(params=["fastapi_app", "aiohttp_app"])
def serve(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Story], None]:
    """Plays a story with an example's service, over sockets and in virtual time."""
    monkeypatch.setenv("WEBHOOK_SECRET", "a secret that is long enough")
    monkeypatch.setenv("HIFLY_TOKEN", "sandbox-token")
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    made = load(request.param).create_app

    async def main(story: Story) -> None:
        clock = VirtualClock()
        async with avatarkit.AsyncSandbox(
            clock=clock, render="tiny", queue_seconds=1.0, run_seconds=60.0
        ) as sandbox:
            app = made(base_url=sandbox.base_url("hifly"), clock=clock, polling=SLOW, seed=2)
            async with running(app if isinstance(app, web.Application) else relay(app)) as base:
                path = capsys.readouterr().out.split("https://example.com")[1].strip()
                sandbox.set_account(callback_url=base + path)
                async with aiohttp.ClientSession(base) as session:
                    await story(sandbox, session)

    return lambda story: run_virtual(lambda: main(story))


def test_example(serve: Callable[[Story], None]) -> None:
    """Submit, see it run, be answered as soon as the callback comes, get a URL; failures and bad tokens are told."""
    serve(journey)


def test_mistakes_are_the_customers(serve: Callable[[Story], None]) -> None:
    """A wrong id, text, token or body is 4xx and says what is wrong; a doubt is 502, and what was not sent 503."""
    serve(mistakes)


async def journey(sandbox: avatarkit.AsyncSandbox, session: aiohttp.ClientSession) -> None:
    async def ask(token: str, wait: int) -> tuple[int, Any]:
        async with session.get(f"/videos/{token}", params={"wait": str(wait)}) as answer:
            return answer.status, await answer.json() if answer.status == 200 else None

    async def submit() -> str:
        order = {"text": "Hello", **await stock(sandbox)}
        async with session.post("/videos", json=order) as answer:
            assert answer.status == 202
            return str((await answer.json())["token"])

    token = await submit()
    assert (await ask(token, 5))[1]["status"] in ("queued", "running")
    status, told = await ask(token, 600)
    assert (status, told["status"]) == (200, "succeeded")
    assert told["url"].startswith("http")
    assert asyncio.get_running_loop().time() < 65
    sandbox.fail_next(code=2013)
    assert (await ask(await submit(), 600))[1] == {"status": "failed", "reason": "bad_input"}
    assert (await ask("nonsense", 1))[0] == 404


async def mistakes(sandbox: avatarkit.AsyncSandbox, session: aiohttp.ClientSession) -> None:
    async def told(method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with session.request(method, path, **options) as answer:
            return answer.status, await answer.json()

    order = {"text": "Hello", **await stock(sandbox)}
    status, body = await told("POST", "/videos", json=order | {"avatar": "nobody"})
    assert (status, "not found" in body["detail"]) == (404, True)
    status, body = await told("POST", "/videos", json=order | {"text": " "})
    assert (status, "text: " in body["detail"]) == (422, True)
    status, body = await told("GET", "/videos/nonsense")
    assert (status, "token" in body["detail"]) == (404, True)
    for wrong in ({"text": "Hello"}, [1], "text", order | {"avatar": {"a": 1}}):
        async with session.post("/videos", json=wrong) as answer:
            assert answer.status == 422
    async with session.post("/videos", data=b"{", headers={"content-type": "application/json"}) as answer:
        assert answer.status == 422
    for wait in ("soon", "nan", "inf", "-1", "1e9"):
        async with session.get("/videos/nonsense", params={"wait": wait}) as answer:
            assert answer.status == 422
    assert sandbox.seen.tasks == []
    sandbox.faults.add(endpoint="*/video/create_by_tts", fault="reset_after")
    status, body = await told("POST", "/videos", json=order)
    assert (status, "not known whether" in body["detail"]) == (502, True)
    assert len(sandbox.seen.tasks) == 1
    sandbox.faults.add(endpoint="*/video/create_by_tts", fault=Fault(kind=FaultKind.REFUSE, seconds=1e6))
    assert (await told("POST", "/videos", json=order))[0] == 503


async def stock(sandbox: avatarkit.AsyncSandbox) -> dict[str, str]:
    async with avatarkit.AsyncHiFly(
        sandbox.token, base_url=sandbox.base_url("hifly"), clock=VirtualClock()
    ) as client:
        avatar = (await client.avatars.list(size=1)).items[0].id
        voice = (await client.voices.list(size=1, kind=2)).items[0].id
    return {"avatar": avatar, "voice": voice}
