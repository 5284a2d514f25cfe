"""Results of a run into a folder or an object store, each exactly once, beside what lay there before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from avatarkit._version import __version__
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.naming import EXTENSIONS, NameTemplate
from avatarkit.bulk.output_folder import Folder
from avatarkit.bulk.output_places import SIDECAR, Kept, Owner, Place, hash_of_run
from avatarkit.bulk.output_store import StoreFolder
from avatarkit.bulk.records import Job, Run
from avatarkit.bulk.specs import Row, request_to_json
from avatarkit.bulk.stages import Sink
from avatarkit.errors import AvatarKitError, ConfigurationError, DownloadFailed
from avatarkit.protocol.redact import scrub
from avatarkit.transport.store_urls import is_store_url

_PROBE = ".avatarkit-probe"
_PROBE_SECONDS = 60.0


class Output:
    """Where a run's videos go. Safe to be asked twice for one job, also by two workers.

    Args:
        out: a folder, which is made when it is missing; or a URL, ``s3://bucket/prefix``, ``oss://``, ``gs://``, ``az://``.
        name: template of the files' names, see :class:`~avatarkit.bulk.naming.NameTemplate`.
        provider: what ``{provider}`` stands for.
        sidecar: whether each file gets a JSON file beside it that says what it is.
        store: a store object of obstore's; *out* then is the prefix in it.
        born: when the run was begun, which tells it from others of its name.

    Raises:
        ConfigurationError, MissingExtra: the template is wrong, or the store cannot be used.

    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        *,
        name: str = "{key}",
        provider: str = "",
        sidecar: bool = False,
        store: object | None = None,
        born: float = 0.0,
    ) -> None:
        self._born = born
        self.template = NameTemplate(name, provider)
        self._provider = provider
        self._out = str(out)
        self._sidecar = sidecar
        remote = store is not None or is_store_url(out)
        self._place: Place = StoreFolder(str(out), store) if remote else Folder(out, sidecar=sidecar)

    @classmethod
    def of(cls, run: Run) -> Output:
        """What the settings of a run say."""
        given = run.settings
        return cls(
            given.out, name=given.name, provider=given.provider, sidecar=given.sidecar, born=run.created
        )

    async def check(self) -> None:
        """See whether anything can be written, before anything is paid for; leaves nothing behind.

        Raises:
            ConfigurationError: it cannot, or the place does not answer within a minute.
            MissingCredentials: the store's are not there.

        """
        probe = f"{_PROBE}-{secrets.token_hex(8)}"  # workers that begin together look at the same time
        owner = Owner.of("", probe, "")
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._place.claim(probe, owner)
                await self._place.release(probe, owner)
        except (DownloadFailed, TimeoutError) as error:
            why = str(error) or f"no answer within {_PROBE_SECONDS:g} s"
            raise ConfigurationError(
                f"results cannot be written to {scrub(self._out)}: {why}",
                hint="Nothing was submitted. See to the folder, or to the store's address and credentials.",
            ) from None

    async def put(self, artifact: Any, job: Job, row: Row) -> Mapping[str, Any]:
        """Store *artifact*, the result of *job*, unless an earlier attempt did; gives the facts of the file.

        An interrupted download is gone on with. The plain name is taken when nothing is there; else one with a suffix
        made of run and key. Only this job's own file is ever replaced.

        Returns:
            ``file``: its name below *out*; ``bytes``; ``seconds``: the video's length, where the provider tells;
            ``sha256`` where it was computed; ``location`` in an object store.

        Raises:
            LinkExpired, DownloadFailed: it could not be fetched or stored; trying again may help.
            ConfigurationError, MissingCredentials: the store cannot be used.

        """
        owner = self._owner(job)
        names = [
            *self.template.names(row, run=self._whole_name(job.run), extension=_extension(artifact)),
            _last(owner, artifact),
        ]
        kept = await self._place.put(artifact, names, owner)
        facts = self._facts(artifact, kept)
        if self._sidecar:
            await self._place.write(f"{kept.name}{SIDECAR}", self._described(artifact, job, row, facts))
        return facts

    async def settled(self, job: Job, result: Mapping[str, Any]) -> None:
        """The ledger knows the file now: drop the claim that was kept for a killed attempt. Never raises for it."""
        name = result.get("file")
        if isinstance(name, str) and name:
            await self._place.release(name, self._owner(job))

    async def discard(self, job: Job, result: Mapping[str, Any]) -> None:
        """Remove what :meth:`put` stored for *job*: another worker was quicker, and the ledger has its file."""
        name = result.get("file")
        if isinstance(name, str) and name:
            await self._place.remove(name, self._owner(job))

    async def tidy(self, run: str) -> None:
        """Drop the claims that killed processes of *run* left, once the ledger has all its results.

        Never raises for it.
        """
        await self._place.tidy(hash_of_run(self._whole_name(run)))

    async def aclose(self) -> None:
        """Let go of what is open."""
        await self._place.aclose()

    def _whole_name(self, run: str) -> str:
        # Most runs are called the same, and many jobs are, too.
        return f"{run}\0{self._born!r}"

    def _owner(self, job: Job) -> Owner:
        return Owner.of(self._whole_name(job.run), job.key, job.task_id)

    def _facts(self, artifact: Any, kept: Kept) -> dict[str, Any]:
        facts: dict[str, Any] = {"file": kept.name, "bytes": kept.size}
        if artifact.duration is not None:
            facts["seconds"] = artifact.duration
        if kept.sha256:
            facts["sha256"] = kept.sha256
        if location := self._place.location(kept.name):
            facts["location"] = location
        return facts

    def _described(self, artifact: Any, job: Job, row: Row, facts: Mapping[str, Any]) -> bytes:
        document = {
            "avatarkit": __version__,
            "provider": self._provider,
            "run": job.run,
            "key": job.key,
            "task_id": job.task_id,
            "submitted_at": job.submitted_at,
            "ended_at": job.ended_at,
            "cost": artifact.cost,
            **facts,
            "request": request_to_json(row.request),
            "columns": dict(row.columns),
        }
        return orjson.dumps(unsigned(document), option=orjson.OPT_INDENT_2)


async def tidy_up(sink: Sink, ledger: Ledger, run: Run) -> None:
    """:meth:`Output.tidy`, if nothing moves any more: another worker might claim a name now. Never raises for it."""
    with contextlib.suppress(AvatarKitError):
        jobs = (await ledger.counts(run.id)).jobs
        if all(state.over for state, many in jobs.items() if many):
            await sink.tidy(run.id)


def unsigned(value: Any) -> Any:
    """*value*, plain data, with every URL in it bare of its query, where signatures are."""
    if isinstance(value, str):
        return scrub(value) if "://" in value else value
    if isinstance(value, Mapping):
        return {name: unsigned(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [unsigned(each) for each in value]
    return value


def _extension(artifact: Any) -> str:
    ending = str(artifact.url).partition("?")[0].rpartition(".")[2].lower()
    return ending if ending in EXTENSIONS else "mp4"


def _last(owner: Owner, artifact: Any) -> str:
    """A name for when nothing else goes, such as where a file stands in a folder's way: results are not given up."""
    return f"video-{owner.job}-{owner.task[:8]}.{_extension(artifact)}"
