"""The base of the generated blocking classes, and the way from an async object to its blocking twin."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, NoReturn, ParamSpec, Self, TypeVar, overload

from avatarkit._bridge.lease import Lease

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """A blocking object: an async one, and the lease its calls run on.

    Two blocking objects are equal when their async ones are, and hash alike.
    """

    __slots__ = ("__weakref__", "_async", "_lease")

    _twin_of: ClassVar[Any] = None
    _async: Any
    _lease: Lease

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        original = cls.__dict__.get("_twin_of")
        if original is not None:
            _TWINS[original] = cls

    @classmethod
    def _wrap(cls, original: Any, lease: Lease) -> Self:
        self = object.__new__(cls)
        self._async = original
        self._lease = lease
        return self

    def _arrive(self, enter: Callable[[], Awaitable[T]]) -> T:
        """Enter the async object; if that fails there will be no ``__exit__``, so give the lease up."""
        try:
            return self._lease.run(enter)
        except BaseException:
            if self._lease.belongs_to(self._async):
                self._lease.close()
            raise

    def _obtain(self, function: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run one coroutine and give the blocking twin of its result; at no moment does nobody hold it."""
        return self._lease.run_into(partial(wrap, lease=self._lease), partial(function, *args, **kwargs))

    def _leave(self, close: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Close the async object, and the lease if it is this object's own."""
        if self._lease.belongs_to(self._async):
            return self._lease.close(partial(close, *args, **kwargs))
        return self._lease.run(close, *args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return bool(self._async == other._async) if isinstance(other, Blocking) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._async)

    def __reduce__(self) -> NoReturn:
        self._async.__reduce_ex__(2)  # raises, where the original has words of its own for it
        raise TypeError(f"a blocking {type(self).__name__} cannot be pickled or copied")

    def __repr__(self) -> str:
        text, original, mine = repr(self._async), type(self._async).__name__, type(self).__name__
        return text.replace(original, mine, 1) if original in text else f"<blocking {text}>"


_TWINS: dict[type, type[Blocking] | None] = {}


def wrap(value: Any, lease: Lease) -> Any:
    """Give the blocking twin of an async object, of those in a list or tuple; other values as they are."""
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(wrap(item, lease) for item in value)
    try:
        twin = _TWINS[kind]
    except KeyError:
        twin = _TWINS[kind] = _find_twin(kind)
    return value if twin is None else twin._wrap(value, lease)  # noqa: SLF001


def unwrap(value: Any) -> Any:
    """Give the async original of a blocking object; other values as they are."""
    return value._async if isinstance(value, Blocking) else value  # noqa: SLF001


@overload
def wrapping(function: None, lease: Lease) -> None: ...
@overload
def wrapping(function: Callable[..., T], lease: Lease) -> Callable[..., T]: ...
def wrapping(function: Callable[..., T] | None, lease: Lease) -> Callable[..., T] | None:
    """Make *function*, which takes blocking objects, one that can be given their async originals."""
    if function is None:
        return None

    def wrapped(*args: Any) -> T:
        return function(*(wrap(value, lease) for value in args))

    return wrapped


def _find_twin(kind: type) -> type[Blocking] | None:
    """The nearest twin among the bases of *kind*; generated modules are imported as they are needed."""
    for base in kind.__mro__:
        if base not in _TWINS and base.__name__.startswith("Async"):
            package, _, rest = base.__module__.partition(".")
            mirror = f"{package}._sync.{rest}" if rest else f"{package}._sync"
            try:
                importlib.import_module(mirror)
            except ModuleNotFoundError as exc:
                if not f"{mirror}.".startswith(f"{exc.name}."):
                    raise
                continue  # an async class of somebody else
        if _TWINS.get(base) is not None:
            return _TWINS[base]
    return None
