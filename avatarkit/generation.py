"""From a request that holds for every provider to the steps of one.

Everything that can be found out is found out before the first billed step: :func:`ready` looks into the material of all
steps. For that a provider's ``generate.py`` may have, beside ``plan`` and ``CAPABILITIES``:

- ``MEDIA``: the arguments that hold material, by operation, and their rules;
- ``STAGED``: those among them that the provider takes as URLs only, so that local files need a staging;
- ``look(step, argument, facts, check=…)``: what is wrong with a local file that its rule cannot say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from avatarkit import providers
from avatarkit.artifacts import AsyncVideo
from avatarkit.chain import AsyncChain
from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.models import UploadedFile
from avatarkit.protocol.chain_token import ChainHandle
from avatarkit.protocol.limits import MediaFacts, MediaRule
from avatarkit.protocol.plan import Capabilities, Made, Step
from avatarkit.request import VideoRequest
from avatarkit.settings import CallOptions
from avatarkit.steps import kept, name_made, perform
from avatarkit.task import AsyncTask
from avatarkit.transport.preflight import check_media, inspect
from avatarkit.transport.sources import Source, as_source, is_url
from avatarkit.transport.staging import VARIABLE, staging_of

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient


def all_capabilities() -> list[Capabilities]:
    """What every provider can make; those without a ``generate.py`` are left out."""
    found = []
    for name in providers.names():
        with contextlib.suppress(ModuleNotFoundError):
            found.append(providers.part(name, "generate").CAPABILITIES)
    return found


async def generate(
    client: AsyncClient, request: VideoRequest, options: CallOptions | None
) -> AsyncTask[AsyncVideo]:
    """What :meth:`AsyncClient.generate` does."""
    generation = providers.part(client.spec.name, "generate")
    plan = generation.plan(request, others=all_capabilities())
    if len(plan.steps) == 1:
        task: AsyncTask[AsyncVideo] = await perform(client, plan.steps[0], {}, options=options)
        return task
    steps = await ready(client, plan.steps, generation, options)
    name, born = client.new_name()
    made: dict[int, Mapping[str, Any]] = {}
    for at, step in enumerate(steps):
        last = at == len(steps) - 1
        try:
            answer = await perform(
                client, step, made, name="" if last else f"{name}-{at + 1}", options=options
            )
        except BaseException as error:
            name_made(error, steps, made)
            raise
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
            return client.keep_chain(AsyncChain(client, handle, answer, options=options))
        made[at] = kept(step, answer)
    raise AssertionError("a plan has at least one step")


async def ready(
    client: AsyncClient, steps: tuple[Step, ...], generation: Any, options: CallOptions | None
) -> tuple[Step, ...]:
    """*steps* with the material of all looked into, and that of later ones uploaded where the provider takes uploads.

    Before anything is paid for, and so that the chain's token can be carried elsewhere.

    Raises:
        InvalidRequest: something is wrong with the material; everything is listed. Nothing was sent.
        UnsupportedOperation: a local file that the provider takes as a URL only, and no staging. Nothing was sent.
        ConfigurationError, MissingExtra: the staging cannot work as it is set up.

    """
    wanted = options.preflight if options is not None else None
    check = client.preflight if wanted is None else wanted
    rules: Mapping[str, Mapping[str, MediaRule]] = getattr(generation, "MEDIA", {})
    staged: Mapping[str, frozenset[str]] = getattr(generation, "STAGED", {})
    look = getattr(generation, "look", None)
    uploads, problems = getattr(client, "files", None), list[str]()
    local: dict[tuple[int, str], Source] = {}
    for at, step in enumerate(steps):
        for name, rule in rules.get(step.operation, {}).items():
            source = await _local(name, step.arguments.get(name), rule, problems, uploads=uploads is not None)
            if source is None:
                continue
            local[at, name] = source
            problems += await check_media(name, source, rule) if check else []
            problems += look(step, name, await _facts(source), check=check) if look is not None else []
    if problems:
        raise InvalidRequest(problems)
    for (at, name), source in local.items():
        if name in staged.get(steps[at].operation, ()):
            _needs_staging(client, name, source)
    if uploads is None:
        return steps
    return await _uploaded(uploads, steps, [place for place in local if place[0]])


async def _local(
    name: str, value: Any, rule: MediaRule, problems: list[str], *, uploads: bool
) -> Source | None:
    """The local material that *value* is; None for anything else. Adds what is wrong with it to *problems*."""
    if value is None or isinstance(value, Made):
        return None
    if isinstance(value, UploadedFile):
        if not uploads:
            problems.append(f"{name}: an uploaded file found, a local file or a URL allowed")
        return None
    if is_url(value):
        if any(char.isspace() for char in value):
            problems.append(f"{name}: not an http(s) URL")
        problems += rule.check_url(name, value)
        return None
    try:
        return await as_source(value)
    except InvalidRequest as error:
        problems += [f"{name}: {problem}" for problem in error.problems]
        return None


async def _facts(source: Source) -> MediaFacts | None:
    with contextlib.suppress(OSError):
        return await inspect(source)
    return None


def _needs_staging(client: AsyncClient, name: str, source: Source) -> None:
    account = client._account  # noqa: SLF001 - the client's own work, in a module of its own
    if staging_of(account) is None:
        raise UnsupportedOperation(
            f"{name}: {client.spec.title} takes only URLs here, and {source.name} is a local file",
            hint=f"Give a URL, or say where local files may be put: staging='s3://bucket/prefix' or {VARIABLE}.",
        )


async def _uploaded(uploads: Any, steps: tuple[Step, ...], places: list[tuple[int, str]]) -> tuple[Step, ...]:
    """*steps* with what lies at *places*, step and argument, uploaded."""
    found = {
        (at, name): await uploads.upload(steps[at].arguments[name]) for at, name in dict.fromkeys(places)
    }
    return tuple(
        attrs.evolve(
            step,
            arguments={name: found.get((at, name), value) for name, value in step.arguments.items()},
        )
        for at, step in enumerate(steps)
    )
