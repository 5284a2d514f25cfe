"""The README is true: its table, its code and its files."""

import re
from pathlib import Path

import pytest

from avatarkit import providers
from avatarkit.protocol.endpoint import Endpoint

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


def test_linked_files_exist() -> None:
    """Every local file that the README links to is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)

    assert [link for link in links if not (ROOT / link).exists()] == []
