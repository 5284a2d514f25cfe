"""From a request that holds for every provider to the steps of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from avatarkit import providers
from avatarkit.artifacts import AsyncVideo
from avatarkit.chain import AsyncChain, kept, perform
from avatarkit.errors import InvalidRequest
from avatarkit.models import UploadedFile
from avatarkit.protocol.chain_token import ChainHandle
from avatarkit.protocol.limits import MediaRule
from avatarkit.protocol.plan import Capabilities, Made, Step
from avatarkit.request import VideoRequest
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.preflight import check_media
from avatarkit.transport.sources import as_source, is_url

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient


def all_capabilities() -> list[Capabilities]:
    """What every provider can make."""
    return [providers.part(name, "generate").CAPABILITIES for name in providers.names()]


async def generate(
    client: AsyncClient, request: VideoRequest, options: CallOptions | None
) -> AsyncTask[AsyncVideo]:
    """What :meth:`AsyncClient.generate` does."""
    generation = providers.part(client.spec.name, "generate")
    plan = generation.plan(request, others=all_capabilities())
    if len(plan.steps) == 1:
        task: AsyncTask[AsyncVideo] = await perform(client, plan.steps[0], {}, options=options)
        return task
    steps = await ready(client, plan.steps, getattr(generation, "MEDIA", {}), options)
    name, born = client.new_name()
    made: dict[int, Mapping[str, Any]] = {}
    for at, step in enumerate(steps):
        last = at == len(steps) - 1
        answer = await perform(client, step, made, name="" if last else f"{name}-{at + 1}", options=options)
        if last:
            return cast("AsyncTask[AsyncVideo]", answer)
        if step.makes is not None:
            handle = ChainHandle(
                provider=client.spec.name,
                account=client.account_id,
                name=name,
                born=born,
                steps=steps,
                at=at,
                made=made,
            )
            return client.keep_chain(AsyncChain(client, handle, answer, resumed=False))
        made[at] = kept(step, answer)
    raise AssertionError("a plan has at least one step")


async def ready(
    client: AsyncClient,
    steps: tuple[Step, ...],
    rules: Mapping[str, Mapping[str, MediaRule]],
    options: CallOptions | None,
) -> tuple[Step, ...]:
    """*steps* with the material of later ones looked into, and uploaded where the provider takes uploads.

    Before anything is paid for, and so that the chain's token can be carried elsewhere.
    """
    wanted = options.preflight if options is not None else None
    check = client.preflight if wanted is None else wanted
    uploads, problems, sources = getattr(client, "files", None), list[str](), dict[tuple[int, str], Any]()
    for at, step in enumerate(steps):
        for name, rule in rules.get(step.operation, {}).items():
            value = step.arguments.get(name)
            if value is None or isinstance(value, Made | UploadedFile) or is_url(value):
                continue
            source = await as_source(value)
            problems += await check_media(name, source, rule) if check else []
            if at and uploads is not None:
                sources[at, name] = value
    if problems:
        raise InvalidRequest(problems)
    found = {place: await uploads.upload(value) for place, value in sources.items()} if uploads else {}
    return tuple(
        attrs.evolve(
            step,
            arguments={name: found.get((at, name), value) for name, value in step.arguments.items()},
        )
        for at, step in enumerate(steps)
    )
