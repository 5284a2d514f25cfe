"""From a wanted video to the jobs of a ledger: one for the video, and a shared one for each part it needs.

A part is known by what it is made from: the operation, its arguments, and the content of local files. So 500 videos
with one picture clone one avatar, and a run that is started again finds the part that it has paid for.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import orjson

from avatarkit import providers
from avatarkit.bulk.checking import Use, uses_of
from avatarkit.bulk.records import Job, NewJob
from avatarkit.bulk.specs import Row, row_from
from avatarkit.errors import InvalidRequest
from avatarkit.generation import all_capabilities
from avatarkit.protocol.limits import TextRule
from avatarkit.protocol.marks import mark_of, marked, plain
from avatarkit.protocol.plan import Capabilities, Made, Step
from avatarkit.protocol.step_json import step_from_json, step_to_json
from avatarkit.request import VideoRequest
from avatarkit.transport.sources import is_url

PART = "@"
"""How the key of a part begins; keys of videos do not."""

_PIECE = 1 << 20


@attrs.frozen
class Ready:
    """A job that can be submitted: its step, and what the parts made."""

    step: Step
    made: Mapping[int, Mapping[str, Any]]


class Planner:
    """Plans the jobs of one provider. Keeps hashes of local files, so that each is read once."""

    def __init__(self, provider: str) -> None:
        self._generation = providers.part(provider, "generate")
        self._costs: Mapping[str, float] = getattr(self._generation, "PART_COSTS", {})
        self._lasts: Mapping[str, float] = getattr(self._generation, "PART_LASTS", {})
        self._others = all_capabilities()
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._titles: TextRule | None = getattr(providers.part(provider, "limits"), "TITLE", None)

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can make."""
        found: Capabilities = self._generation.CAPABILITIES
        return found

    def steps(self, request: VideoRequest) -> tuple[Step, ...]:
        """The steps to the video.

        Raises:
            InvalidRequest, UnsupportedOperation: as :meth:`AsyncClient.generate`.

        """
        found: tuple[Step, ...] = self._generation.plan(request, others=self._others).steps
        return found

    def files(self, request: VideoRequest, steps: tuple[Step, ...]) -> list[Use]:
        """The material that *steps* take, and what holds for it."""
        return list(uses_of(request, steps, getattr(self._generation, "MEDIA", {})))

    @property
    def free(self) -> Mapping[str, TextRule]:
        """The fields of a request that are no part of its shape; see ``shapes.py``."""
        found: Mapping[str, TextRule] = getattr(self._generation, "FREE", {})
        return found

    def unstaged(self, steps: tuple[Step, ...]) -> list[str]:
        """The local files of *steps* that the provider takes as URLs only, for a client without a staging."""
        staged: Mapping[str, frozenset[str]] = getattr(self._generation, "STAGED", {})
        return [
            f"{name}: a local file found, which {self.capabilities.title} takes as a URL only; give a URL, or say "
            "where local files may be put (staging, AVATARKIT_STAGING)"
            for step in steps
            for name in sorted(staged.get(step.operation, ()))
            if isinstance(value := step.arguments.get(name), str | os.PathLike) and not is_url(value)
        ]

    def parts(self, steps: tuple[Step, ...]) -> tuple[NewJob, ...]:
        """The jobs of *steps* that come before the video. Reads local files that they are made from, once each.

        Raises:
            InvalidRequest: one cannot be made.

        """
        return tuple(self._part(step) for step in steps[:-1])

    def cost(self, request: VideoRequest, parts: Sequence[NewJob]) -> float | None:
        """What *request* is expected to cost without its *parts*: those are shared by many, so each has its own."""
        estimate: float | None = self._generation.estimate(request)
        return None if estimate is None else max(0.0, estimate - sum(part.estimate or 0.0 for part in parts))

    def _part(self, step: Step) -> NewJob:
        if any(isinstance(value, Made) for value in step.arguments.values()):
            raise InvalidRequest(f"{step.operation} needs another part, which bulk runs do not do")
        body = orjson.dumps({"step": step_to_json(step)}, option=orjson.OPT_SORT_KEYS)
        files = "".join(self._content(value) for value in step.arguments.values())
        digest = hashlib.sha256(body + files.encode()).hexdigest()[:20]
        return NewJob(
            key=f"{PART}{step.operation}:{digest}",
            spec=memoryview(body).tobytes(),  # a copy without the room of 4 KB that orjson writes into
            part=True,
            estimate=self._costs.get(step.operation),
        )

    def _content(self, value: Any) -> str:
        if not isinstance(value, str | os.PathLike) or is_url(value):
            return ""
        path = Path(value)
        try:
            facts = path.stat()
            if not path.is_file():
                return ""
        except (OSError, ValueError):
            return ""  # a text, or a file that the preflight will miss
        place = (str(path.absolute()), facts.st_size, facts.st_mtime_ns)
        known = self._hashes.get(place)
        if known is None:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            known = self._hashes[place] = digest.hexdigest()
        return known

    def lasts(self, part: Job) -> float:
        """Seconds for which what *part* made can be used."""
        return float(self._lasts.get(str(part.result.get("operation", "")), math.inf))

    def ready(self, job: Job, request: VideoRequest | None, parts: Mapping[str, Job]) -> Ready:
        """What submitting *job* takes.

        Raises:
            InvalidRequest, UnsupportedOperation: it cannot be made (any more).

        """
        if job.part:
            return Ready(step_from_json(orjson.loads(job.spec)["step"]), {})
        assert request is not None
        made = {at: parts[key].result for at, key in enumerate(part_keys(job.spec))}
        return Ready(self.steps(request)[-1], made)

    def name(self, job: Job, step: Step, attempt: int, *, born: float) -> tuple[Step, str]:
        """*step* and the name it is sent with: one that tells this attempt from every other of the account's.

        *born* is when the run was begun: two ledgers may well hold runs and jobs of the same names.

        A title of the user's gets a mark where the provider can be searched for it; an external id of the user's stays.
        """
        mark = mark_of(f"{born:.6f}", job.run, job.key, attempt)
        given = step.arguments.get(step.named_by) if step.named_by else None
        if given is not None and step.named_by == "external_task_id" and attempt > 1:
            # A user's own id that was sent before is refused, and would hide why the first one failed.
            again = {**step.arguments, step.named_by: f"{given}-{attempt}"}
            return attrs.evolve(step, arguments=again), f"{given}-{attempt}"
        if given is None or not self.capabilities.searchable or step.named_by != "title":
            return step, plain(mark)
        title = marked(str(given), mark)
        if self._titles is not None and self._titles.max_chars and len(title) > self._titles.max_chars:
            return step, plain(mark)
        return attrs.evolve(step, arguments={**step.arguments, "title": title}), title


def job_of(key: str, spec: bytes, parts: Sequence[NewJob], cost: float | None) -> NewJob:
    """The job of a video that is made out of *parts*; *spec* is its row as JSON."""
    keys = tuple(part.key for part in parts) if parts else ()
    listed = orjson.dumps(keys) if keys else b"[]"
    return NewJob(key=key, spec=b'{"parts":' + listed + b',"row":' + spec + b"}", needs=keys, estimate=cost)


def check_key(key: str) -> None:
    """Raise InvalidRequest unless *key* can be a video's."""
    if not key or key.startswith(PART):
        raise InvalidRequest(f"key: {key[:40]!r} found, a text that does not begin with {PART} allowed")


def part_keys(spec: bytes) -> tuple[str, ...]:
    """The keys of the parts that a video's job needs, in the order of its steps. Raises as :func:`row_in`."""
    return _opened(spec)[0]


def row_in(spec: bytes) -> Row:
    """The row of a video's job. Raises InvalidRequest: it cannot be read."""
    return _opened(spec)[1]


@lru_cache(maxsize=1024)  # it is wanted when a job is submitted, and again when its result gets a name
def _opened(spec: bytes) -> tuple[tuple[str, ...], Row]:
    document = orjson.loads(spec)
    return tuple(document.get("parts", ())), row_from(document["row"])
