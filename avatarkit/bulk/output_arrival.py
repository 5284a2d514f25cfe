"""A result on its way into a folder, of which nothing is looked at or written before its first bytes are there."""

from __future__ import annotations

import errno
import os
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
    such a file costs are the ways to a thread and the system calls. A larger one goes into a part file,
    from the first mebibyte on: in the folder of claims, where no file of a user's can be in its way.

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
        self._size: int | None = None  # that the claim says
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

    def resume(self, name: str, *, overwrite: bool) -> None:
        """Go on with what an earlier attempt may have left for *name*, which is claimed. Before anything is fetched.

        Raises InvalidRequest when somebody is doing that already, or the name is in use.
        """
        self.name = name
        self.target = self._claims.root / name
        self._part = self._acquired(overwrite=overwrite)
        self.have, self.identity = self._part.have, self._part.identity

    def _acquired(self, *, overwrite: bool = False) -> PartFile:
        part = self._claims.part_of(self.name)
        return PartFile.acquire(self.target, overwrite=overwrite, digest=False, part=part)

    def _claimed(self) -> Iterator[Path]:
        """Files that are ours to write; another one after each that was taken all the same."""
        for name in self._names:
            if name == self.name:
                continue
            claim = self._claims.claim(name, self._owner, size=self._size, take=False)
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
        self._size = self.have
        with _guarded():
            while True:
                target = self._next()
                try:
                    write_new(target, self._held, self._claims.part_of(self.name))
                except FileExistsError:
                    continue
                except OSError as error:
                    self._claims.drop(self.name, self._owner)
                    if error.errno == errno.EXDEV:  # a folder of the name is another file system
                        continue
                    raise
                return

    def _open(self) -> None:
        """Go on in a part file."""
        self._size = self.identity.total
        with _guarded():
            self._next()
            try:
                part = self._acquired()
            except InvalidRequest:
                self._claims.drop(self.name, self._owner)
                raise Begun from None
        self._part = part
        part.begin(self.identity)
        part.write(self._held)
        self._held = []

    def _name_part(self, part: PartFile) -> None:
        with _guarded():
            while True:
                if self._size != part.have:
                    self._claims.say_size(self.name, self._owner, part.have)
                    os.utime(part.path)  # a file that is older than its claim is somebody else's
                self._size = part.have
                try:
                    part.finish()
                except InvalidRequest:  # the name was taken meanwhile, by somebody who makes no claims
                    part.target = self._next()
                except DownloadFailed as failed:
                    if getattr(failed.__cause__, "errno", None) != errno.EXDEV:
                        raise
                    part.target = self._next()
                else:
                    return


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadFailed(f"the result cannot be written ({error.strerror or error})") from None
