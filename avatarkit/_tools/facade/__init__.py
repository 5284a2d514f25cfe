"""Writes the blocking classes, ``avatarkit/_sync/``, from the source of the async ones.

::

    python -m avatarkit._tools.facade            write what has changed
    python -m avatarkit._tools.facade --check    print a diff and end with 1 if anything would change

Every top-level class ``AsyncX`` of the package becomes a class ``X`` in the mirrored file:
the same methods, signatures and docstrings, each body one call on the bridge. The source is
read, not imported. What cannot be translated is refused with file, line and reason, so an
async class either has a right twin or the build fails. What is understood:

- **Classes**: ``class AsyncX``, with other async classes, ``Generic[...]`` or ``ABC`` as bases.
  A class that defines ``__aenter__`` (or inherits it) is an *entry* class: its twin has the
  ``__init__`` and makes the lease. Twins of other classes are only made by wrapping. One whose ``__init__`` takes
  async objects has an attribute ``_twins``, in which their blocking twins are kept as long as it lives.
- **Methods**: ``async def``; async generators and ``-> AsyncIterator``; ``@asynccontextmanager``;
  plain methods, properties and annotated attributes, which do no I/O; ``@classmethod`` and
  ``@staticmethod`` that take an async object to share the lease of (or any, on an entry
  class); ``@overload``. ``aclose`` becomes ``close``, ``__aenter__`` ``__enter__``, and so on.
- **Results**: plain data, an async class, ``Self``, a type variable; optional, in a union, in
  a list or a tuple. They are wrapped by their type at run time.
- **Arguments**: plain data; an async class (optional, in a union, in a list, tuple or
  sequence); functions, which run in the caller's thread: they return nothing, or the async
  side takes an ``Awaitable`` from them; lazy iterables, annotated
  ``Iterable[T] | AsyncIterable[T]``, which are read in the caller's thread.
"""

from __future__ import annotations

from avatarkit._tools.facade.source import Refused
from avatarkit._tools.facade.tree import check, generate, main, write

__all__ = ["Refused", "check", "generate", "main", "write"]
