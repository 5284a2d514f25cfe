"""The README is true: its table, its code and its files."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarkit import providers
from avatarkit.generation import all_capabilities
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.plan import Route

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def row(endpoint: Endpoint) -> str:
    """One row of the README's table, as it must stand there."""
    billed = "yes" if endpoint.billed else "no"
    note = ", experimental" if endpoint.experimental else ""
    return f"| `{endpoint.method} {endpoint.path}` | `{endpoint.name}` | {billed}{note} |"


@pytest.mark.parametrize("provider", providers.names())
def test_every_operation_is_in_the_table(provider: str) -> None:
    """Each provider's table names its operations, their methods, and whether they are billed."""
    spec = providers.spec(provider)
    (table,) = re.findall(
        rf"^\| {re.escape(spec.title)} \| method of.*?\n\n", README, re.DOTALL | re.MULTILINE
    )
    missing = [row(endpoint) for endpoint in spec.endpoints if row(endpoint) not in table]

    assert missing == []


@pytest.mark.parametrize("provider", providers.names())
def test_every_operation_is_a_method(provider: str) -> None:
    """Each operation's name is a method of the async client and of its blocking twin."""
    import avatarkit

    client = providers.client_class(provider)
    twin = getattr(avatarkit, client.__name__.removeprefix("Async"))
    for cls in (client, twin):
        made = cls(*["token" for _ in providers.spec(provider).credentials])
        for endpoint in providers.spec(provider).endpoints:
            resource, _, method = endpoint.name.partition(".")
            assert callable(getattr(getattr(made, resource), method)), endpoint.name
        if cls is twin:
            made.close()


_PRESENTERS = {"avatar": "an avatar", "image": "a picture", "video": "a video"}
_SPEECHES = {"text": "a text", "audio": "a recording"}
_WISHES: dict[str, Callable[[Route], object]] = {
    "subtitles": lambda route: route.subtitles,
    "a prompt": lambda route: route.prompt,
    "720p or 1080p on request": lambda route: route.sizes,
}


def test_what_each_provider_can_make_from_what() -> None:
    """The table of ``generate`` has the number of steps of every provider's every route, and nothing else."""
    (heading,) = re.findall(r"^\| from \| (.*) \|$", README, re.MULTILINE)
    known = {table.title: table for table in all_capabilities()}
    tables = [known.pop(title) for title in heading.split(" | ")]
    assert known == {}
    rows = [f"| from | {heading} |", "|---|" + "---|" * len(tables)]
    for presenter, speech in itertools.product(_PRESENTERS, _SPEECHES):
        routes = [table.route(presenter, speech) for table in tables]
        cells = " | ".join(
            "no" if route is None else f"{len(route.operations)}{'*' if route.needs else ''}"
            for route in routes
        )
        rows.append(f"| {_PRESENTERS[presenter]} and {_SPEECHES[speech]} | {cells} |")
    for wish, has in _WISHES.items():
        cells = " | ".join("yes" if any(map(has, table.routes)) else "no" for table in tables)
        rows.append(f"| {wish} | {cells} |")
    assert "\n\n" + "\n".join(rows) + "\n\n" in README


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_compile(block: str) -> None:
    """Every Python example is Python."""
    compile(block, "README.md", "exec")


def test_async_and_blocking_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two examples work as they stand, ids filled in, against the sandbox."""
    import avatarkit
    from avatarkit.studio.plain import plain_audio

    monkeypatch.chdir(tmp_path)
    plain_audio(tmp_path / "me.wav", seconds=6, format="wav")
    # The smallest JPEG there is: nothing looks inside without being asked to.
    (tmp_path / "me.jpg").write_bytes(bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9"))
    with avatarkit.Sandbox(render="tiny", queue_seconds=0, run_seconds=0) as sandbox:
        monkeypatch.setenv("HIFLY_TOKEN", sandbox.token)
        monkeypatch.setenv("HIFLY_BASE_URL", sandbox.base_url("hifly"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with avatarkit.HiFly() as hifly:
            avatar = hifly.avatars.list(size=1).items[0].id
            voice = hifly.voices.list(size=1, kind=2).items[0].id
        for block in BLOCKS[:2]:
            filled = block.replace('avatar="…"', f'avatar="{avatar}"').replace(
                'voice="…"', f'voice="{voice}"'
            )
            filled = filled.replace(
                "avatarkit.AsyncHiFly()", "avatarkit.AsyncHiFly(preflight=False, polling=FAST)"
            )
            filled = filled.replace("avatarkit.HiFly()", "avatarkit.HiFly(preflight=False, polling=FAST)")
            fast = avatarkit.Polling(shortest=0.01, longest=0.05)
            exec(compile(filled, "README.md", "exec"), {"FAST": fast, "__name__": "example"})
            assert (tmp_path / "intro.mp4").stat().st_size > 0
            (tmp_path / "intro.mp4").unlink()


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if "generate(request)" in block], ids=["blocking", "async"]
)
def test_generate_examples_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request for every provider, as it stands, ids filled in, against the sandbox; for each client it names."""
    import avatarkit
    from avatarkit.studio.plain import plain_audio, plain_video

    monkeypatch.chdir(tmp_path)
    plain_audio(tmp_path / "me.wav", seconds=6, format="wav")
    plain_video(tmp_path / "me.mp4", seconds=6, width=360, height=640)
    (tmp_path / "me.jpg").write_bytes(bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with avatarkit.Sandbox(render="tiny", queue_seconds=0, run_seconds=0) as sandbox:
        for name in sandbox.providers:
            spec = providers.spec(name)
            monkeypatch.setenv(spec.base_url_variable, sandbox.base_url(name))
            for variable, value in zip(spec.credentials, (sandbox.token, sandbox.secret), strict=False):
                monkeypatch.setenv(variable, value)
        filled = re.sub(
            r"avatarkit\.((?:Async)?(?:HiFly|Kling))\(\)",
            r"avatarkit.\1(preflight=False, polling=FAST)",
            block,
        )
        filled = filled.replace('voice="…"', 'voice="AOT"')
        fast = avatarkit.Polling(shortest=0.01, longest=0.05)
        exec(compile(filled, "README.md", "exec"), {"FAST": fast, "__name__": "example"})
        assert (tmp_path / "intro.mp4").stat().st_size > 0


def test_linked_files_exist() -> None:
    """Every local file that the README links to is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)

    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("word", ["AsyncPool", "hifly.bulk"])
def test_pool_and_bulk_examples_run(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several accounts, and a table of jobs: as they stand, against the sandbox."""
    import avatarkit
    from avatarkit.studio.plain import plain_audio

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    plain_audio(tmp_path / "me.wav", seconds=6, format="wav")
    (tmp_path / "me.jpg").write_bytes(bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9"))
    (block,) = [block for block in BLOCKS if word in block]
    fast = avatarkit.Polling(shortest=0.01, longest=0.05)
    with avatarkit.Sandbox(render="tiny", queue_seconds=0, run_seconds=0) as sandbox:
        for name in ("hifly", "kling"):
            monkeypatch.setenv(f"{name.upper()}_BASE_URL", sandbox.base_url(name))
        monkeypatch.setenv("HIFLY_TOKEN", sandbox.token)
        monkeypatch.setenv("KLING_API_KEY", sandbox.token)
        sandbox.add_account("token a", provider="hifly")
        sandbox.add_account("token b", provider="hifly")
        with avatarkit.HiFly() as hifly:
            avatar = hifly.avatars.list(size=1).items[0].id
            voice = hifly.voices.list(size=1, kind=2).items[0].id
        rows = [f"row{n},{avatar},{voice},Good morning {n}" for n in range(5)]
        (tmp_path / "jobs.csv").write_text("\n".join(["key,avatar,voice,text", *rows]), encoding="utf-8")
        filled = re.sub(
            r"(Async(HiFly|Kling)\((\"[^\"]*\")?)", lambda m: f"{m[1]}{', ' if m[3] else ''}**FAST", block
        )
        exec(
            compile(filled, "README.md", "exec"),
            {"FAST": {"preflight": False, "polling": fast}, "__name__": "x"},
        )
        assert sum(task["kind"] == "video" for task in sandbox.seen.tasks) == (
            5 if word == "hifly.bulk" else 1
        )
    if word == "hifly.bulk":
        assert len(list((tmp_path / "videos").glob("row*.mp4"))) == 5
