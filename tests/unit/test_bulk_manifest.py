"""Manifests: rows out of whatever a spreadsheet or a program gives."""
# ruff: noqa: RUF001 - Chinese has commas of its own

from __future__ import annotations

import codecs
import csv
import itertools
import os
import sys
import tempfile
import tracemalloc
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.bulk.feeding import digest_of
from avatarkit.bulk.manifest import CELL_LIMIT, Mistake, Row, read_manifest
from avatarkit.bulk.manifest_text import LINE_LIMIT, detect_encoding
from avatarkit.bulk.specs import content_key, spec_of
from avatarkit.errors import ConfigurationError, InvalidRequest, MissingExtra
from avatarkit.models import Subtitle
from avatarkit.providers.kling.generate import CAPABILITIES as KLING
from avatarkit.request import VideoRequest

CHINESE = "key,avatar,voice,text\r\na,av,v,大家好，欢迎来到我们的节目。\r\nb,av,v,今天天气很好\r\n"
WESTERN = 'key;avatar;voice;text\r\na;av;v;"Müller, déjà vu: 5 €"\r\nb;av;v;naïve “quotes” créée\r\n'


def read(tmp_path: Path, data: bytes | str, name: str = "jobs.csv", **more: Any) -> list[Row | Mistake]:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(read_manifest(path, **more))


def rows(found: list[Row | Mistake]) -> list[Row]:
    assert [each for each in found if isinstance(each, Mistake)] == []
    return [each for each in found if isinstance(each, Row)]


def mistakes(found: list[Row | Mistake]) -> list[tuple[int, str]]:
    return [(each.line, each.column) for each in found if isinstance(each, Mistake)]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *itertools.product([CHINESE], ["utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk"]),
        *itertools.product([WESTERN], ["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    ],
)
def test_what_excel_writes_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    """Chinese and Western text come back letter by letter, whatever the encoding."""
    found = rows(read(tmp_path, text.encode(encoding)))
    wanted = list(csv.reader(text.splitlines(), delimiter=";" if ";" in text else ","))[1:]
    assert [[r.key, r.request.avatar, r.request.voice, r.request.text] for r in found] == wanted


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("marked", [True, False])
def test_utf_16_in_both_orders(tmp_path: Path, encoding: str, marked: bool) -> None:
    """UTF-16 is told by its mark, and without one by its zero bytes."""
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}[encoding] if marked else b""
    assert [r.key for r in rows(read(tmp_path, mark + CHINESE.encode(encoding)))] == ["a", "b"]


def test_an_encoding_that_shows_late_is_found(tmp_path: Path) -> None:
    """A megabyte of ASCII before the first Chinese letter does not make GBK unreadable."""
    text = "avatar,voice,text\n" + "av,v,plain ascii text\n" * 60_000 + "av,v,大家好，欢迎来到我们的节目\n"
    assert rows(read(tmp_path, text.encode("gbk")))[-1].request.text == "大家好，欢迎来到我们的节目"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("привет всем друзья, добро пожаловать", "cp1251"),
        ("こんにちは、皆さん", "shift_jis"),
        ("안녕하세요 여러분 오늘은 날씨가 매우 좋습니다", "euc-kr"),
        ("大家好，歡迎來到我們的節目，今天天氣很好", "big5"),
    ],
)
def test_an_encoding_that_cannot_be_told_is_no_guess(tmp_path: Path, text: str, encoding: str) -> None:
    """Other alphabets' code pages would be spoken as garbage: they are refused, and read when they are named."""
    data = f'avatar,voice,text\nav,v,"{text}"\n'.encode(encoding)
    with pytest.raises(ConfigurationError, match="encoding cannot be told"):
        read(tmp_path, data)
    assert rows(read(tmp_path, data, encoding=encoding))[0].request.text == text


@pytest.mark.parametrize("name", ["klingon", "hex", "undefined"])
def test_an_encoding_that_is_none(tmp_path: Path, name: str) -> None:
    """A wrong name of an encoding is a configuration error."""
    with pytest.raises(ConfigurationError):
        read(tmp_path, CHINESE, encoding=name)


def test_bytes_that_do_not_decode_are_told_with_their_line(tmp_path: Path) -> None:
    """The rows before the damage are read; the mistake names its line, also far into the file."""
    good = "avatar,voice,text\n" + "av,v,é\n" * 50_000
    found = read(tmp_path, good.encode() + b"av,v,\xff\xfe broken\nav,v,after\n")
    assert len(found) == 50_001
    assert mistakes(found) == [(50_002, "")]
    assert "UTF-8" in str(found[-1])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, ending: str) -> None:
    """The header tells the separator; a comma in a text does not; any line end will do; lines are counted."""
    lines = [
        separator.join(["Key", " AVATAR ", "voice", "text"]),
        separator.join(["a", "av", "v", f'"one{separator} two{ending}three ""four"""']),
        separator.join(["", "", "", ""]),
        separator.join(["b", "av", "v", "x"]),
    ]
    one, two = rows(read(tmp_path, ending.join(lines)))
    assert one.request.text == f'one{separator} two{ending}three "four"'
    assert (one.line, two.line, two.key) == (2, 5, "b")


def test_the_line_in_which_excel_names_the_separator(tmp_path: Path) -> None:
    """``sep=;`` is obeyed and is no header."""
    assert rows(read(tmp_path, "sep=;\r\navatar;voice;text\r\nav;v;a,b\r\n"))[0].request.text == "a,b"


def test_columns_become_fields_options_and_columns(tmp_path: Path) -> None:
    """Fields in any case, options with their provider, values as they look, the rest kept by their own names."""
    text = (
        "key,Avatar,voice,text,kling.watermark,hifly.aigc_flag,kling.mode,kling.external_task_id,Team Name,\n"
        'k,av,v,hi,TRUE,2,std,"""007""",Blue Team,\n'
    )
    (row,) = rows(read(tmp_path, text))
    assert row.request.options == {
        "kling": {"watermark": True, "mode": "std", "external_task_id": "007"},
        "hifly": {"aigc_flag": 2},
    }
    assert row.columns == {"Team Name": "Blue Team"}


def test_plain_options_of_the_provider_of_the_run(tmp_path: Path) -> None:
    """With capabilities given, an option needs no provider before it; without them it is a column as any other."""
    text = "image,audio,mode,voice_speed\na.png,b.mp3,pro,1.5\n"
    (row,) = rows(read(tmp_path, text, capabilities=KLING))
    assert row.request.options == {"kling": {"mode": "pro", "voice_speed": 1.5}}
    (row,) = rows(read(tmp_path, text))
    assert (row.request.options, row.columns) == ({}, {"mode": "pro", "voice_speed": "1.5"})


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1), ("-2.5", -2.5), ("1e3", 1000.0), ("true", True), ("FALSE", False), ("007", "007"), ("1.", "1."),
        ("12345678901234567890", "12345678901234567890"), ("[happy] hello", "[happy] hello"), ("nan", "nan"),
        ("{\"\"a\"\": 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_values_of_options(tmp_path: Path, cell: str, value: Any) -> None:
    """Numbers and truth are what they look like; an id with leading zeros or 20 digits stays a text."""
    (row,) = rows(read(tmp_path, f'avatar,kling.x\na,"{cell}"\n'))
    assert row.request.options["kling"]["x"] == value
    assert type(row.request.options["kling"]["x"]) is type(value)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("yes", True), ("WAHR", True), ("是", True), ("1", True), ("✓", True), ("no", False), ("FAUX", False),
     ("否", False), ("0", False), ("", None), ('{""font_size"": 40}', Subtitle(font_size=40))],
)  # fmt: skip
def test_subtitles_in_many_spellings(tmp_path: Path, cell: str, value: Any) -> None:
    """Spreadsheets write truth in their own language."""
    assert rows(read(tmp_path, f'avatar,subtitles\na,"{cell}"\n'))[0].request.subtitles == value


def test_subtitles_that_are_neither(tmp_path: Path) -> None:
    """Another word is a mistake in its row and column."""
    found = read(tmp_path, 'avatar,subtitles\na,perhaps\nb,"{""size"": 3}"\nc,{\n')
    assert mistakes(found) == [(2, "subtitles"), (3, "subtitles"), (4, "subtitles")]


@pytest.mark.parametrize(
    ("header", "wrong", "meant"),
    [
        ("avatar,voice,tetx", "tetx", "text"),
        ("avtar,voice,text", "avtar", "avatar"),
        ("avatar,voice,text,subtitels", "subtitels", "subtitles"),
        ("avatar,text,klingg.watermark", "klingg.watermark", "kling.watermark"),
    ],
)
def test_a_misspelt_column_is_a_mistake_in_the_header(
    tmp_path: Path, header: str, wrong: str, meant: str
) -> None:
    """It is told once, on the header's line, and the rows are read as it was meant."""
    cells = ",".join("true" if "." in name or "sub" in name else "x" for name in header.split(","))
    found = read(tmp_path, f"{header}\n{cells}\n{cells}\n")
    assert mistakes(found) == [(1, wrong)]
    assert repr(meant) in str(found[0])
    assert len(found) == 3
    assert isinstance(found[1], Row)
    assert found[1].columns == {}


def test_a_misspelt_plain_option_is_found_too(tmp_path: Path) -> None:
    """Options of the run's provider are known by name."""
    found = read(tmp_path, "image,audio,watermak\na,b,true\n", capabilities=KLING)
    assert mistakes(found) == [(1, "watermak")]
    assert read(tmp_path, "image,audio,kling.watermak\na,b,true\n", capabilities=KLING)[0].column  # type: ignore[union-attr]


def test_a_column_beside_the_one_it_resembles_is_no_mistake(tmp_path: Path) -> None:
    """Who has ``text`` may also have ``text2``."""
    assert rows(read(tmp_path, "avatar,text,text2\na,b,c\n"))[0].columns == {"text2": "c"}


def test_two_columns_for_the_same(tmp_path: Path) -> None:
    """The second one is a mistake, and not taken."""
    found = read(tmp_path, "avatar,text,Text\na,b,c\n")
    assert mistakes(found) == [(1, "text")]
    assert isinstance(found[1], Row)
    assert found[1].request.text == "b"


@pytest.mark.parametrize("text", ["", "\n\n", "a;b;c\n1;2;3\n", "1,2,3\n"])
def test_a_file_without_a_header(tmp_path: Path, text: str) -> None:
    """Nothing, or a first line without one known name, is one mistake instead of one a row."""
    assert mistakes(read(tmp_path, text)) == [(1, "")]


def test_rows_of_other_lengths(tmp_path: Path) -> None:
    """Missing cells are empty; more cells than columns are a mistake unless they are empty."""
    found = read(tmp_path, "key,avatar,text\na,b\nb,c,d,,,\nc,d,e,f\n")
    assert mistakes(found) == [(4, "")]
    assert [r.key for r in found if isinstance(r, Row)] == ["a", "b"]


def test_keys_must_be_unique_and_printable(tmp_path: Path) -> None:
    """A key that stands twice, is too long, unprintable, or begins with @ is a mistake in its row."""
    found = read(tmp_path, f'key,avatar\na,x\nb,x\na,y\n{"k" * 201},x\n"c\x07",x\n@part,x\n')
    assert mistakes(found) == [(4, "key"), (5, "key"), (6, "key"), (7, "key")]
    assert "'a' stands in an earlier row" in str(next(each for each in found if isinstance(each, Mistake)))


def test_rows_without_a_key_get_one_of_their_content(tmp_path: Path) -> None:
    """It does not depend on the row's place or on other columns; equal rows are told apart by their number."""
    one = rows(read(tmp_path, "avatar,text,note\na,x,1\na,y,2\na,x,3\na,x,4\n"))
    two = rows(read(tmp_path, "text,avatar\ny,a\nx,a\n"))
    key = content_key(VideoRequest(avatar="a", text="x"))
    assert [r.key for r in one] == [key, two[0].key, f"{key}-2", f"{key}-3"]
    assert two[1].key == key


def test_a_key_does_not_change_when_the_manifest_moves(tmp_path: Path) -> None:
    """Relative material counts as it is written: another folder makes no new, paid job."""
    text = "image,text\nfaces/../a.png,x\n"
    (tmp_path / "other").mkdir()
    one, two = rows(read(tmp_path, text))[0], rows(read(tmp_path / "other", text))[0]
    assert one.key == two.key
    assert (one.request.image, two.request.image) == (
        str(tmp_path / "a.png"),
        str(tmp_path / "other" / "a.png"),
    )


def test_material_is_looked_for_beside_the_manifest(tmp_path: Path) -> None:
    """Relative paths begin at the manifest or at *base*; URLs and absolute paths stay; ``..`` may be used."""
    text = "image,audio,video\n../p/a.png,/abs/b.mp3,https://x.test/v.mp4?a=1\n"
    (row,) = rows(read(tmp_path, text, base=Path("/base/in")))
    assert (row.request.image, row.request.audio) == ("/base/p/a.png", "/abs/b.mp3")
    assert row.request.video == "https://x.test/v.mp4?a=1"
    (row,) = rows(read(tmp_path, "video,text,guiji.authorize\na.mp4,x,consent.mp4\n"))
    assert row.request.options["guiji"]["authorize"] == str(tmp_path / "consent.mp4")


def test_json_lines(tmp_path: Path) -> None:
    """Objects with numbers for ids, options as an object or dotted, other members kept as text; empty lines pass."""
    lines = [
        b'\xef\xbb\xbf{"key": 7, "avatar": -123, "text": "x", "subtitles": true, "n": 1, "tags": ["a"], "z": null}',
        b"",
        b'{"image": "a.png", "audio": "b.mp3", "options": {"kling": {"mode": "pro"}}, "kling.watermark": false}',
    ]
    one, two = rows(read(tmp_path, b"\n".join(lines), "jobs.jsonl"))
    assert (one.key, one.request.avatar, one.request.subtitles) == ("7", "-123", True)
    assert one.columns == {"n": "1", "tags": '["a"]'}
    assert two.request.options == {"kling": {"mode": "pro", "watermark": False}}
    assert (two.line, two.request.image) == (3, str(tmp_path / "a.png"))


def test_json_lines_that_are_wrong(tmp_path: Path) -> None:
    """Each bad line is a mistake of its own, and the others are read."""
    deep = b"[" * 100_000
    nested = b'{"key":"n","avatar":"a","kling.x":' + b"[" * 200 + b"]" * 200 + b"}"
    lines = [
        b"[1]", b"3", b"{", b'{"avatar": true}', b'{"text": {"a": 1}}', b'{"tetx": "x"}', deep, b'{"avatar": "\xff"}',
        nested, b'{"subtitles": "maybe"}', b'{"options": 3}', b'{"options": {"x": 1}}', b'{"text":"a","Text":"b"}',
        b'{"avatar": "fine"}',
    ]  # fmt: skip
    found = read(tmp_path, b"\n".join(lines), "jobs.jsonl")
    assert [line for line, _ in mistakes(found)] == list(range(1, 14))
    assert isinstance(found[-1], Row)


def test_a_line_of_json_without_end(tmp_path: Path) -> None:
    """A line beyond the limit is skipped without being held."""
    data = b'{"avatar": "' + b"x" * (LINE_LIMIT + 5) + b'"}\n{"avatar": "a"}\n'
    found = read(tmp_path, data, "jobs.jsonl")
    assert mistakes(found) == [(1, "")]
    assert isinstance(found[1], Row)
    assert found[1].line == 2


@pytest.mark.parametrize(
    ("data", "column"),
    [
        ('avatar,text\na,"' + "x" * (CELL_LIMIT + 1) + '"\n', ""),
        ('avatar,text\na,"never closed\n' + "b,c\n" * 300_000, ""),
        ('avatar,text\na,"never closed\n', ""),
        ("avatar,text\n" + "a," * (LINE_LIMIT // 2 + 10), ""),
        ('avatar,text\na,"b"c\n', ""),
        ("avatar,text\na,b\0c\n", "text"),
        ("avatar," + ",".join(f"c{n}" for n in range(1500)) + "\n", ""),
    ],
)
def test_hostile_tables(tmp_path: Path, data: str, column: str) -> None:
    """Huge cells, quotes without end, endless rows and zero bytes are one mistake each, told with line and column."""
    found = read(tmp_path, data)
    assert mistakes(found) == [(1 if "c9" in data else 2, column)]


def test_endless_quoted_lines_in_one_row(tmp_path: Path) -> None:
    """A row of many short cells over many lines ends at the limit of a row."""
    found = read(tmp_path, "avatar,text\n" + '"\n",' * (LINE_LIMIT // 4) + "\n")
    assert next(each.message for each in found if isinstance(each, Mistake)).startswith("a row longer than")


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("jobs.xlsx", b"x", "workbook"), ("jobs.csv", b"PK\x03\x04...", "workbook"), ("nothing.csv", None, "no such"),
        ("folder", None, "cannot be read"), ("jobs.jsonl", "\ufeff{}".encode("utf-16-le"), "UTF-16"),
    ],
)  # fmt: skip
def test_files_that_are_no_manifest(tmp_path: Path, name: str, data: bytes | None, match: str) -> None:
    """Workbooks, folders and missing files are configuration errors that say what to do."""
    (tmp_path / "folder").mkdir()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigurationError, match=match):
        list(read_manifest(tmp_path / name))


def test_json_lines_are_told_by_their_content_too(tmp_path: Path) -> None:
    """A file without a telling name that begins with a brace is JSON lines."""
    assert len(rows(read(tmp_path, '{"avatar": "a"}\n', "jobs.txt"))) == 1


def test_items_of_a_program(tmp_path: Path) -> None:
    """Mappings, requests, both with keys, and rows; what cannot be written down is a mistake of its item."""
    request = VideoRequest(avatar="a", text="x")
    items: list[Any] = [
        {"avatar": "a", "text": "x", "key": "m"},
        request,
        ("k", request),
        ("n", {"avatar": "b", "note": 3}),
        Row(key="r", request=request, columns={"c": "d"}),
        VideoRequest(image=b"bytes"),
        ("j", VideoRequest(audio=tmp_path / "a.mp3")),
        {"image": b"bytes"},
        3,
        {"avatar": "a", "options": {"kling": {"x": object()}}, "key": "o"},
        {"avatar": "\ud800", "key": "s"},
        ("k", request),
    ]
    found = list(read_manifest(items))
    assert mistakes(found) == [
        (6, "image"), (8, "image"), (9, ""), (10, "options.kling.x"), (11, ""), (12, "key"),
    ]  # fmt: skip
    assert [r.key for r in found if isinstance(r, Row)] == ["m", content_key(request), "k", "n", "r", "j"]
    relative = next(r for r in read_manifest([{"image": "a.png"}]) if isinstance(r, Row))
    assert relative.request.image == "a.png"


def test_reading_is_lazy() -> None:
    """An endless source is read as far as it is asked."""
    endless = ({"avatar": "a", "text": str(number)} for number in itertools.count())
    assert len(list(itertools.islice(read_manifest(endless), 5))) == 5


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the extra is named."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pyarrow"):
        read(tmp_path, b"PAR1....", "jobs.parquet")


def test_parquet_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch by batch, with the row's number for its line; a damaged file is a configuration error."""

    class Batch(list[dict[str, Any]]):
        def to_pylist(self) -> list[dict[str, Any]]:
            return list(self)

    class ParquetFile:
        def __init__(self, path: Path) -> None:
            if b"broken" in path.read_bytes():
                raise ValueError("Parquet magic bytes not found")

        def __enter__(self) -> ParquetFile:
            return self

        def __exit__(self, *_: object) -> None: ...

        def iter_batches(self, batch_size: int) -> Iterator[Batch]:
            assert batch_size < 10_000
            yield Batch([{"key": "a", "avatar": "x", "image": None}, {"key": "b", "avatar": 5, "when": 1.5}])
            yield Batch([{"key": "a", "avatar": "x"}])

    arrow, parquet = types.ModuleType("pyarrow"), types.ModuleType("pyarrow.parquet")
    parquet.ParquetFile = ParquetFile  # type: ignore[attr-defined]
    arrow.parquet = parquet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    found = read(tmp_path, b"PAR1", "jobs.parquet")
    assert [r.columns for r in found if isinstance(r, Row)] == [{}, {"when": "1.5"}]
    assert mistakes(found) == [(3, "key")]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path, b"PAR1 broken", "jobs.parquet")


def _only_rows_and_mistakes(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            for each in read_manifest(path):
                assert isinstance(each, Row | Mistake)
                if isinstance(each, Row):
                    spec_of(each)
        except (ConfigurationError, InvalidRequest):
            return


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        [
            b"",
            b"key,avatar,text,subtitles,kling.x,options\n",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"sep=\n",
            b"avatar\t",
        ]
    ),
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
def test_arbitrary_bytes_as_a_table(head: bytes, data: bytes) -> None:
    """Whatever stands in a CSV: rows that can be written down, mistakes, or a configuration error."""
    _only_rows_and_mistakes(head + data, "x.csv")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(
            ["key", "avatar", "image", "subtitles", "options", "kling.x", "tetx", "a.b", "", "\ufeff", "Key"]
        ),
        _json,
    ).map(lambda item: str(item).encode() if not _dumps(item) else _dumps(item))
)
def test_arbitrary_bytes_as_json_lines(data: bytes) -> None:
    """Whatever stands in JSON lines: rows that can be written down, mistakes, or a configuration error."""
    _only_rows_and_mistakes(data, "x.jsonl")


def _dumps(item: Any) -> bytes:
    try:
        return orjson.dumps(item)
    except TypeError:
        return b""


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["key", "avatar", "video", "subtitles", "options", "hifly.x", "zz"]), _json
        )
        | st.tuples(st.text(max_size=5), st.dictionaries(st.just("text"), _json))
        | _json,
        max_size=5,
    )
)
def test_arbitrary_items(items: list[Any]) -> None:
    """Whatever a program gives: rows that can be written down, or mistakes."""
    for each in read_manifest(items):
        assert isinstance(each, Row | Mistake)
        if isinstance(each, Row):
            spec_of(each)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_utf_8_is_always_told_as_such(text: str) -> None:
    """A file in UTF-8 with anything beyond ASCII in it is never taken for another encoding."""
    data = f"text\n{text} é".encode()
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        assert detect_encoding(file) == "utf-8"


def test_200_000_rows_need_no_200_000_objects(tmp_path: Path) -> None:
    """Reading holds a few bytes a row. The last 30,000 rows, while the set of keys grows, take under 8 MB."""
    path = tmp_path / "many.csv"
    with path.open("w") as file:
        file.write("key,avatar,voice,text,team\n")
        file.writelines(f"k{number},av,v,text number {number},blue\n" for number in range(200_000))
    reader = read_manifest(path)
    count = sum(isinstance(each, Row) for each in itertools.islice(reader, 170_000))
    tracemalloc.start()
    try:
        count += sum(isinstance(each, Row) for each in reader)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert peak < 8_000_000


def test_what_has_no_end_is_no_manifest(tmp_path: Path) -> None:
    """A pipe would be waited for, a device read for ever: both are refused before a byte is read."""
    pipe = tmp_path / "jobs.csv"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), Path("/dev/stdin"), Path("/dev/fd/0")):
        for read in (lambda path=path: list(read_manifest(path)), lambda path=path: digest_of(path)):
            with pytest.raises(ConfigurationError, match="a device or a pipe found"):
                read()


@pytest.mark.parametrize("encoding", ["rot13", "hex", "base64", "zip", "nothing-like-it"])
def test_what_is_no_text_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    """Python has codecs that make no text of bytes; they are told apart before the file is read."""
    path = tmp_path / "jobs.csv"
    path.write_text("key,text\na,hello\n")
    with pytest.raises(ConfigurationError, match="there is no text encoding"):
        list(read_manifest(path, encoding=encoding))
