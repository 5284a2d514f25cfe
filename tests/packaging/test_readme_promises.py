"""What the README says in passing is true: options, journals, statuses of errors, the test that it shows."""

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import avatarkit
from avatarkit import providers

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BULK = (ROOT / "docs" / "bulk.md").read_text(encoding="utf-8")
FAST = avatarkit.Polling(shortest=0.01, longest=0.05)


def block(word: str) -> str:
    (found,) = [each for each in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in each]
    return found


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("speech", [{"text": "Hello!", "voice": "v"}, {"audio": "https://example.com/a.mp3"}])
def test_the_consent_that_guiji_wants(speech: dict[str, Any]) -> None:
    """The options as they stand there are enough for Guiji, are needed, and are passed over by the others."""
    ((text),) = re.findall(r'`options=(\{"guiji": .*?\}\})`', README, re.DOTALL)
    options = ast.literal_eval(text)
    video: dict[str, Any] = {"video": "https://example.com/me.mp4", **speech}
    plan = providers.part("guiji", "generate").plan
    assert len(plan(avatarkit.VideoRequest(**video, options=options)).steps) == 2
    for name in options["guiji"]:
        less = {key: value for key, value in options["guiji"].items() if key != name}
        with pytest.raises(avatarkit.InvalidRequest, match="authorize"):
            plan(avatarkit.VideoRequest(**video, options={"guiji": less}))
    assert providers.part("hifly", "generate").plan(avatarkit.VideoRequest(**video, options=options))


@pytest.mark.parametrize("text", [README, BULK], ids=["README", "bulk.md"])
def test_one_table_has_one_journal(text: str) -> None:
    """Wherever code makes the videos of a table, it names the journal that the command has for it."""
    made = re.findall(r'\.bulk\((\w+|".*?"), journal="(.*?)"', text)
    assert made
    assert {journal for jobs, journal in made if jobs == '"jobs.csv"'} == {"jobs.csv.run.db"}
    assert "jobs.csv.run.db" not in {journal for jobs, journal in made if jobs != '"jobs.csv"'}


def test_code_and_command_are_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two bulk examples, one after the other as they stand, pay once for each row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (command,) = re.findall(r"^    avatarkit (bulk run .*)$", README, re.MULTILINE)
    with avatarkit.Sandbox(render="tiny", queue_seconds=0, run_seconds=0) as sandbox:
        monkeypatch.setenv("HIFLY_BASE_URL", sandbox.base_url("hifly"))
        monkeypatch.setenv("HIFLY_TOKEN", sandbox.token)
        with avatarkit.HiFly() as hifly:
            avatar = hifly.avatars.list(size=1).items[0].id
            voice = hifly.voices.list(size=1, kind=2).items[0].id
        rows = [f"row{n},{avatar},{voice},Good morning {n}" for n in range(3)]
        Path("jobs.csv").write_text("\n".join(["key,avatar,voice,text", *rows]), encoding="utf-8")
        code = block("hifly.bulk").replace("AsyncHiFly()", "AsyncHiFly(polling=FAST)")
        exec(compile(code, "README.md", "exec"), {"FAST": FAST, "__name__": "x"})
        assert len(sandbox.seen.tasks) == 3
        done = run("avatarkit", *command.split(), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(sandbox.seen.tasks) == 3
    assert sorted(path.name for path in Path("videos").glob("*.mp4")) == ["row0.mp4", "row1.mp4", "row2.mp4"]


def test_the_test_that_it_shows_passes(tmp_path: Path) -> None:
    """In an empty folder, with the plugins as they are when nobody configured them."""
    (tmp_path / "test_mine.py").write_text(block("test_my_pipeline"), encoding="utf-8")
    done = run("pytest", "-q", "-p", "no:cacheprovider", "test_mine.py", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_service_tells_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The FastAPI example as it stands: no mistake of a customer's is a 500, and a good order goes through."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    space: dict[str, Any] = {"__name__": "service"}
    exec(compile(block("FastAPI(lifespan"), "README.md", "exec"), space)
    app = space["app"]

    async def main(sandbox: avatarkit.AsyncSandbox) -> None:
        async with app.router.lifespan_context(app):
            hifly = app.state.hifly
            good = {
                "avatar": (await hifly.avatars.list(size=1)).items[0].id,
                "voice": (await hifly.voices.list(size=1, kind=2)).items[0].id,
                "text": "Hello!",
            }
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                wrong = await client.post("/videos", params=good | {"avatar": "nobody"})
                assert (wrong.status_code, "not found" in wrong.json()["detail"]) == (404, True)
                wrong = await client.post("/videos", params=good | {"text": " "})
                assert (wrong.status_code, "text: " in wrong.json()["detail"]) == (422, True)
                wrong = await client.get("/videos/nonsense")
                assert (wrong.status_code, "token" in wrong.json()["detail"]) == (404, True)
                assert sandbox.seen.tasks == []
                made = await client.post("/videos", params=good)
                seen = await client.get(f"/videos/{made.json()['token']}")
                assert seen.json()["status"] in ("queued", "running", "succeeded")
                sandbox.faults.add(endpoint="*/video/create_by_tts", fault="reset_after")
                assert (await client.post("/videos", params=good)).status_code == 502
                assert len(sandbox.seen.tasks) == 2

    async def served() -> None:
        async with avatarkit.AsyncSandbox(render="tiny", run_seconds=0.1) as sandbox:
            monkeypatch.setenv("HIFLY_BASE_URL", sandbox.base_url("hifly"))
            monkeypatch.setenv("HIFLY_TOKEN", sandbox.token)
            await main(sandbox)

    asyncio.run(served())
