"""A result on its way into a folder, of which nothing is looked at or written before its first bytes are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from avatarkit.bulk.output_claims import FolderClaims
from avatarkit.bulk.output_places import Held, Owner
from avatarkit.errors import DownloadFailed, InvalidRequest
from avatarkit.transport.newfile import write_new
from avatarkit.transport.partfile import Identity, PartFile
from avatarkit.transport.readers import PIECE


class Begun(Exception):
    """An earlier attempt or another worker has begun: what is there has to be looked at first."""


class Arrival:
    """What :meth:`AsyncVideo._land` fetches into. Its methods block.

    A small result stays in memory until it is whole, and then is claimed, written and named in one go: most of what
    such a file costs are the ways to a thread and the system calls. A larger one goes into a part file beside its name,
    as every download, from the first mebibyte on.

    Args:
        claims: those of the folder.
        names: for the file, best first.
        owner: who claims one.

    Attributes:
        name: the one that was claimed; ``""`` before.

    Its methods raise Begun when the claim was made earlier by the same owner, or something is in the part file's way;
    DownloadFailed when the disk refuses, or every name is taken.

    """

    def __init__(self, claims: FolderClaims, names: Sequence[str], owner: Owner) -> None:
        self.target = claims.root / names[0]
        self.have = 0
        self.identity = Identity()
        self.finished = False
        self.name = ""
        self._whole: int | None = None
        self._claims = claims
        self._names = names
        self._owner = owner
        self._held: list[bytes] = []
        self._part: PartFile | None = None
        self._targets = self._claimed()

    def begin(self, identity: Identity) -> None:
        """What follows are the first bytes of *identity*."""
        self._held.clear()
        self.have, self.identity = 0, identity
        if self._part is not None:
            self._part.begin(identity)

    def back(self, count: int) -> None:
        """Drop the last *count* bytes."""
        if self._part is not None:
            self._part.back(count)
        else:
            self._held = [b"".join(self._held)[: max(0, self.have - count)]]
        self.have = max(0, self.have - count)

    def write(self, pieces: list[bytes]) -> None:
        """Append *pieces*."""
        coming = self.have + sum(map(len, pieces))
        if self._part is None:
            self._held += pieces
            if coming >= PIECE:
                self._open()
        else:
            self._part.write(pieces)
        self.have = coming

    def finish(self) -> None:
        """Give what came its name, durably."""
        if self._part is None:
            self._write_small()
        else:
            self._name_part(self._part)
        self.finished = True

    def close(self) -> None:
        """Let go of the part file; what is in it stays."""
        if self._part is not None:
            self._part.close()

    def _claimed(self) -> Iterator[Path]:
        """Files that are ours to write; another one after each that was taken all the same."""
        for name in self._names:
            size = self.identity.total if self.identity.total is not None else self._whole
            claim = self._claims.claim(name, self._owner, size=size, take=False)
            if claim.held is Held.TAKEN:
                continue
            self.name = name
            if not claim.new:
                raise Begun
            yield self._claims.root / name
        raise DownloadFailed(f"every name for the result is taken, the last was {self._names[-1]}")

    def _next(self) -> Path:
        """The next file that is ours to write; the claim on the one before goes."""
        if self.name:
            self._claims.drop(self.name, self._owner)
        self.target = next(self._targets)
        return self.target

    def _write_small(self) -> None:
        self._whole = self.have
        with _guarded():
            while True:
                target = self._next()
                try:
                    write_new(target, self._held, self._claims.part_of(self.name))
                except FileExistsError:
                    continue
                except OSError:
                    self._claims.drop(
                        self.name, self._owner
                    )  # or a file that appears there would count as ours
                    raise
                return

    def _open(self) -> None:
        """Go on in a part file."""
        with _guarded():
            try:
                part = PartFile.acquire(self._next(), overwrite=False, digest=False)
            except (InvalidRequest, OSError) as error:
                self._claims.drop(self.name, self._owner)
                if isinstance(error, OSError):
                    raise
                raise Begun from None
        self._part = part
        part.begin(self.identity)
        part.write(self._held)
        self._held = []

    def _name_part(self, part: PartFile) -> None:
        while True:
            try:
                part.finish()
            except InvalidRequest:  # the name was taken meanwhile, by somebody who makes no claims
                with _guarded():
                    part.target = self._next()
            else:
                return


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadFailed(f"the result cannot be written ({error.strerror or error})") from None
