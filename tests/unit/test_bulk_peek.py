"""Looking into a ledger that somebody else is writing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from avatarkit.bulk.peek import PeekedLedger
from avatarkit.bulk.records import JobState, NewJob, RunSettings, RunState
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.errors import ConfigurationError

SETTINGS = RunSettings(provider="hifly", account="abc")
SPEC = b'{"parts":[],"row":{}}'


@pytest.mark.asyncio
async def test_sees_what_was_committed(tmp_path: Path) -> None:
    """While one process writes, another sees each change after it was made, without the file's lock."""
    path = tmp_path / "run.db"
    ledger = await SqliteLedger.open(path)
    await ledger.open_run("main", SETTINGS)
    peeked = await PeekedLedger.open(path)
    assert (await peeked.counts("main")).total == 0
    await ledger.add("main", [NewJob(key="k", spec=SPEC)])
    assert (await peeked.counts("main")).of(JobState.NEW) == 1
    assert [run.id for run in await peeked.runs()] == ["main"]
    await peeked.aclose()
    await ledger.set_run_state("main", RunState.STOPPED, "enough")
    await ledger.aclose()
    again = await PeekedLedger.open(path)
    run = await again.get_run("main")
    assert run is not None
    assert run.reason == "enough"
    await again.aclose()
    await again.aclose()


@pytest.mark.asyncio
async def test_changes_nothing(tmp_path: Path) -> None:
    """Whatever would change the ledger is refused."""
    path = tmp_path / "run.db"
    ledger = await SqliteLedger.open(path)
    await ledger.open_run("main", SETTINGS)
    await ledger.aclose()
    peeked = await PeekedLedger.open(path)
    with pytest.raises(ConfigurationError, match="looking only"):
        await peeked.set_run_state("main", RunState.CANCELLED)
    run = await peeked.get_run("main")
    assert run is not None
    assert run.state is RunState.ACTIVE
    await peeked.aclose()


@pytest.mark.asyncio
async def test_what_is_no_ledger(tmp_path: Path) -> None:
    """A missing file, another database and a text are told as such and are left as they were."""
    with pytest.raises(ConfigurationError, match="there is no ledger"):
        await PeekedLedger.open(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE meta (name TEXT)")
    connection.close()
    text = tmp_path / "jobs.csv"
    text.write_text("key,avatar\n" * 100)
    for path in (other, text):
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match="not an avatarkit ledger"):
            await PeekedLedger.open(path)
        assert path.read_bytes() == before
