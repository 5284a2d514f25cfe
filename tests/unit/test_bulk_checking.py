"""Checking a whole manifest before anything is sent."""

from __future__ import annotations

import itertools
import tempfile
import tracemalloc
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from avatarkit import providers
from avatarkit.bulk import checking
from avatarkit.bulk.checking import CheckReport, check_rows
from avatarkit.bulk.manifest import Mistake, Row, read_manifest, read_to_check
from avatarkit.bulk.manifest_text import Reading
from avatarkit.bulk.naming import NameTemplate
from avatarkit.errors import ConfigurationError
from avatarkit.protocol.samples import png

PNG = png(400, 400)


def sound(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\0" * int(8000 * seconds))
    return path


async def check(items: Iterable[Any], provider: str = "hifly", **more: Any) -> CheckReport:
    return await check_rows(read_manifest(items), provider=provider, **more)


@pytest.mark.asyncio
async def test_good_rows_are_counted_and_priced() -> None:
    """Jobs, expected cost with its unit, rows of unknown cost, and the time with so many tasks at once."""
    items = [{"avatar": "a", "voice": "v", "text": "hello there"}] * 3
    items.append({"avatar": "a", "audio": "https://x.test/a.mp3"})
    report = await check(items, most_running=2)
    median = providers.spec("hifly").kinds[providers.part("hifly", "endpoints").Kind.VIDEO].median
    estimate = providers.part("hifly", "generate").estimate
    request = next(row.request for row in read_manifest(items) if isinstance(row, Row))
    assert (report.rows, report.jobs, report.mistakes, report.parts, report.unknown_costs) == (4, 4, (), 0, 1)
    assert report.cost == pytest.approx(3 * estimate(request))
    assert (report.unit, report.seconds, report.ok) == ("credits", 2 * median, True)
    assert (await check(items)).seconds is None


@pytest.mark.asyncio
async def test_parts_that_are_shared_count_once(tmp_path: Path) -> None:
    """Two pictures used by six rows are two avatars to be cloned, and two files looked into."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PNG)
    items = [
        {"image": str(tmp_path / f"{n}.png"), "voice": "v", "text": f"t{i}"} for i in range(3) for n in "ab"
    ]
    report = await check(items, most_running=100)
    assert (report.jobs, report.parts, report.files, report.mistakes) == (6, 2, 2, ())
    kinds = {kind.value: each.median for kind, each in providers.spec("hifly").kinds.items()}
    assert report.seconds == kinds["avatar"] + kinds["video"]


@pytest.mark.asyncio
async def test_every_mistake_is_told_with_row_and_column(tmp_path: Path) -> None:
    """Of the reader, of the provider's limits and of the files: all of them, in the order of the rows."""
    (tmp_path / "jobs.csv").write_text(
        "avatar,voice,text,audio,title,subtitles\n"
        "a,v,fine,,,\n"
        "a,,no voice,,,\n"
        "a,v,<b>tag</b>,,a title that is far too long for it,\n"
        "a,,,missing.wav,,\n"
        "a,,,short.wav,,\n"
        "a,v,x,,,perhaps\n"
        "a,,,short.wav,,\n"
    )
    sound(tmp_path / "short.wav", 1.0)
    report = await check_rows(read_manifest(tmp_path / "jobs.csv"), provider="hifly")
    places = [(each.line, each.column) for each in report.mistakes]
    assert places == [
        (3, "voice"),
        (4, "text"),
        (4, "title"),
        (5, "audio"),
        (6, "audio"),
        (7, "subtitles"),
        (8, "audio"),
    ]
    assert "no such file" in report.mistakes[3].message
    assert "1.0 s found" in report.mistakes[4].message
    assert (report.rows, report.jobs, report.files, report.ok) == (6, 1, 2, False)


TORN = [
    ("subtitles\nmaybe", {}, [(2, "subtitles")]),
    ("subtitles,title\nmaybe,a title that is far too long for it", {}, [(2, "subtitles"), (2, "title")]),
    ("title,key\na title that is far too long for it,@no", {}, [(2, "key"), (2, "title")]),
    ("title,options\na title that is far too long for it,{", {}, [(2, "options"), (2, "title")]),
    ("title,team\na title that is far too long for it,a\0b", {}, [(2, "team"), (2, "title")]),
    ("subtitles\nmaybe", {"voice": ""}, [(2, "subtitles"), (2, "voice")]),
    ("subtitles\nmaybe", {"voice": "", "text": "", "audio": "none.wav"}, [(2, "subtitles"), (2, "audio")]),
    ("subtitles\nmaybe", {"text": "a\0b"}, [(2, "text"), (2, "subtitles")]),
    ("subtitles\nmaybe", {"avatar": "", "image": "a\0b"}, [(2, "image"), (2, "subtitles")]),
    ("title\na title that is far too long for it", {"voice": "", "text": "", "audio": "none.wav"},
     [(2, "title"), (2, "audio")]),
    ("title\na title that is far too long for it", {"voice": ""}, [(2, "voice"), (2, "title")]),
    ("title,image\na title that is far too long for it,none.png", {}, [(2, "presenter"), (2, "title"), (2, "image")]),
    ("title\na title that is far too long for it", {"voice": "", "text": ""}, [(2, "speech"), (2, "title")]),
    ("hifly.aigc_flag\n7", {"avatar": ""}, [(2, "presenter"), (2, "aigc_flag")]),
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(("cells", "others", "wanted"), TORN)
async def test_all_mistakes_of_a_row_are_told_together(
    tmp_path: Path, cells: str, others: dict[str, str], wanted: list[tuple[int, str]]
) -> None:
    """A cell that cannot be read hides nothing else of its row, and nothing is told that only follows from it."""
    row = {"avatar": "a", "voice": "v", "text": "hello there", **others}
    names, values = cells.split("\n")
    quoted = values if "{" not in values else values.replace("{", '"{"')
    path = tmp_path / "jobs.csv"
    path.write_text(f"{','.join(row)},{names}\n{','.join(row.values())},{quoted}\n")
    report = await check_rows(read_to_check(path), provider="hifly")
    assert [(each.line, each.column) for each in report.mistakes] == wanted
    assert report.jobs == 0


@pytest.mark.asyncio
async def test_a_key_that_stands_twice_hides_nothing() -> None:
    """Neither in a row that is wrong otherwise, nor in the row before it."""
    good = {"key": "k", "avatar": "a", "voice": "v", "text": "hello there"}
    items: list[dict[str, Any]] = [
        {**good, "subtitles": "maybe"},
        {**good, "title": "x" * 50, "misc": 1},
        {**good, "titel": "x" * 50},
    ]
    report = await check_rows(read_to_check(items), provider="hifly")
    assert [(each.line, each.column) for each in report.mistakes] == [
        (1, "subtitles"), (2, "key"), (2, "title"), (3, "titel"), (3, "key"), (3, "title"),
    ]  # fmt: skip
    assert [type(each) for each in report.mistakes] == [Mistake] * 6


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("text", "encoding", "given", "told"),
    [
        ("café déjà vu, naïve", "mac-roman", None, ("cp1252", True)),
        ("大家好欢迎来到我们的节目", "gbk", None, ("gb18030", True)),
        ("大家好", "utf-8", None, ("utf-8", False)),
        ("大家好", "utf-16", None, ("utf-16-le", False)),
        ("Доброе утро", "cp1251", "koi8-r", ("koi8-r", False)),
    ],
)
async def test_how_the_text_was_read_is_told(
    tmp_path: Path, text: str, encoding: str, given: str | None, told: tuple[str, bool]
) -> None:
    """The encoding, whether it was guessed, and the first cell in which a wrong one shows, as it was read."""
    path = tmp_path / "jobs.csv"
    path.write_bytes(f'avatar,voice,text\na,v,plain\na,v,"{text}"\na,v,"{text} 2"\n'.encode(encoding))
    reading = Reading(given=given)
    report = await check_rows(read_to_check(path, reading=reading), provider="hifly", reading=reading)
    assert (report.encoding, report.guessed) == told
    assert report.sample is not None
    seen = text.encode(encoding).decode(told[0]) if "16" not in encoding else text
    assert (report.sample.line, report.sample.column, report.sample.text) == (3, "text", seen)


@pytest.mark.asyncio
async def test_the_sample_is_short_and_of_a_cell() -> None:
    """A long cell is cut about its first letter that is not ASCII; plain text has no sample, and no more has JSON."""
    for head, row, wanted in (
        ("text", "x" * 100 + "\né" + "y" * 100, f'line 2, text: "…{"x" * 19} é{"y" * 39}…"'),
        ("text,tïtre", "plain,plain", 'line 1: "tïtre"'),
        ("text,tïtre", "plain,là", 'line 2, tïtre: "là"'),
        ("text", "plain", "None"),
    ):
        reading = Reading()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "jobs.csv"
            path.write_text(
                f'avatar,voice,{head}\na,v,"{row}"\n'.replace("plain,", 'plain","'), encoding="utf-8"
            )
            list(read_to_check(path, reading=reading))
        assert (reading.encoding, str(reading.sample)) == ("utf-8", wanted)
    reading = Reading()
    list(read_to_check([{"avatar": "a", "voice": "v", "text": "là"}], reading=reading))
    assert (reading.encoding, reading.sample) == ("", None)


@pytest.mark.asyncio
async def test_without_preflight_files_still_have_to_be_there(tmp_path: Path) -> None:
    """What is inside is not looked at then."""
    items = [
        {"avatar": "a", "audio": str(sound(tmp_path / "short.wav", 1.0))},
        {"avatar": "a", "audio": "missing.wav"},
    ]
    report = await check(items, preflight=False)
    assert [(each.line, each.column) for each in report.mistakes] == [(2, "audio")]


@pytest.mark.asyncio
async def test_what_a_provider_cannot_do_names_those_that_can() -> None:
    """The mistake is of the whole row and says who could."""
    others = [providers.part(name, "generate").CAPABILITIES for name in providers.names()]
    report = await check([{"avatar": "a", "voice": "v", "text": "x"}], provider="kling", others=others)
    (mistake,) = report.mistakes
    assert (mistake.line, mistake.column) == (1, "")
    assert "HiFly" in mistake.message


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("provider", "item", "column"),
    [
        ("kling", {"image": "{png}", "audio": "{short}"}, "audio"),
        ("yunapi", {"image": "{none}", "audio": "https://x.test/a.mp3"}, "image"),
        ("guiji", {"avatar": "1", "audio": "{none}"}, "audio"),
        (
            "guiji",
            {"video": "https://x.test/v.mp4", "text": "x", "voice": "v", "guiji.authorize": "{none}",
             "guiji.authorize_text": "I consent"},
            "authorize",
        ),
    ],
)  # fmt: skip
async def test_files_are_told_by_the_column_that_names_them(
    tmp_path: Path, provider: str, item: dict[str, str], column: str
) -> None:
    """Whatever the provider's operation calls its argument; consents among the options are looked at too."""
    (tmp_path / "a.png").write_bytes(PNG)
    places = {
        "{png}": str(tmp_path / "a.png"),
        "{short}": str(sound(tmp_path / "s.wav", 1.0)),
        "{none}": str(tmp_path / "none.wav"),
    }
    report = await check([{name: places.get(value, value) for name, value in item.items()}], provider)
    assert [each.column for each in report.mistakes] == [column]


@pytest.mark.asyncio
async def test_urls_are_checked_without_being_fetched() -> None:
    """A URL with a blank in it, or longer than the provider takes, is a mistake of its column."""
    items = [
        {"avatar": "a", "audio": "https://x.test/a b.mp3"},
        {"video": f"https://x.test/{'v' * 600}.mp4", "voice": "v", "text": "x"},
    ]
    report = await check(items)
    assert [each.column for each in report.mistakes] == ["audio", "video"]
    assert report.files == 0


@pytest.mark.asyncio
async def test_a_file_is_looked_into_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand rows with one bad file: it is opened once, and every row says so."""
    opened: list[str] = []
    real = checking.as_source

    async def counted(media: Any) -> Any:
        opened.append(str(media))
        return await real(media)

    monkeypatch.setattr(checking, "as_source", counted)
    path = str(sound(tmp_path / "short.wav", 1.0))
    report = await check([{"key": str(n), "avatar": "a", "audio": path} for n in range(1000)])
    assert opened == [path]
    assert len(report.mistakes) == 1000


@pytest.mark.asyncio
async def test_mistakes_beyond_a_thousand_are_counted() -> None:
    """The first thousand are listed, in order."""
    each = len((await check([{"avatar": "a"}])).mistakes)
    report = await check({"avatar": "a", "key": str(n)} for n in range(1500))
    assert len(report.mistakes) == 1000
    assert report.more == 1500 * each - 1000
    assert report.mistakes[-1].line == 1 + 999 // each


@pytest.mark.asyncio
async def test_a_template_that_asks_for_a_column_that_is_not_there() -> None:
    """A name's field that no row has is a mistake of the whole; one that some rows have is none."""
    items = [
        {"avatar": "a", "voice": "v", "text": "x", "team": "blue"},
        {"avatar": "a", "voice": "v", "text": "y"},
    ]
    report = await check(items, name=NameTemplate("{team}/{nope}-{key}"))
    assert [(each.line, each.column) for each in report.mistakes] == [(0, "nope")]


@pytest.mark.asyncio
async def test_an_empty_manifest_is_not_fine() -> None:
    """No rows are no mistake, and nothing to run either."""
    report = await check([])
    assert (report.rows, report.mistakes, report.ok) == (0, (), False)


@pytest.mark.asyncio
async def test_a_provider_that_is_none() -> None:
    """It is refused before a row is read."""
    with pytest.raises(ConfigurationError):
        await check([], provider="nobody")


@pytest.mark.asyncio
async def test_rows_that_repeat_an_earlier_one_are_counted(tmp_path: Path) -> None:
    """Same in every column, and without a key: each is a job, and it is told how many there are and where."""
    (tmp_path / "jobs.csv").write_text(
        "key,avatar,voice,text,team,subtitles\n"
        ",a,v,one,red,\n"
        ",a,v,one,blue,\n"
        "k1,a,v,one,red,\n"
        "k2,a,v,one,red,\n"
        ",a,v,,red,\n"
        ",a,v,,red,\n"
        ",a,v,one,red,yes\n"
        ",a,v,one,,\n"
        ", a,v ,one,red,no\n"
        ",a,v,one,blue,\n"
        ",a,v,one,red,\n"
        ",a,v,one,,\n"
    )
    report = await check_rows(read_to_check(tmp_path / "jobs.csv"), provider="hifly")
    assert [each.line for each in report.mistakes] == [6, 7]
    assert (report.rows, report.jobs, report.repeats, report.first_repeat) == (12, 10, 4, 10)


@pytest.mark.asyncio
async def test_rows_with_keys_or_with_something_of_their_own_repeat_nothing() -> None:
    """One title more, another option, another key: what is asked for is another job."""
    item = {"avatar": "a", "voice": "v", "text": "x"}
    items = [item, {**item, "title": "t"}, {**item, "key": "1"}, {**item, "key": "2"}, {**item, "note": "n"}]
    report = await check(items)
    assert (report.jobs, report.repeats, report.first_repeat) == (5, 0, 0)
    report = await check([*items, {"note": "n", **item}, *[item] * 3])
    assert (report.jobs, report.repeats, report.first_repeat) == (9, 4, 6)


@pytest.mark.asyncio
async def test_rows_are_not_held() -> None:
    """Four thousand rows with 5,000 letters each, 20 MB in all, take less than 4 MB."""

    def items() -> Iterable[Row | Mistake]:
        given = (
            {"key": str(n) if n % 2 else "", "avatar": "a", "voice": "v", "text": f"{n} " + "x" * 5000}
            for n in itertools.count()
        )
        return itertools.islice(read_manifest(given), 4_000)

    tracemalloc.start()
    try:
        report = await check_rows(items(), provider="hifly")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.jobs == 4_000
    assert peak < 4_000_000
