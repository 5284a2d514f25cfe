"""Manifests: the jobs of a bulk run out of a CSV, JSON-lines or Parquet file, or out of a program, row by row.

Nothing is held but the row at hand and eight bytes of hash for each key, so a million rows need no million objects.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import attrs
import orjson

from avatarkit.bulk.manifest_columns import Builder, Columns, Meaning, TornRow, Use
from avatarkit.bulk.manifest_csv import CELL_LIMIT, Cells, csv_rows
from avatarkit.bulk.manifest_text import LINE_LIMIT, Reading, detect_encoding
from avatarkit.bulk.specs import Mistake, PlainRow, Row
from avatarkit.errors import ConfigurationError, MissingExtra
from avatarkit.protocol.plan import Capabilities
from avatarkit.request import VideoRequest

__all__ = ["CELL_LIMIT", "Item", "Mistake", "Row", "read_manifest"]

Item: TypeAlias = Mapping[str, Any] | VideoRequest | Row | tuple[str, VideoRequest | Mapping[str, Any]]
"""A job as a program gives it: fields by name, a request, or either with its key."""

AnyRow: TypeAlias = Row | PlainRow | Mistake
"""What reading finds: a row, or a mistake."""

_Found: TypeAlias = Row | PlainRow | TornRow | Mistake

_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_BOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_MOST_COLUMNS = 1000
_BATCH = 2048


def read_manifest(
    source: str | os.PathLike[str] | Iterable[Item],
    *,
    base: Path | None = None,
    capabilities: Capabilities | None = None,
    encoding: str | None = None,
) -> Iterator[Row | Mistake]:
    """The rows of a manifest in their order, and mistakes where rows are wrong.

    Columns are the fields of :class:`VideoRequest`, in any case; ``key``, the row's name in the run; a provider's
    options as ``<provider>.<option>``, or bare when its *capabilities* are given; and any others, which are kept for
    file names and reports. A column that looks misspelt is a mistake, and read as what it seems to mean. Rows without a
    key get one made of what they ask for; the second of two equal rows gets ``-2`` behind it. Whether a provider can
    make what a row asks for is not looked at here.

    Args:
        source: a file: CSV in what Excel writes (UTF-8, UTF-16, GB18030, Windows-1252; comma, semicolon or tab), JSON
            lines, Parquet (needs pyarrow). Or anything that yields items.
        base: the folder where relative paths of material begin; None is the manifest's own, and for other sources
            leaves them as they are.
        capabilities: of the provider that the run is for.
        encoding: of a CSV, when it cannot be told.

    Raises:
        ConfigurationError: the file cannot be read, or is none of these.
        MissingExtra: it is Parquet, and pyarrow is not installed.

    """
    for row in read_rows(source, base=base, capabilities=capabilities, encoding=encoding):
        yield row.row() if isinstance(row, PlainRow) else row


def read_rows(
    source: str | os.PathLike[str] | Iterable[Item],
    *,
    base: Path | None = None,
    capabilities: Capabilities | None = None,
    encoding: str | None = None,
) -> Iterator[AnyRow]:
    """As :func:`read_manifest`, but requests of nothing but text are not made yet."""
    for found in _from_source(source, base, capabilities, Reading(given=encoding)):
        if isinstance(found, TornRow):
            yield from found.mistakes
        else:
            yield found


def read_to_check(
    source: str | os.PathLike[str] | Iterable[Item],
    *,
    base: Path | None = None,
    capabilities: Capabilities | None = None,
    reading: Reading | None = None,
) -> Iterator[Row | TornRow | Mistake]:
    """As :func:`read_manifest`, but wrong rows come with what could be read of them.

    *reading* says the encoding, if it was given, and gets how the text was read.
    """
    seen = reading if reading is not None else Reading()
    seen.sampled = False
    for found in _from_source(source, base, capabilities, seen):
        yield found.row() if isinstance(found, PlainRow) else found


def _from_source(
    source: str | os.PathLike[str] | Iterable[Item],
    base: Path | None,
    capabilities: Capabilities | None,
    reading: Reading,
) -> Iterator[_Found]:
    columns = Columns(capabilities)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        builder = Builder(columns, base if base is not None else path.parent)
        return _from_file(path, columns, builder, reading)
    return _from_items(source, columns, Builder(columns, base, strict=True))


def _from_file(path: Path, columns: Columns, builder: Builder, reading: Reading) -> Iterator[_Found]:
    try:
        with open_manifest(path) as file:
            form = _form(path, file.read(4096))
            file.seek(0)
            if form == "parquet":
                yield from _from_parquet(path, columns, builder)
            elif form == "json":
                reading.encoding = "utf-8"
                yield from _from_json(file, columns, builder)
            else:
                yield from _from_csv(csv_rows(file, reading, columns.known), columns, builder, reading)
    except FileNotFoundError:
        raise ConfigurationError(f"{str(path)[:200]}: no such manifest") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"{str(path)[:200]}: the manifest cannot be read ({reason})") from None


def open_manifest(path: Path) -> BufferedReader:
    """The file at *path*, which is read more than once. Raises OSError, and ConfigurationError for what has no end."""
    # Also where it stands for a file just now: what is beside it, such as the journal, has to stay.
    passes = str(path).startswith(("/dev/std", "/dev/fd/", "/proc/"))
    if passes or (path.exists() and not (path.is_file() or path.is_dir())):
        raise ConfigurationError(
            f"{str(path)[:200]}: a device or a pipe found, a file allowed", hint="Write it to a file first."
        )
    return path.open("rb")


def _form(path: Path, head: bytes) -> str:
    suffix = path.suffix.lower()
    if suffix in _PARQUET or head.startswith(b"PAR1"):
        return "parquet"
    if suffix in _BOOKS or head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ConfigurationError(
            f"{str(path)[:200]}: a workbook found, CSV, JSON lines or Parquet allowed",
            hint="Save the sheet as CSV UTF-8.",
        )
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if suffix in _JSON or (suffix not in (".csv", ".tsv") and bare[:1] == b"{") else "csv"


def _from_csv(
    rows: Iterator[Cells | Mistake], columns: Columns, builder: Builder, reading: Reading
) -> Iterator[_Found]:
    header = next(rows, None)
    if header is None or isinstance(header, Mistake):
        yield header or Mistake(line=1, column="", message="nothing found, a header and rows allowed")
        return
    reading.see_header(*header)
    meanings, wrong = _header(header, columns)
    yield from wrong
    if not meanings:
        return
    width = len(meanings)
    for row in rows:
        if isinstance(row, Mistake):
            yield row
            continue
        line, cells = row
        if not reading.sampled:
            reading.see(line, header[1], cells)
        if len(cells) > width and any(cells[width:]):
            text = f"{len(cells)} cells found, {width} as in the header allowed"
            yield Mistake(line=line, column="", message=text)
            continue
        yield builder.row(zip(meanings, cells, strict=False), line)


def _header(header: Cells, columns: Columns) -> tuple[list[Meaning], list[Mistake]]:
    """What the columns mean, and what is wrong with them; no columns when reading on is of no use."""
    line, names = header
    if len(names) > _MOST_COLUMNS:
        text = f"{len(names)} columns found, at most {_MOST_COLUMNS} allowed"
        return [], [Mistake(line=line, column="", message=text)]
    meanings, wrong = [], []
    taken: set[tuple[str, str]] = set()
    for name in names:
        meaning, doubt = columns.meaning(name, names)
        if doubt:
            wrong.append(Mistake(line=line, column=meaning.title, message=doubt))
        if meaning.target != ("", "") and meaning.target in taken:
            text = "a second column for the same found, one allowed"
            wrong.append(Mistake(line=line, column=meaning.title, message=text))
            meaning = attrs.evolve(meaning, use=Use.NOTHING)
        taken.add(meaning.target)
        meanings.append(meaning)
    if not any(m.use in (Use.WORD, Use.MEDIA) for m in meanings):
        text = (
            "no column that says what is to be made found, such as avatar, voice and text: is it the header?"
        )
        return [], [Mistake(line=line, column="", message=text)]
    return meanings, wrong


def _from_json(file: BinaryIO, columns: Columns, builder: Builder) -> Iterator[_Found]:
    encoding = detect_encoding(file) if file.peek(4)[:2] in (b"\xff\xfe", b"\xfe\xff") else ""  # type: ignore[attr-defined]
    if encoding:
        raise ConfigurationError("JSON lines in UTF-16 found, UTF-8 allowed", hint="Save the file as UTF-8.")
    for line in itertools.count(1):
        data = file.readline(LINE_LIMIT + 1)
        if not data:
            return
        if len(data) > LINE_LIMIT:
            while data and not data.endswith(b"\n"):
                data = file.readline(LINE_LIMIT)
            text = f"a line longer than {LINE_LIMIT >> 20} MB found"
            yield Mistake(line=line, column="", message=text)
            continue
        data = data.strip().removeprefix(b"\xef\xbb\xbf")
        if not data:
            continue
        try:
            item = orjson.loads(data)
        except ValueError:
            yield Mistake(line=line, column="", message="no JSON found, one JSON object a line allowed")
            continue
        yield from _from_mapping(item, "", line, columns, builder)


def _from_parquet(path: Path, columns: Columns, builder: Builder) -> Iterator[_Found]:
    try:
        from pyarrow import parquet  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingExtra(
            "Parquet manifests need the package pyarrow", hint='Install it: pip install ".[parquet]"'
        ) from None
    numbers = itertools.count(1)
    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=_BATCH):
            for item in batch.to_pylist():
                yield from _from_mapping(item, "", next(numbers), columns, builder)


def _from_items(items: Iterable[Item], columns: Columns, builder: Builder) -> Iterator[_Found]:
    for line, given in enumerate(items, 1):
        key, item = "", given
        if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
            key, item = given
        if isinstance(item, Row):
            yield builder.finished(item.request, item.key, item.columns, item.line or line)
        elif isinstance(item, VideoRequest):
            yield builder.finished(item, key, {}, line)
        else:
            yield from _from_mapping(item, key, line, columns, builder)


def _from_mapping(item: Any, key: str, line: int, columns: Columns, builder: Builder) -> Iterator[_Found]:
    if not isinstance(item, Mapping) or len(item) > _MOST_COLUMNS:
        found = type(item).__name__ if not isinstance(item, Mapping) else f"an object of {len(item)} members"
        text = f"{found} found, an object of fields and columns allowed"
        yield Mistake(line=line, column="", message=text)
        return
    cells: list[tuple[Meaning, Any]] = []
    wrong: list[Mistake] = []
    taken: set[tuple[str, str]] = set()
    for name, value in item.items():
        meaning, doubt = columns.meaning(str(name), item.keys())
        if doubt:
            wrong.append(Mistake(line=line, column=meaning.title, message=doubt))
        elif meaning.target != ("", "") and meaning.target in taken:
            text = "a second member for the same found, one allowed"
            wrong.append(Mistake(line=line, column=meaning.title, message=text))
        taken.add(meaning.target)
        cells.append((meaning, value))
    if key:
        cells.append((Meaning(Use.KEY, "key", title="key"), key))
    row = builder.row(cells, line)
    if not wrong:
        yield row
    elif isinstance(row, TornRow):
        yield attrs.evolve(row, mistakes=(*wrong, *row.mistakes))
    else:
        yield TornRow(mistakes=tuple(wrong), row=row.row() if isinstance(row, PlainRow) else row)
