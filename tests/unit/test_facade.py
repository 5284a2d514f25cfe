"""The facade generator: what it writes for which source, what it refuses, and how it notices stale files."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent
from types import ModuleType
from typing import Any

import pytest

from avatarkit._bridge import shutdown
from avatarkit._tools.facade import Refused, check, generate, main, write
from avatarkit.errors import ClientClosed

MODELS = """
    from __future__ import annotations
    from collections.abc import AsyncIterable, Callable, Iterable
    from typing import Generic, Protocol, TypeAlias, TypedDict, TypeVar

    Progress = Callable[[int, int], None]
    Lines: TypeAlias = Iterable[str] | AsyncIterable[str]
    U = TypeVar("U")

    class Hook(Protocol):
        def __call__(self, event: str) -> None: ...

    class Options(TypedDict, total=False):
        timeout: float
        hooks: Progress | None

    class Page(Generic[U]):
        def __init__(self, items: list[U]) -> None:
            self.items = items
"""

TASK = '''
    """Handles."""
    from __future__ import annotations
    import asyncio
    from collections.abc import AsyncIterator
    from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar
    from kit.models import Progress
    if TYPE_CHECKING:
        from kit.client import AsyncClient

    T = TypeVar("T")
    LIMIT = 3

    class AsyncVideo:
        """An AsyncVideo; save it with ``await video.save(path)``."""

        def __init__(self, name: str) -> None:
            self._name = name

        @property
        def name(self) -> str:
            """What it is called."""
            return self._name

        async def save(self, path: str, *, progress: Progress | None = None, steps: int = LIMIT) -> int:
            """Write it to *path*."""
            for i in range(steps):
                if progress is not None:
                    progress(i, steps)
                await asyncio.sleep(0)
            return steps

        def __eq__(self, other: object) -> bool:
            return isinstance(other, AsyncVideo) and other._name == self._name

        def __hash__(self) -> int:
            return hash(self._name)

        def __repr__(self) -> str:
            return f"<AsyncVideo {self._name}>"

    class AsyncTask(Generic[T]):
        """A handle.

        ``async with task: ...`` or ``async for update in task.updates()``, then ``aclose``. A path: C:\\\\new.
        """

        KIND: ClassVar[str] = "video"
        client: AsyncClient
        """Where it came from."""
        _value: T

        def __init__(self, value: T, client: AsyncClient) -> None:
            self._value = value
            self.client = client

        async def wait(self, *, timeout: float | None = None) -> T:
            """Wait for it."""
            return self._value

        async def updates(self) -> AsyncIterator[int]:
            for i in range(3):
                yield i

        def to_token(self) -> str:
            return "token"

        @classmethod
        def from_token(cls, token: str, client: AsyncClient) -> AsyncTask[Any]:
            return AsyncTask(AsyncVideo(token), client)

        @staticmethod
        def kinds(text: str = "a b") -> list[str]:
            return text.split()

        def __len__(self) -> int:
            return 3

        def __await__(self) -> Any:
            return self.wait().__await__()
'''

CLIENT = '''
    from __future__ import annotations
    import builtins
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from contextlib import asynccontextmanager
    from functools import cached_property
    from types import TracebackType
    from typing import Any, Literal, Optional, Self, Unpack, overload
    from kit.models import Hook, Lines, Options, Page
    from kit.task import AsyncTask, AsyncVideo

    class AsyncClient:
        """``async with AsyncClient() as client:``"""

        def __init__(self, name: str = "n", *, on: Hook | None = None, **options: Unpack[Options]) -> None:
            self.on, self.options, self.shut = on, options, 0

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
        ) -> None:
            await self.aclose()

        async def aclose(self) -> None:
            """Close it. Calling `aclose` twice is harmless."""
            self.shut += 1

        @property
        def closed(self) -> int:
            return self.shut

    class AsyncVideos:
        def __init__(self, client: AsyncClient) -> None:
            self._client = client

        async def list(self, *, page: int = 1) -> builtins.list[AsyncVideo]:
            return [AsyncVideo("a"), AsyncVideo("b")]

        async def names(self) -> Page[str]:
            return Page(["a"])

        async def get(self, name: str) -> "AsyncVideo | None":
            return AsyncVideo(name) if name else None

        async def pair(self) -> tuple[AsyncVideo, ...]:
            return (AsyncVideo("a"), AsyncVideo("b"))

        async def each(self, found: int = 2) -> AsyncIterator[AsyncVideo]:
            for i in range(found):
                yield AsyncVideo(str(i))

        def __aiter__(self) -> AsyncIterator[AsyncVideo]:
            return self.each(3)

        @asynccontextmanager
        async def open(self, name: str) -> AsyncIterator[AsyncVideo]:
            yield AsyncVideo(name)

        async def join(
            self, videos: Sequence[AsyncVideo], last: Optional[AsyncVideo] = None, source: AsyncVideo | str = "x",
            *more: AsyncVideo,
        ) -> str:
            every = [*videos, *([last] if last else []), source, *more]
            return "+".join(v if isinstance(v, str) else v.name for v in every)

        async def bulk(
            self,
            jobs: Iterable[str] | AsyncIterable[str],
            tags: Iterable[str] = (),
            lines: Lines | None = None,
            *,
            found: Callable[[AsyncVideo], None] | None = None,
            approve: Callable[[str], bool | Awaitable[bool]] | None = None,
        ) -> builtins.list[str]:
            out = [*tags]
            async for job in jobs:
                if approve is None or await approve(job):
                    out.append(job)
                    if found is not None:
                        found(AsyncVideo(job))
            return out

        def later(self, name: str) -> Awaitable[AsyncVideo]:
            async def make() -> AsyncVideo:
                return AsyncVideo(name)
            return make()

        @overload
        async def make(self, kind: Literal["video"]) -> AsyncTask[AsyncVideo]: ...
        @overload
        async def make(self, kind: Literal["text"]) -> AsyncTask[str]: ...
        async def make(self, kind: str) -> AsyncTask[Any]:
            return AsyncTask(AsyncVideo("made") if kind == "video" else "text", self._client)

    class AsyncCursor:
        def __init__(self) -> None:
            self.n = 0

        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> AsyncVideo:
            self.n += 1
            if self.n > 2:
                raise StopAsyncIteration
            return AsyncVideo(str(self.n))
'''

TOY = '''
    from __future__ import annotations
    from typing import Self
    from ...client import AsyncClient, AsyncCursor, AsyncVideos

    class AsyncToy(AsyncClient):
        """A toy provider."""

        @property
        def videos(self) -> AsyncVideos:
            """The videos."""
            return AsyncVideos(self)

        def cursor(self) -> AsyncCursor:
            return AsyncCursor()

        def twin(self) -> Self:
            return type(self)()

        async def fire(self) -> None:
            if self.on is not None:
                self.on("fired")
            hook = self.options.get("hooks")
            if hook is not None:
                hook(1, 2)

        @classmethod
        def from_env(cls) -> Self:
            return cls("env")
'''


def tree(root: Path, files: dict[str, str]) -> Path:
    kit = root / "kit"
    for path, text in files.items():
        target = kit / path
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in [target.parent, *target.parent.parents]:
            if folder == root:
                break
            (folder / "__init__.py").touch()
        target.write_text(dedent(text), encoding="utf-8")
    return kit


MYPY = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
SOURCES = {"models.py": MODELS, "task.py": TASK, "client.py": CLIENT, "providers/toy/client.py": TOY}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kit = tree(tmp_path_factory.mktemp("facade"), SOURCES)
    write(kit)
    return kit


@pytest.fixture
def modules(kit: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports modules of the toy package, which is forgotten afterwards."""
    monkeypatch.syspath_prepend(kit.parent)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    shutdown()
    for name in [n for n in sys.modules if n == "kit" or n.startswith("kit.")]:
        del sys.modules[name]


# ---- what is written


def test_files_are_mirrored(kit: Path) -> None:
    """Each source file with async classes gets a file of the same path below ``_sync``, folders an ``__init__``."""
    assert sorted(generate(kit)) == [
        "__init__.py",
        "client.py",
        "providers/__init__.py",
        "providers/toy/__init__.py",
        "providers/toy/client.py",
        "task.py",
    ]


def test_a_generated_file_says_where_it_comes_from(kit: Path) -> None:
    """The head names the program and the source, and says not to edit."""
    first, second = generate(kit)["task.py"].splitlines()[:2]
    assert first == "# Generated by `python -m avatarkit._tools.facade` from kit/task.py."
    assert "Do not edit" in second


def test_a_method_is_one_call_with_the_whole_signature(kit: Path) -> None:
    """Signature, defaults and docstring are copied; the body is one call on the lease."""
    expected = '''
        def save(self, path: str, *, progress: Progress | None = None, steps: int = LIMIT) -> int:
            """Write it to *path*."""
            return self._lease.run(self._async.save, path, progress=self._lease.callback(progress), steps=steps)
    '''
    assert indent(dedent(expected).strip(), "    ") in generate(kit)["task.py"]


def test_docstrings_speak_of_the_blocking_side(kit: Path, modules: Any) -> None:
    """No ``await``, ``async for`` or ``Async`` is left, `aclose` is `close`, and backslashes survive."""
    task = modules("kit._sync.task")
    assert task.Video.__doc__ == "A Video; save it with ``video.save(path)``."
    assert inspect.getdoc(task.Task) == (
        "A handle.\n\n``with task: ...`` or ``for update in task.updates()``, then ``close``. A path: C:\\new."
    )
    assert "`close` twice" in modules("kit._sync.client").Client.close.__doc__


def test_the_output_is_strictly_typed(kit: Path) -> None:
    """Mypy --strict accepts what is written, and sees the types through it: `Task[Video]`, not Any."""
    probe = kit.parent / "probe.py"
    probe.write_text(
        dedent(
            """
            from typing import assert_type
            from kit._sync.client import Videos
            from kit._sync.providers.toy.client import Toy
            from kit._sync.task import Task, Video

            with Toy() as toy:
                assert_type(toy, Toy)
                assert_type(toy.videos, Videos)
                assert_type(toy.videos.list(), list[Video])
                assert_type(toy.videos.get("a"), Video | None)
                assert_type(toy.videos.make("video"), Task[Video])
                assert_type(toy.videos.make("video").wait(), Video)
                assert_type(toy.videos.make("text").wait(), str)
            """
        )
    )
    done = subprocess.run(
        [*MYPY, "kit/_sync", "probe.py"],
        cwd=kit.parent,
        env={"MYPYPATH": str(Path(__file__).parents[2]), "MYPY_CACHE_DIR": str(kit.parent / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_source_does_not_fit_the_old_facade(kit: Path, tmp_path: Path) -> None:
    """A second net: an argument renamed on the async side alone is a type error in the stale facade."""
    other = tree(tmp_path, SOURCES)
    write(other)
    source = other / "task.py"
    source.write_text(source.read_text().replace("timeout: float", "deadline: float"))
    done = subprocess.run(
        [*MYPY, "kit/_sync/task.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(Path(__file__).parents[2]), "MYPY_CACHE_DIR": str(kit.parent / "cache")},
        capture_output=True,
        text=True,
    )
    assert 'Unexpected keyword argument "timeout"' in done.stdout


# ---- what it does


def test_the_whole_toy_works(modules: Any) -> None:
    """Resources, handles, lists, optionals, tuples and type variables come out as blocking objects."""
    task = modules("kit._sync.task")
    with modules("kit._sync.providers.toy.client").Toy("t") as toy:
        videos = toy.videos
        made = videos.make("video")
        assert type(made) is task.Task
        assert type(made.wait(timeout=1)) is task.Video
        assert made.wait() == made.wait()
        assert videos.make("text").wait() == "text"
        assert list(made.updates()) == [0, 1, 2]
        assert [v.name for v in videos.list()] == ["a", "b"]
        assert [v.name for v in videos.pair()] == ["a", "b"]
        assert videos.get("") is None
        assert repr(videos.get("x")) == "<Video x>"
        assert videos.later("y").name == "y"
        assert videos.names().items == ["a"]
        assert [v.save("p") for v in videos.each()] == [3, 3]
        assert [v.name for v in videos] == ["0", "1", "2"]
        assert [v.name for v in toy.cursor()] == ["1", "2"]
        assert len(made) == 3
        assert (made.KIND, made.kinds(), task.Task.kinds("c")) == ("video", ["a", "b"], ["c"])
        with videos.open("z") as video:
            assert video.save("p", steps=5) == 5
    with pytest.raises(ClientClosed):
        videos.list()
    assert toy.closed == 1


def test_handles_share_the_lease_of_their_client(modules: Any) -> None:
    """A handle made from a token, or reached through an attribute, uses the client's lease."""
    task = modules("kit._sync.task")
    with modules("kit._sync.providers.toy.client").Toy() as toy:
        handle = task.Task.from_token("tok", toy)
        assert handle.wait().name == "tok"
        assert handle._lease is toy._lease
        assert handle.client == toy


def test_blocking_objects_go_back_as_arguments(modules: Any) -> None:
    """Arguments are unwrapped: alone, optional, in a union, in a sequence, in ``*args``."""
    with modules("kit._sync.providers.toy.client").Toy() as toy:
        videos = toy.videos
        a, b = videos.list()
        assert videos.join([a, b]) == "a+b+x"
        assert videos.join((a,), b, b, a, a) == "a+b+b+a+a"
        assert videos.join([], source="text") == "text"


def test_functions_and_iterables_stay_in_the_callers_thread(modules: Any) -> None:
    """Callbacks, questions and lazy iterables run in the caller's thread and may use the client."""
    idents: set[int] = set()
    seen: list[Any] = []
    with modules("kit._sync.providers.toy.client").Toy() as toy:
        videos = toy.videos

        def jobs() -> Iterator[str]:
            for name in "abc":
                idents.add(threading.get_ident())
                yield videos.get(name).name

        def approve(job: str) -> bool:
            idents.add(threading.get_ident())
            return job != "b"

        def found(video: Any) -> None:
            idents.add(threading.get_ident())
            seen.append((video.name, video.save("p")))

        assert videos.bulk(jobs(), (t for t in "t"), found=found, approve=approve) == ["t", "a", "c"]
    assert seen == [("a", 3), ("c", 3)]
    assert idents == {threading.get_ident()}


def test_hooks_given_to_the_constructor_run_in_the_callers_thread(modules: Any) -> None:
    """A hook, as an argument or inside typed ``**options``, runs in the thread that waits, and may use the client."""
    seen: list[Any] = []

    def hook(*event: Any) -> None:
        seen.append((event, threading.get_ident(), toy.videos.get("x").name))

    toy = modules("kit._sync.providers.toy.client").Toy(on=hook, hooks=hook, timeout=1.0)
    toy.fire()
    toy.close()
    me = threading.get_ident()
    assert seen == [(("fired",), me, "x"), ((1, 2), me, "x")]


def test_other_constructors_make_a_client_of_their_own(modules: Any) -> None:
    """``from_env`` gives a blocking client with a lease, of the subclass it is called on; `Self` keeps the class."""
    toy_class = modules("kit._sync.providers.toy.client").Toy

    class Mine(toy_class):  # type: ignore[misc]
        pass

    mine = Mine.from_env()
    assert type(mine) is Mine
    assert type(mine.twin()) is Mine
    mine.close()
    assert mine.closed == 1
    with pytest.raises(ClientClosed):
        mine.fire()


def test_a_constructor_keeps_the_blocking_objects_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last one to hold them would be gone at once, and their originals, in use, be closed with them."""
    source = """
        from __future__ import annotations
        from collections.abc import Sequence

        class AsyncOne:
            def __init__(self, name: str) -> None:
                self.name = name
            async def __aenter__(self) -> AsyncOne:
                return self
            async def aclose(self) -> None: ...

        class AsyncMany:
            _twins: object = None
            def __init__(self, first: AsyncOne, *, others: Sequence[AsyncOne] = (), size: int = 0) -> None:
                self.all = [first, *others]
            async def __aenter__(self) -> AsyncMany:
                return self
            async def aclose(self) -> None: ...
    """
    root = tmp_path / "held"
    root.mkdir()
    (root / "__init__.py").touch()
    (root / "many.py").write_text(dedent(source), encoding="utf-8")
    write(root)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("held._sync.many")
    ones = [module.One(name) for name in "abc"]
    many = module.Many(ones[0], others=ones[1:], size=3)
    assert many._async._twins == tuple(ones)
    assert [one.name for one in many._async.all] == ["a", "b", "c"]
    one = (root / "_sync/many.py").read_text().partition("class Many")[0]
    assert "_twins" not in one


# ---- what is refused

HEADER = """
from __future__ import annotations
from abc import ABC
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, ClassVar, Generic, Optional, Protocol, Self, TypeVar, TypedDict, Union, Unpack
T = TypeVar("T")
class Page(Generic[T]): ...
class Loud(Protocol):
    def __call__(self, text: str) -> int: ...
class AsyncThing: ...
class Things(TypedDict):
    thing: AsyncThing
Names: TypeAlias = Iterable[str]
"""

REFUSALS = [
    ("async def f(self): ...", "f has no return annotation"),
    ("async def f(self, x) -> None: ...", "f(x) has no annotation"),
    ("async def f(self, **x) -> None: ...", "f(x) has no annotation"),
    ("@cache\ndef f(self) -> None: ...", "decorator @cache on f"),
    (
        "@property\ndef f(self) -> int: ...\n@f.setter\ndef f(self, x: int) -> None: ...",
        "decorator @f.setter on f",
    ),
    (
        "async def f(self) -> dict[str, AsyncThing]: ...",
        "a result of type dict[str, AsyncThing] cannot be wrapped",
    ),
    ("async def f(self) -> Page[AsyncThing]: ...", "a result of type Page[AsyncThing] cannot be wrapped"),
    ("async def f(self) -> list[dict[str, AsyncThing]]: ...", "a result of type dict[str, AsyncThing]"),
    ("async def f(self) -> type[AsyncThing]: ...", "a result of type type[AsyncThing] cannot be wrapped"),
    ("def f(self) -> Iterable[AsyncThing]: ...", "f: an iterator over async objects must be async itself"),
    ("async def f(self) -> AsyncIterator[int]: ...", "f must be awaited to get an iterator"),
    ("async def f(self) -> AsyncIterator: yield", "f: write what it gives"),
    ("async def f(self) -> AsyncGenerator[int, str]: yield 1", "f: a generator that is sent values"),
    ("async def f(self, x: dict[str, AsyncThing]) -> None: ...", "an argument of type dict[str, AsyncThing]"),
    ("async def f(self, **x: AsyncThing) -> None: ...", "**x may hold async objects"),
    ("async def f(self, **x: Unpack[Things]) -> None: ...", "Things.thing may hold async objects"),
    ("async def f(self, x: Callable) -> None: ...", "x: write what the function takes and returns"),
    (
        "async def f(self, x: Callable[[str], bool]) -> None: ...",
        "x: the loop cannot wait for what the function",
    ),
    ("async def f(self, x: Callable[[str], None] | str) -> None: ...", "x: a function cannot share a union"),
    (
        "async def f(self, x: Callable[[], AsyncThing]) -> None: ...",
        "x: the function may not return an async",
    ),
    ("async def f(self, x: Loud) -> None: ...", "Loud.__call__ must return None"),
    ("async def f(self, x: Iterable[str] | str) -> None: ...", "x: write Iterable[T] | AsyncIterable[T]"),
    (
        "async def f(self, x: AsyncIterable[str] | str) -> None: ...",
        "x: a lazy iterable cannot share a union with str",
    ),
    ("async def f(self, x: Names | str) -> None: ...", "a function or an iterable cannot share a union"),
    ("async def f(self, x: int = UNKNOWN) -> None: ...", "UNKNOWN is not known at the top of the module"),
    ("@classmethod\ndef f(cls, x: str) -> Self: ...", "f takes no async object whose lease"),
    ("@staticmethod\nasync def f(x: str) -> int: ...", "f takes no async object whose lease"),
    ("def aclose(self) -> None: ...", "aclose must be an async def"),
    ("async def aclose(self) -> int: ...", "aclose must return None"),
    ("async def __aenter__(self) -> Self: ...", "AsyncX has __aenter__ but no aclose"),
    (
        "async def __aenter__(self) -> Self: ...\nasync def aclose(self) -> None: ...",
        "AsyncX is an entry class: its __init__ must be written out",
    ),
    ("def __call__(self) -> None: ...", "__call__ has no blocking twin"),
    ("LIMIT = 3", "LIMIT has no annotation"),
    ("ALL: ClassVar[list[AsyncThing]] = []", "the constant ALL holds async objects"),
    ("class Inner: ...", "the class Inner inside AsyncX"),
    ("if True:\n    def f(self) -> None: ...", "a statement in the body of AsyncX"),
]


@pytest.mark.parametrize(("body", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_what_has_no_twin_is_refused(tmp_path: Path, body: str, reason: str) -> None:
    """The error names the file and the line, and says why."""
    source = f"{HEADER}class AsyncX:\n{indent(body, '    ')}\n"
    kit = tree(tmp_path, {"bad.py": source})
    with pytest.raises(Refused) as caught:
        generate(kit)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"{kit / 'bad.py'}:{caught.value.line}: ")
    first = source.splitlines().index("class AsyncX:") + 1
    last = first + len(body.splitlines())
    assert first <= caught.value.line <= last or reason.startswith("Loud")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("class Base: ...\nclass AsyncX(Base): ...", "AsyncX inherits from Base"),
        ("class AsyncX(metaclass=type): ...", "AsyncX has class keywords"),
        (
            "import functools\n@functools.total_ordering\nclass AsyncX: ...",
            "class decorator @functools.total_ordering",
        ),
        (
            "from kit.models import X\nclass AsyncX:\n    def f(self) -> X: ...",
            "X is also imported, from kit.models",
        ),
        (
            """class AsyncX:
                def __init__(self, f: Callable[[AsyncX], None]) -> None: ...
                async def __aenter__(self) -> None: ...
                async def aclose(self) -> None: ...
            """,
            "a function given to __init__ cannot take async objects",
        ),
    ],
)
def test_classes_without_a_twin_are_refused(tmp_path: Path, source: str, reason: str) -> None:
    """Bases that are no async class, class keywords, unknown decorators and clashing names are refused."""
    kit = tree(
        tmp_path, {"bad.py": f"from __future__ import annotations\nfrom typing import Callable\n{source}\n"}
    )
    (kit / "models.py").write_text("class X: ...\n")
    with pytest.raises(Refused) as caught:
        generate(kit)
    assert reason in str(caught.value)


def test_async_words_left_in_the_output_are_an_error(tmp_path: Path) -> None:
    """A docstring that still says ``await`` would confuse its reader: the build fails."""
    kit = tree(tmp_path, {"a.py": 'class AsyncX:\n    """You have to await."""\n'})
    with pytest.raises(SystemExit, match=r"_sync/a.py:\d+: async words are left"):
        generate(kit)


# ---- stale files


@pytest.fixture
def small(tmp_path: Path) -> Path:
    kit = tree(tmp_path, {"a.py": "class AsyncX:\n    async def f(self) -> int:\n        return 1\n"})
    write(kit)
    return kit


def test_fresh_files_are_up_to_date(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` right after writing finds nothing; writing again changes nothing."""
    assert check(small) == ""
    assert write(small) == []
    assert main(["--check", "--root", str(small)]) == 0
    assert capsys.readouterr().out == "up to date\n"


def test_a_stale_file_is_shown_as_a_diff(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` fails when the source has changed or the output was edited, and changes nothing."""
    (small / "a.py").write_text("class AsyncX:\n    async def f(self, n: int) -> int:\n        return n\n")
    before = (small / "_sync/a.py").read_text()
    assert main(["--check", "--root", str(small)]) == 1
    out = capsys.readouterr().out
    assert "stale: _sync/a.py" in out
    assert "+    def f(self, n: int) -> int:" in out
    assert (small / "_sync/a.py").read_text() == before
    assert main(["--root", str(small)]) == 0
    assert check(small) == ""


def test_a_missing_file_is_noticed(small: Path) -> None:
    """A generated file that is not on disk fails the check."""
    (small / "_sync/a.py").unlink()
    assert check(small) == "missing: _sync/a.py\n"


def test_a_left_over_file_is_noticed_and_removed(small: Path) -> None:
    """A file whose source is gone, or any file somebody put there, fails the check; writing removes it."""
    (small / "_sync/old").mkdir()
    (small / "_sync/old/gone.py").write_text("")
    (small / "_sync/notes.txt").write_text("")
    (small / "_sync/__pycache__").mkdir()
    (small / "_sync/__pycache__/a.pyc").write_bytes(b"")
    found = check(small)
    assert "left over: _sync/old/gone.py" in found
    assert "left over: _sync/notes.txt" in found
    assert "pyc" not in found
    write(small)
    assert check(small) == ""
    assert not (small / "_sync/old/gone.py").exists()


def test_the_command_reports_a_refusal(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refused source ends the command with 1 and one line on standard error, not a traceback."""
    (small / "a.py").write_text("class AsyncX:\n    async def f(self):\n        return 1\n")
    assert main(["--root", str(small)]) == 1
    assert capsys.readouterr().err == f"{small / 'a.py'}:2: f has no return annotation\n"
