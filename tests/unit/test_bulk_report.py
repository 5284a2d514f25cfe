"""The report's page: its numbers, what hostile names become in it, and that it stays small and asks nothing."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import time
from array import array
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_ledgers import ACCOUNT, RUN, START, Node, crowd, figures, film, lively, read_page, spec, story

from avatarkit.bulk import report_posters
from avatarkit.bulk.moves import Move
from avatarkit.bulk.records import JobState, NewJob, RunSettings, RunState
from avatarkit.bulk.report import write_report
from avatarkit.bulk.report_facts import Spread, Timeline, histogram, quantile
from avatarkit.bulk.report_posters import Posters
from avatarkit.bulk.report_text import relative_url, shell_word, visible
from avatarkit.errors import ConfigurationError

_LOADING = ("src", "href", "poster", "data", "srcset", "action", "formaction", "xlink:href", "background")
_EVIL = (
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)> onmouseover='alert(1)'",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "--dsn=evil; rm -rf ~ `id` $(id)",
    "gpj.\u202eexe\u2066\u200b\u0000\u001b[31m",
    "</style></title><svg/onload=alert(1)>",
    "https://user:pass@cdn.example/v.mp4?Signature=SIGNED&token=SIGNED",
)


def _section(page: Node, name: str) -> Node:
    (found,) = [each for each in page.all("section") if each.attributes.get("aria-labelledby") == name]
    return found


def _links(page: Node) -> list[tuple[str, str, str]]:
    found = []
    for node in page.all():
        found += [
            (node.tag, name, value or "") for name, value in node.attributes.items() if name in _LOADING
        ]
    return found


# -- numbers


@pytest.mark.asyncio
async def test_the_numbers_are_the_ledgers(tmp_path: Path) -> None:
    """Totals, money and failures by kind are what the ledger says; parts are counted apart."""
    async with story(tmp_path, budget=5000.0, manifest="spring.csv") as made:
        await lively(made, [film(tmp_path / "a.mp4")])
        path = await write_report(made.ledger, RUN, tmp_path / "r.html")
        counts = await made.ledger.counts(RUN)
        run = await made.ledger.get_run(RUN)
        failed = await made.ledger.select(RUN, (JobState.FAILED,))
    assert run is not None
    page = read_page(path)
    shown = figures(page)
    assert int(shown["Done"]) == counts.of(JobState.DONE) == 115
    assert int(shown["Failed"]) == len(failed) == 12
    assert (shown["Held for you"], shown["Under way"], shown["Waiting"]) == ("3", "9", "21")
    assert shown["Spent"] == f"{run.spent:,.0f} credits"
    assert shown["Set aside"].startswith(f"{run.reserved:,.0f} ")
    assert shown["For each done video"] == f"{run.spent / 115:.2f} credits"
    assert shown["Budget"] == f"5,000 {5000 - run.spent - run.reserved:,.0f} left"
    assert shown["For avatars and voices"] == "60 credits"
    assert shown["Video made"] == "3 min 50 s"
    section = _section(page, "failures")
    rows = section.one("tbody").all("tr")
    assert {row.all("td")[1].text(): int(row.all("td")[2].text()) for row in rows} == {
        code: sum(job.error["code"] == code for job in failed) for code in ("2011", "1007", "2009")
    }
    assert rows[0].one("b").text() == "Refused by content review"
    assert "Change the text." in rows[0].text()
    assert failed[0].key in section.text()
    assert len(page.one("ul", class_="gallery").all("li")) == 115
    assert "spring.csv" in page.one("header").text()


@pytest.mark.asyncio
async def test_held_jobs_come_with_the_commands_that_resolve_them(tmp_path: Path) -> None:
    """Why, how it was sent, what it may be, and adopt, resend and abandon for this ledger and this job."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="it's me", spec=spec("x")), NewJob(key="-rf", spec=spec("y")))
        await made.hold("it's me", "the answer did not come", candidates=["48211"])
        await made.hold("-rf", "the answer did not come")
        path = await write_report(made.ledger, RUN, tmp_path / "r.html", journal="a b.db")
    section = _section(read_page(path), "held")
    assert "2 held for you" in section.one("h2").text()
    assert "2 jobs: the answer did not come" in section.text()
    assert "sent as avk-it's me" in section.text()
    assert "may be 48211" in section.text()
    commands = [
        node.text() for node in section.one("section").all("code") if node.text().startswith("avatarkit")
    ]
    assert commands == [
        "avatarkit bulk adopt 'a b.db' 'it'\"'\"'s me' TASK-ID",
        "avatarkit bulk resend 'a b.db' 'it'\"'\"'s me'",
        "avatarkit bulk abandon 'a b.db' 'it'\"'\"'s me'",
        "avatarkit bulk adopt 'a b.db' -- -rf TASK-ID",
        "avatarkit bulk resend 'a b.db' -- -rf",
        "avatarkit bulk abandon 'a b.db' -- -rf",
        "avatarkit bulk doubts 'a b.db'",
    ]


@pytest.mark.asyncio
async def test_commands_name_the_run_where_there_are_several(tmp_path: Path) -> None:
    """Else they would be about another run's job of the same key, or about none."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="a", spec=spec("a")))
        await made.hold("a", "nobody knows")
        await made.ledger.open_run("autumn", RunSettings(provider="hifly", account=ACCOUNT))
        path = await write_report(made.ledger, RUN, tmp_path / "r.html", journal="-x.db")
    assert "avatarkit bulk adopt ./-x.db --run=main a TASK-ID" in read_page(path).text()


@pytest.mark.asyncio
async def test_a_databases_address_is_not_shown(tmp_path: Path) -> None:
    """It may hold a password."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="a", spec=spec("a")))
        await made.hold("a", "nobody knows")
        address = "postgresql://me:hunter22@db.example/runs"
        path = await write_report(made.ledger, RUN, tmp_path / "r.html", journal=address)
    assert "hunter22" not in path.read_text()
    assert 'avatarkit bulk resend "$DSN" a' in read_page(path).text()


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["a?token=abcdefgh", "https://cdn.example/a?sig=SIGNED", "k" * 3000])
async def test_a_command_is_whole_or_not_there(tmp_path: Path, key: str) -> None:
    """A key that cannot be shown as it is gets no command, for a changed one would mean another job."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key=key, spec=spec("a")))
        await made.hold(key, "nobody knows")
        page = read_page(await write_report(made.ledger, RUN, tmp_path / "r.html"))
    section = _section(page, "held")
    assert key not in section.text()
    assert "avatarkit bulk adopt" not in section.text()
    assert "Its key cannot be shown here as it is" in section.text()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("state", "reason", "title", "kind"),
    [
        (RunState.ACTIVE, "", "Under way", "active"),
        (RunState.STOPPED, "20 jobs in a row failed", "Submits no more: 20 jobs in a row failed", "stopped"),
        (RunState.CANCELLED, "", "Cancelled", "stopped"),
    ],
)
async def test_where_the_run_stands_comes_first(
    tmp_path: Path, state: RunState, reason: str, title: str, kind: str
) -> None:
    """Its state and why it was stopped are the first heading."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="a", spec=spec("a")), NewJob(key="b", spec=spec("b")))
        await made.do("a", 50.0)
        if state is not RunState.ACTIVE:
            await made.ledger.set_run_state(RUN, state, reason)
        path = await write_report(made.ledger, RUN, tmp_path / "r.html")
    page = read_page(path)
    first = page.all("h2")[0]
    assert first.text() == title
    assert kind in (page.all("section")[0].attributes["class"] or "").split()


@pytest.mark.asyncio
async def test_a_run_that_is_over_says_so(tmp_path: Path) -> None:
    """And one without any job is a page too."""
    async with story(tmp_path) as made:
        empty = read_page(await write_report(made.ledger, RUN, tmp_path / "empty.html"))
        await made.add(NewJob(key="a", spec=spec("a")))
        await made.do("a", 50.0)
        over = read_page(await write_report(made.ledger, RUN, tmp_path / "over.html"))
    assert "None is done yet" in empty.text()
    assert over.all("h2")[0].text() == "Every video is done"


# -- hostile data


@pytest.mark.asyncio
async def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    """No key, title, message, code, marker, column or file name becomes markup, a URL, or hides itself."""
    async with story(tmp_path, manifest=_EVIL[0], out=str(tmp_path / "v")) as made:
        (tmp_path / "v").mkdir()
        jobs = [
            NewJob(key=f"{n}{evil}", spec=spec("x", evil, evil, {evil: evil}), estimate=1.0)
            for n, evil in enumerate(each for each in _EVIL for _ in range(3))
        ]
        await made.add(*jobs)
        for n, job in enumerate(jobs):
            evil = _EVIL[n // 3]
            if n % 3 == 0:
                await made.do(job.key, 5.0, file=evil, location=evil)
            elif n % 3 == 1:
                await made.submit(job.key)
                error = {"type": evil, "code": evil, "reason": evil, "message": evil, "hint": evil}
                await made.end(job.key, JobState.FAILED, error=error)
            else:
                await made.hold(job.key, evil, candidates=[evil, {"x": evil}])
        await made.ledger.set_run_state(RUN, RunState.STOPPED, _EVIL[1])
        path = await write_report(made.ledger, RUN, tmp_path / "r.html")
    text = path.read_text()
    page = read_page(path)
    assert [node.tag for node in page.all("script")] == ["script"]
    assert page.all("img") == page.all("iframe") == page.all("object") == []
    assert not [
        name for node in page.all() for name in node.attributes if name.startswith("on") or name == "style"
    ]
    assert _links(page) == [("link", "href", "data:,"), ("a", "href", "#videos")]
    assert "SIGNED" not in text
    assert "user:pass" not in text
    assert not re.search("[\u202e\u2066\u200b\x00\x1b]", text)
    assert "⟨U+202E⟩" in page.text()
    assert "<script>alert(1)</script>" in page.text()
    evil_key = next(job.key for job in jobs if "gpj" in job.key and job.key.startswith("17"))
    assert shell_word(evil_key).isascii()
    assert shell_word(evil_key)[2:-1] in page.text()


@pytest.mark.asyncio
async def test_a_ledger_with_odd_data_has_a_report_too(tmp_path: Path) -> None:
    """Results, errors and specs that are none of ours leave gaps, and stop nothing."""
    async with story(tmp_path) as made:
        await made.add(*(NewJob(key=f"k{n}", spec=b"[1]") for n in range(3)))
        await made.do("k0", 1.0, file=7, bytes="many", seconds=-1)
        for state in (JobState.DONE, JobState.FAILED, JobState.HELD):

            def odd(state: JobState = state) -> Move[None]:
                yield (
                    (
                        "UPDATE jobs SET state = :state, result = '5', error = '[1]', submitted_at = 1e300,"
                        " ended_at = -1 WHERE seq = (SELECT max(seq) FROM jobs WHERE state = 'new')"
                    ),
                    {"state": state.value},
                )

            await made.ledger.change(odd)
        page = read_page(await write_report(made.ledger, RUN, tmp_path / "r.html"))
    shown = figures(page)
    assert (shown["Done"], shown["Failed"]) == ("2", "1")
    assert len(page.all("div", class_="blank")) == 2


@pytest.mark.asyncio
async def test_secrets_of_the_ledger_stay_there(tmp_path: Path) -> None:
    """Tokens, the account and signed URLs are not in the page."""
    async with story(tmp_path) as made:
        await lively(made, [film(tmp_path / "a.mp4")], jobs=60)
        await made.do("shop-0045", 3.0, file="gone.mp4", url="https://cdn.example/a.mp4?sig=SIGNED")
        path = await write_report(made.ledger, RUN, tmp_path / "r.html")
    text = path.read_text()
    assert "secret-token" not in text
    assert ACCOUNT not in text
    assert "SIGNED" not in text


@pytest.mark.asyncio
async def test_only_videos_below_the_runs_folder_are_linked(tmp_path: Path) -> None:
    """A name that leads out of the folder, by dots or by a link, or to something that is no video, is shown as text."""
    out = tmp_path / "v"
    out.mkdir()
    film(tmp_path / "outside.mp4")
    (out / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (out / "page.html").write_text("<script>1</script>")
    odd = "javascript:a?b#c%20 ü'\".mp4"
    film(out / "plain.mp4").rename(out / odd)
    names = ["../outside.mp4", str(tmp_path / "outside.mp4"), "link.mp4", "page.html", "gone.mp4", odd]
    async with story(tmp_path, out=str(out)) as made:
        await made.add(*(NewJob(key=f"k{n}", spec=spec(f"k{n}")) for n in range(len(names))))
        for n, name in enumerate(names):
            await made.do(f"k{n}", 1.0, file=name)
        page = read_page(await write_report(made.ledger, RUN, tmp_path / "pages" / "r.html"))
    (video,) = page.all("video")
    assert video.attributes["src"] == "../v/javascript%3Aa%3Fb%23c%2520%20%C3%BC%27%22.mp4"
    assert len(page.all("div", class_="blank")) == 5


@given(st.text(min_size=1, max_size=40))
def test_any_file_name_is_a_relative_url(name: str) -> None:
    """Unreserved characters and escapes only, and never a scheme."""
    if "\0" in name or name in (".", "..") or "/" in name or not _encodable(name):
        return
    url = relative_url(Path("/a/v") / name, Path("/a"))
    assert re.fullmatch(r"\./v/[A-Za-z0-9_.~%-]+", url)


def _encodable(name: str) -> bool:
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in name)


@given(st.text(max_size=60))
def test_what_is_shown_never_hides(text: str) -> None:
    """No control or direction character is left, and plain text is left alone."""
    shown = visible(text)
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]", shown
    )
    if text.isascii() and text.isprintable():
        assert shown == text


# -- one page, by itself


@pytest.mark.asyncio
async def test_the_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Everything is inline or relative, and the policy allows exactly that script and that style."""
    async with story(tmp_path) as made:
        await lively(made, [film(tmp_path / "a.mp4")], jobs=60)
        path = await write_report(made.ledger, RUN, tmp_path / "r.html")
    page = read_page(path)
    for tag, name, value in _links(page):
        assert re.match(r"(data:(,|image/jpeg;base64,)|#videos$|\./videos/[\w-]+\.mp4$)", value), (
            tag,
            name,
            value,
        )
    assert "://" not in path.read_text().replace("scheme ://", "")
    (meta,) = [each for each in page.all("meta") if each.attributes.get("http-equiv")]
    policy = meta.attributes["content"] or ""
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        (inside,) = page.one(tag).children
        assert isinstance(inside, str)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.asyncio
async def test_the_page_is_built_for_everyone(tmp_path: Path) -> None:
    """Landmarks, a language, headings in order, names for pictures, players and fields, and numbers behind charts."""
    async with story(tmp_path) as made:
        await lively(made, [film(tmp_path / "a.mp4")])
        page = read_page(await write_report(made.ledger, RUN, tmp_path / "r.html"))
    assert page.one("html").attributes["lang"] == "en"
    assert all(len(page.all(tag)) == 1 for tag in ("header", "main", "footer", "h1"))
    ids = [node.attributes["id"] for node in page.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    for section in page.all("section"):
        assert section.attributes["aria-labelledby"] in ids
    for svg in page.all("svg"):
        assert svg.attributes.get("aria-hidden") == "true" or svg.attributes["aria-label"]
    for video in page.all("video"):
        assert video.attributes["aria-label"]
        assert (video.attributes["poster"] or "").startswith("data:image/jpeg;base64,")
        assert "controls" in video.attributes
    levels = [int(node.tag[1]) for node in page.all() if re.fullmatch("h[1-6]", node.tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    table = _section(page, "course").one("details").one("tbody").all("tr")
    assert sum(int(row.all("td")[2].text()) for row in table) == 115
    assert max(int(row.all("td")[1].text()) for row in table) == 12


@pytest.mark.asyncio
async def test_videos_can_be_put_into_the_page(tmp_path: Path) -> None:
    """Embedded ones are whole, byte for byte."""
    out = tmp_path / "videos"
    async with story(tmp_path) as made:
        await made.add(NewJob(key="a", spec=spec("a")))
        out.mkdir()
        film(out / "a.mp4")
        await made.do("a", 1.0, file="a.mp4")
        page = read_page(await write_report(made.ledger, RUN, tmp_path / "r.html", media="embed"))
    source = page.one("video").attributes["src"] or ""
    kind, _, data = source.partition(";base64,")
    assert kind == "data:video/mp4"
    assert base64.b64decode(data) == (out / "a.mp4").read_bytes()


@pytest.mark.asyncio
async def test_a_hundred_thousand_jobs_make_a_small_page(tmp_path: Path) -> None:
    """The page is aggregated: 200 cards, 40 kinds of failures of 700, under a megabyte, in seconds."""
    async with story(tmp_path) as made:
        await crowd(made, 100_000)
        begun = time.process_time()
        path = await write_report(made.ledger, RUN, tmp_path / "r.html")
        seconds = time.process_time() - begun
    assert path.stat().st_size < 1_000_000
    assert seconds < 30.0
    page = read_page(path)
    shown = figures(page)
    assert (shown["Done"], shown["Failed"], shown["Spent"]) == ("98,000", "2,000", "0 credits")
    cards = page.one("ul", class_="gallery").all("li")
    assert len(cards) == 200
    numbers = [int((card.all("p")[0].text())[1:]) for card in cards]
    assert numbers == sorted(numbers)
    assert numbers[-1] - numbers[0] > 95_000
    assert "and 97,800 more" in _section(page, "gallery").text()
    assert len(_section(page, "failures").one("tbody").all("tr")) == 40
    durations = _section(page, "durations")
    assert "half within 58 s" in durations.text()


# -- the file


@pytest.mark.asyncio
async def test_only_a_report_is_ever_replaced(tmp_path: Path) -> None:
    """An older report is; a ledger or a video is refused and left as it was. A folder gets report.html."""
    async with story(tmp_path) as made:
        path = await write_report(made.ledger, RUN, tmp_path)
        assert path == tmp_path / "report.html"
        assert await write_report(made.ledger, RUN, path) == path
        other = tmp_path / "a.mp4"
        other.write_bytes(b"video")
        for wrong in (other, tmp_path / "run.db"):
            before = wrong.read_bytes()
            with pytest.raises(ConfigurationError, match="no report"):
                await write_report(made.ledger, RUN, wrong)
            assert wrong.read_bytes() == before
        with pytest.raises(ConfigurationError, match="cannot be written"):
            await write_report(made.ledger, RUN, other / "r.html")
        with pytest.raises(ConfigurationError, match="no run"):
            await write_report(made.ledger, "other", tmp_path / "x.html")
    assert not list(tmp_path.glob(".*part*"))


# -- pictures


def test_a_poster_is_a_small_jpeg(tmp_path: Path) -> None:
    """From the middle of the video, at most 300 pixels high, also of WebM."""
    for name in ("a.mp4", "b.webm"):
        uri = Posters().of(film(tmp_path / name, size=(360, 640)))
        picture = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
        assert picture[:2] == b"\xff\xd8"
        assert len(picture) < 20_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\0" * 5000,
        b"\0\0\0\x18ftypmp42" + b"\xff" * 500,
    ],
)
def test_what_is_no_video_has_no_poster(tmp_path: Path, data: bytes) -> None:
    """A playlist is not followed, and nothing is raised."""
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    assert Posters().of(path) == ""
    assert Posters().of(tmp_path / "gone.mp4") == ""


def test_posters_end_where_their_bytes_and_their_time_do(tmp_path: Path) -> None:
    """A page with thousands of large pictures, or of slow videos, is still written."""
    path = film(tmp_path / "a.mp4")
    one = len(base64.b64decode(Posters().of(path).partition(",")[2]))
    posters = Posters(most_bytes=2 * one)
    assert [bool(posters.of(path)) for _ in range(3)] == [True, True, False]
    assert Posters(patience=-1.0).of(path) == ""


def test_without_pyav_there_are_plain_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not needed for a report."""
    monkeypatch.setattr(report_posters, "_library", lambda: None)
    assert Posters().of(film(tmp_path / "a.mp4")) == ""


# -- gathering


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), max_size=60))
def test_a_timeline_loses_nothing(tasks: list[tuple[float, float]]) -> None:
    """However often its stretches are merged: what began has ended, and every finish is counted once."""
    line = Timeline(START)
    for begun, took in tasks:
        line.add("begun", START + begun)
        line.add("ended", START + begun + took)
        line.add("done", START + begun + took)
    bins = line.bins()
    assert len(bins) <= 240
    assert sum(each.done for each in bins) == len(tasks)
    assert bins[-1].running == 0
    assert max(each.running for each in bins) <= len(tasks)


def test_a_timeline_takes_odd_times() -> None:
    """What is earlier than the run counts as its start; what is no time is left out."""
    line = Timeline(START)
    line.add("begun", START - 50.0)
    line.add("done", math.nan)
    line.add("done", None)
    bins = line.bins(until=START + 10.0)
    assert (bins[0].running, bins[-1].running, sum(each.done for each in bins)) == (1, 1, 0)


@given(st.integers(0, 3000), st.integers(0, 50))
def test_a_sample_is_spread_over_all(offered: int, most: int) -> None:
    """In order, without repeats, at most as many as asked for, none left out where there is room."""
    spread: Spread[int] = Spread(most)
    for n in range(offered):
        spread.offer(n)
    kept = spread.kept
    assert len(kept) == min(offered, most)
    assert kept == sorted(set(kept))
    if offered > most > 1:
        assert max(b - a for a, b in pairwise(kept)) <= 4 * offered / most


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=200))
def test_a_histogram_counts_all(values: list[float]) -> None:
    """Also what lies far out, and in at most 32 stretches."""
    ordered = array("d", sorted(values))
    width, counts = histogram(ordered)
    assert sum(counts) == len(values)
    assert len(counts) <= 32
    assert width > 0
    assert quantile(ordered, 0.0) == min(values)
    assert quantile(ordered, 1.0) == max(values)
