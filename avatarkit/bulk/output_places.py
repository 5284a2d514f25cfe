"""Where results of a run go, and who owns a name there: a folder, or a prefix in an object store.

Before a file is written its name is claimed, in a small note below ``.avatarkit``, which goes when the ledger knows the
file. So an attempt that was killed finds what it had written, two jobs never write one file, and what lay there before
is never touched. A file counts as the claimant's when it is not older than the claim: both ages are of one clock.
"""

from __future__ import annotations

import enum
import functools
import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import attrs
import orjson

from avatarkit.bulk.naming import folded

NOTES = ".avatarkit"
"""The folder of claims. No result is ever named so, for names do not begin with a dot."""

SIDECAR = ".json"
"""What a sidecar's name ends with."""


@attrs.frozen
class Owner:
    """Who claims a name, as hashes: the job in its run, and the task whose result it is; and the run by itself."""

    job: str
    task: str
    run: str = attrs.field(default="", eq=False)

    @classmethod
    def of(cls, run: str, key: str, task_id: str) -> Owner:
        """The owner for a job's task."""
        return cls(_hash(f"{run}\0{key}"), _hash(task_id), hash_of_run(run))


class Held(enum.Enum):
    """What claiming a name showed."""

    FREE = "free"
    """It is ours now, and nothing is there."""
    THERE = "there"
    """It is ours, and so is the whole file of this task that is there."""
    OLDER = "older"
    """It is ours, and what is there is this job's, of an earlier task: it may be replaced."""
    TAKEN = "taken"
    """It is somebody else's."""


@attrs.frozen
class Claim:
    """The answer to a claim; *size* in bytes of what is there; *new* when the claim was made now, and is ours."""

    held: Held
    size: int = 0
    new: bool = False


@attrs.frozen
class Kept:
    """A stored result: its name, its size in bytes, and its SHA-256 where that was computed."""

    name: str
    size: int
    sha256: str = ""


class Place(Protocol):
    """Somewhere results go. Names are relative, with ``/`` between their parts."""

    async def put(self, artifact: Any, names: Sequence[str], owner: Owner) -> Kept:
        """Store *artifact* under the first of *names* that can be had, unless an earlier attempt of *owner*'s did.

        Raises what fetching it raises, and DownloadFailed when the place does not work now or every name is taken.
        """
        ...

    async def claim(self, name: str, owner: Owner) -> Claim:
        """Try to have *name*. Raises DownloadFailed when the place does not work now."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Write a small file, whole or not at all, over an older one."""
        ...

    async def release(self, name: str, owner: Owner) -> None:
        """Drop the claim. What does not work is left for good: a claim left over does no harm."""
        ...

    async def remove(self, name: str, owner: Owner) -> None:
        """Remove what lies at *name*, its sidecar and the claim, if the claim is *owner*'s; else nothing."""
        ...

    async def tidy(self, run: str) -> None:
        """Drop what claims of *run* (its hash) were left. What does not work is left for good."""
        ...

    def location(self, name: str) -> str:
        """Where *name* lies, for people; ``""`` for a path below the folder."""
        ...

    async def aclose(self) -> None:
        """Let go of what is open."""
        ...


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@functools.lru_cache(maxsize=64)
def hash_of_run(run: str) -> str:
    """What claims call a run."""
    return _hash(run)


@functools.lru_cache(maxsize=2048)
def note_of(name: str) -> str:
    """The claim's own name; names that some file systems take for one have one claim."""
    return f"{NOTES}/{_hash(folded(name))}"


@attrs.frozen
class Note:
    """What a claim says: whose it is, and how large the file will be, where that was known."""

    owner: Owner = Owner("", "")
    size: int | None = None

    def to_bytes(self) -> bytes:
        """A claim's content."""
        size = {} if self.size is None else {"size": self.size}
        owner = self.owner
        return orjson.dumps({"job": owner.job, "task": owner.task, "run": owner.run, **size})

    @classmethod
    def of(cls, data: bytes) -> Note:
        """What the claim that reads *data* says; it is nobody's when it was cut."""
        try:
            note = orjson.loads(data)
            size, run = note.get("size"), str(note.get("run", ""))
            return cls(Owner(str(note["job"]), str(note["task"]), run), None if size is None else int(size))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


def judged(note: Note, owner: Owner, *, younger: bool | None, size: int, sized: bool = False) -> Claim:
    """What an older claim means; *younger* whether the file is not older than it, None when there is none.

    *sized*: whether a claim always says how large the file is, once that is there.
    """
    if note.owner.job != owner.job or younger is False:
        return Claim(Held.TAKEN)
    if younger is None:
        return Claim(Held.FREE)
    if (sized or note.size is not None) and note.size != size:
        return Claim(Held.TAKEN)  # somebody else's, who was quicker than the claimant
    return Claim(Held.THERE if note.owner.task == owner.task else Held.OLDER, size)
