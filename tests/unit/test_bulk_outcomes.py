"""Outcomes of a run as CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.outcomes import FIELDS, export, export_row, form_of, write_outcomes
from avatarkit.bulk.records import Job, JobState, RunSettings
from avatarkit.bulk.specs import Row, spec_of
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.errors import ConfigurationError, InvalidRequest
from avatarkit.request import VideoRequest


def job(seq: int = 1, **more: Any) -> Job:
    columns = more.pop("columns", {"team": "blue", "key": "own"})
    request = more.pop(
        "request", VideoRequest(avatar="-12", voice="v", text="hi", image="https://x.test/i?Signature=s3cr3t")
    )
    row = spec_of(Row(key=f"k{seq}", request=request, columns=columns))
    wrapped = b'{"parts":[],"row":' + row + b"}"
    given = {"key": f"k{seq}", "part": False, "state": JobState.DONE, "spec": wrapped, "seq": seq, "run": "r"}
    return Job(**{**given, **more})


DONE = job(
    result={"file": "k1.mp4", "bytes": 4, "seconds": 2.5},
    cost=3.0,
    task_id="t1",
    attempt=1,
    created=1_790_000_000.0,
    submitted_at=1_790_000_001.5,
)
FAILED = job(
    2,
    state=JobState.FAILED,
    error={
        "type": "TaskFailed",
        "code": "17",
        "message": "see https://x.test/?token=s3cr3t",
        "reason": "moderation",
    },
)
PART = job(3, part=True)


def table(*jobs: Job, **more: Any) -> list[dict[str, str]]:
    file = io.BytesIO()
    write_outcomes(jobs, file, **more)
    assert file.getvalue().startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(file.getvalue().decode("utf-8-sig"), newline="")))


def test_a_table_for_people() -> None:
    """One line a job, parts left out; facts, errors, what was asked for, and the manifest's columns."""
    one, two = table(DONE, FAILED, PART)
    assert (one["key"], one["state"], one["file"], one["bytes"], one["cost"]) == (
        "k1",
        "done",
        "k1.mp4",
        "4",
        "3.0",
    )
    assert one["submitted_at"] == "2026-09-21T14:13:21.500+00:00"
    assert (one["avatar"], one["text"], one["team"], one["column.key"]) == ("-12", "hi", "blue", "own")
    assert (two["state"], two["error"], two["code"], two["reason"]) == (
        "failed",
        "TaskFailed",
        "17",
        "moderation",
    )
    assert two["finished_at"] == ""


def test_json_lines_for_programs() -> None:
    """The same as objects, without what is not known."""
    file = io.BytesIO()
    assert write_outcomes([DONE, PART, FAILED], file, "jsonl") == 2
    one, two = map(orjson.loads, file.getvalue().splitlines())
    assert (one["file"], one["columns"]) == ("k1.mp4", {"team": "blue", "key": "own"})
    assert "error" not in one
    assert two["reason"] == "moderation"


def test_no_signed_url_gets_out() -> None:
    """Neither of the request, nor of an error, nor of a column."""
    signed = attrs.evolve(FAILED, spec=job(columns={"link": "https://x.test/?sig=s3cr3t"}).spec)
    for form in ("csv", "jsonl"):
        file = io.BytesIO()
        write_outcomes([signed], file, form)  # type: ignore[arg-type]
        assert b"s3cr3t" not in file.getvalue()
        assert b"x.test" in file.getvalue()


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "\n=1"]
)
def test_cells_that_a_spreadsheet_would_run(cell: str) -> None:
    """They get a quote before them, unless that is not wanted; plain numbers stay numbers."""
    risky = job(request=VideoRequest(avatar="-12", title=cell), columns={"note": cell})
    (row,) = table(risky)
    assert (row["title"].lstrip()[:1], row["note"].lstrip()[:1], row["avatar"]) == ("'", "'", "-12")
    (row,) = table(risky, guarded=False)
    assert row["note"].lstrip("'") == row["note"]


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4))
def test_no_column_runs_or_breaks_the_table(columns: dict[str, str]) -> None:
    """Whatever stands in names and cells: one row, as many cells as the header, none that begins a formula."""
    file = io.BytesIO()
    try:
        risky = job(columns=columns)
    except InvalidRequest:
        return
    write_outcomes([risky], file)
    header, row = csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig"), newline=""))
    assert len(header) == len(row) == len(FIELDS) + 10 + len(columns)
    assert not any(
        cell.lstrip(" ")[:1] in ("=", "@", "\t", "\r") and cell.strip() for cell in [*header, *row]
    )


def test_an_empty_run_has_its_header() -> None:
    """Also when there are only parts."""
    assert table() == table(PART) == []


def test_columns_can_be_chosen() -> None:
    """Those that are asked for, in that order, also when the first jobs lack them."""
    (row,) = table(DONE, columns=["nope", "team"])
    assert (list(row)[-2:], row["nope"], row["team"]) == (["nope", "team"], "", "blue")


def test_a_job_that_cannot_be_read_is_told_all_the_same() -> None:
    """A spec that is damaged leaves the request empty."""
    assert export_row(job(spec=b"{}"))["request"] == {}
    assert export_row(job(spec=b"junk", created=1e30))["created"] is None


class Pages:
    """A ledger that has jobs and gives them in pages."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.asked: list[int] = []

    async def select(
        self, run: str, states: Sequence[JobState] = (), *, after: int = 0, most: int = 1000
    ) -> list[Job]:
        assert run == "r"
        self.asked.append(after)
        return [j for j in self.jobs if j.seq > after and (not states or j.state in states)][:most]


@pytest.mark.asyncio
async def test_export_reads_page_by_page(tmp_path: Path) -> None:
    """1,250 jobs come in three pages, and go to a file that is whole or not there."""
    ledger = Pages([attrs.evolve(DONE, seq=n, key=f"k{n}") for n in range(1, 1251)])
    assert await export(cast("Ledger", ledger), "r", tmp_path / "o.jsonl") == 1250
    assert ledger.asked == [0, 500, 1000, 1250]
    assert len((tmp_path / "o.jsonl").read_bytes().splitlines()) == 1250
    assert await export(cast("Ledger", ledger), "r", tmp_path / "o.csv", states=[JobState.FAILED]) == 0
    assert (tmp_path / "o.csv").read_bytes().count(b"\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"o.jsonl", "o.csv"}


@pytest.mark.asyncio
async def test_export_replaces_nothing_unasked(tmp_path: Path) -> None:
    """An existing file is an invalid request; a folder that is not there a configuration error; nothing stays."""
    target = tmp_path / "o.csv"
    target.write_bytes(b"mine")
    ledger = cast("Ledger", Pages([DONE]))
    with pytest.raises(InvalidRequest, match="exists already"):
        await export(ledger, "r", target)
    assert target.read_bytes() == b"mine"
    assert await export(ledger, "r", target, overwrite=True, form="jsonl") == 1
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await export(ledger, "r", tmp_path / "no" / "o.csv")
    assert list(tmp_path.iterdir()) == [target]


def test_jobs_are_not_held() -> None:
    """Ten thousand jobs, 20 MB in all, pass through under 8 MB."""

    def jobs() -> Iterator[Job]:
        for n in range(10_000):
            yield job(n, request=VideoRequest(text=f"{n}" + "x" * 2000))

    class Nothing(io.RawIOBase):
        def write(self, data: Any) -> int:
            return len(data)

    tracemalloc.start()
    try:
        assert write_outcomes(jobs(), cast("Any", Nothing())) == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.csv", "csv"), ("a.TSV", "tsv"), ("a.jsonl", "jsonl"), ("a.b.ndjson", "jsonl")],
)
def test_the_ending_tells_the_form(name: str, form: str) -> None:
    """Large and small letters are the same."""
    assert form_of(name) == form


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["o.xlsx", "o.json", "o.parquet", "o", ".csv"])
async def test_an_ending_that_is_no_form_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing is written under a name that promises something else; what is allowed is told, and a form said wins."""
    ledger = cast("Ledger", Pages([DONE]))
    with pytest.raises(InvalidRequest, match=r"\.csv, \.tsv, \.jsonl or \.ndjson allowed"):
        await export(ledger, "r", tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert await export(ledger, "r", tmp_path / name, form="jsonl") == 1
    assert orjson.loads((tmp_path / name).read_bytes())["key"] == "k1"


def test_a_table_with_tabs() -> None:
    """TSV is the same table, separated by tabs; what has a tab in it is quoted."""
    file = io.BytesIO()
    write_outcomes([job(columns={"note": "a\tb"})], file, "tsv")
    text = io.StringIO(file.getvalue().decode("utf-8-sig"), newline="")
    (row,) = csv.DictReader(text, delimiter="\t")
    assert (row["key"], row["note"]) == ("k1", "a\tb")


@pytest.mark.asyncio
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", ".lock"])
async def test_a_journal_is_never_replaced(tmp_path: Path, ending: str) -> None:
    """Neither the run's own, under whatever name, nor another's: not even when replacing is asked for."""
    async with await SqliteLedger.open(tmp_path / "run.db") as ledger:
        await ledger.open_run("r", RunSettings(provider="hifly", account="acc"))
        own = tmp_path / "sub" / ".." / f"run.db{ending}"
        (tmp_path / "sub").mkdir()
        with pytest.raises(InvalidRequest, match="a journal found"):
            await export(ledger, "r", own, form="csv", overwrite=True)
        assert (await ledger.get_run("r")) is not None
    other = cast("Ledger", Pages([DONE]))
    with pytest.raises(InvalidRequest, match="a journal found"):
        await export(other, "r", tmp_path / "run.db", form="csv", overwrite=True)
    with pytest.raises(InvalidRequest, match="- found"):
        await export(other, "r", "-", form="csv")
