"""A second, invented provider with other habits: issued tokens, lists, per-task events on every change, signatures."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import ClassVar

import aiohttp
import orjson
from aiohttp import web

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeCallback, MediaOrder, json_response
from avatarkit.sandbox import AsyncSandbox, local
from avatarkit.testing import VirtualClock, run_virtual


class Other:
    """Paths from the root, tokens that expire, tasks in a list, money in yuan."""

    name = "other"
    base_path = ""
    switches: ClassVar = {"token_seconds": 100.0}
    callback_statuses = frozenset({Status.QUEUED, Status.RUNNING, Status.SUCCEEDED, Status.FAILED})

    def stock(self):
        return []

    def handle(self, request, world):
        tokens = world.memory(self.name)
        if request.path == "/token":
            account = world.account(self.name, request.query.get("app", ""))
            token = world.new_id().hex()
            tokens[token] = (account, world.now() + world.switch(self.name, "token_seconds", account))
            return json_response({"token": token})
        account, until = tokens.get(request.query.get("token", ""), (None, 0.0))
        if world.now() >= until:
            return json_response({"code": "40003", "success": False})
        if request.method == "GET":
            tasks = world.tasks(account)
            states = {task.id: task.status(world.now()).value for task in tasks}
            return json_response({"data": states}, looked_at=list(states))
        task = world.accept(
            account,
            task_id=str(world.unfinished(account, ("video",)) + 1),
            endpoint=f"POST {request.path}",
            kind="video",
            request=request.json(),
            order=MediaOrder(media="video", text="hi"),
            cost=0.5,
            callback_url=request.json()["callbackUrl"],
        )
        return json_response({"data": task.id}, accepted=task)

    def callback(self, task, status, world):
        body = orjson.dumps({"id": task.id, "status": status.value})
        secret = world.account(self.name, task.account).secret.encode()
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        return FakeCallback(url=task.callback_url, body=body, headers={"x-signature": signature})


def test_a_provider_with_other_habits_needs_nothing_but_its_fake(monkeypatch):
    """Tokens expire, one list serves all tasks, and every change is told with a signature, in virtual time."""
    monkeypatch.setattr(local, "find_fakes", lambda: {"other": Other()})
    told = []

    async def receive(request):
        body = await request.read()
        told.append((json.loads(body)["status"], request.headers["x-signature"], body))
        return web.Response()

    async def main():
        runner = web.ServerRunner(web.Server(receive))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with (
            AsyncSandbox(render="tiny", clock=VirtualClock(), run_seconds=50.0) as sandbox,
            aiohttp.ClientSession() as session,
        ):
            base = sandbox.base_url("other")

            async def ask(method, path, **options):
                async with session.request(method, base + path, **options) as got:
                    return await got.json()

            token = (await ask("GET", "/token?app=sandbox-token"))["token"]
            sent = {"callbackUrl": f"http://{host}:{port}/"}
            for expected in ("1", "2"):
                assert (await ask("POST", f"/make?token={token}", json=sent))["data"] == expected
            assert (await ask("GET", f"/list?token={token}"))["data"] == {"1": "queued", "2": "queued"}
            await asyncio.sleep(60)
            assert (await ask("GET", f"/list?token={token}"))["data"] == {"1": "succeeded", "2": "succeeded"}
            await asyncio.sleep(60)
            assert (await ask("GET", f"/list?token={token}"))["code"] == "40003"
            assert sandbox.credits(provider="other") == 9999.0
            assert sandbox.seen.polls == {"1": 2, "2": 2}
            secret = sandbox.secret.encode()
        await runner.cleanup()
        assert [status for status, _, _ in told] == [
            "queued",
            "queued",
            "running",
            "running",
            "succeeded",
            "succeeded",
        ]
        assert all(hmac.new(secret, body, hashlib.sha256).hexdigest() == sent for _, sent, body in told)

    run_virtual(main)
