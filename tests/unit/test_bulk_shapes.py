"""That rows of one shape are planned once changes neither what the ledger gets nor which mistakes are found."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarkit import VideoRequest, providers
from avatarkit.bulk.checking import Use
from avatarkit.bulk.feeding import _Feeder
from avatarkit.bulk.manifest import Item, Row, read_manifest, read_rows
from avatarkit.bulk.manifest_cells import mistake_of
from avatarkit.bulk.naming import Namer, NameTemplate
from avatarkit.bulk.planning import Planner, check_key, job_of
from avatarkit.bulk.records import NewJob
from avatarkit.bulk.shapes import Shapes, surely_allowed
from avatarkit.bulk.specs import Mistake, PlainRow, spec_of
from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.models import Avatar, Subtitle
from avatarkit.protocol.limits import TextRule

Found = tuple[list[NewJob], list[tuple[int, Use]], list[int], list[Mistake]]

# Each pool holds what is right somewhere, what is refused somewhere, and what is the same as a word of another field.
POOLS: dict[str, list[Any]] = {
    "avatar": ["-291", "A1", "model:1:28", "v2:1:3", "en"],
    "image": ["https://e.com/face.png", "face.png", "gone.png", "https://e.com/a b.png"],
    "video": ["https://e.com/me.mp4", "me.mp4", "https://e.com/1.wav"],
    "voice": ["C_101", "7:22", "genshin_vindi2", "chengshu_jiejie", "zh", "en"],
    "text": [
        "Hello there",
        "你好世界",
        "zh",
        "C_101",
        "a < b",
        "<b>bold</b>",
        "two\nlines",
        "naïve\ttext",
        "x" * 1001,
        "x" * 10_001,
        "  blanks  ",
        "face.png",
        "再见\u2028",
    ],
    "language": ["zh", "en", "fr"],
    "audio": [
        "https://e.com/1.wav",
        "https://e.com/2.mp3",
        "https://e.com/1 2.wav",
        "1.wav",
        "gone.wav",
        "face.png",
    ],
    "title": ["Clip", "clip", "二十个字以内", "t" * 21, "C_101", "nul", "a/b", "Clip 1"],
    "prompt": ["smile", "p" * 2501, "zh"],
    "size": ["720p", "1080p", "8k"],
    "subtitles": [
        "yes",
        "no",
        '{"font_size": 1}',
        '{"font_size": true}',
        '{"width": 600, "primary_color": "red"}',
    ],
    "team": ["north", "south", "北"],
}
PRESENTERS = {
    "hifly": ["avatar", "image", "video"],
    "guiji": ["avatar", "video"],
    "kling": ["image", "video"],
    "yunapi": ["avatar", "image"],
}
OPTIONS: dict[str, dict[str, list[str]]] = {
    "hifly": {"model": ["1", "2", "true", "9"], "aigc_flag": ["0", "1", "7"]},
    "guiji": {
        "pn": ["1", "3"],
        "authorize": ["https://e.com/1.wav", "me.mp4"],
        "authorize_text": ["I agree"],
    },
    "kling": {"mode": ["std", "pro"], "sound_end": ["12.5", "1", "0"], "voice_speed": ["1", "1.0", "9"]},
    "yunapi": {"no_watermark": ["true", "1"], "voice_engine_id": ["7", '"8"'], "line_type": ["0", "1"]},
}


@st.composite
def manifests(draw: st.DrawFn, provider: str) -> list[dict[str, str]]:
    """Rows that share most of their columns, so that shapes come again."""
    pools = {**POOLS, **{f"{provider}.{name}": pool for name, pool in OPTIONS[provider].items()}}
    likely = {draw(st.sampled_from(PRESENTERS[provider]))}
    likely |= draw(st.sampled_from(({"audio"}, {"text", "voice"})))
    others = draw(st.sets(st.sampled_from(sorted(pools.keys() - likely)), max_size=2))
    few = {
        name: draw(st.lists(st.sampled_from(pools[name]), min_size=1, max_size=3, unique=True))
        for name in sorted(likely | others)
    }
    row = st.fixed_dictionaries(
        {name: st.sampled_from(pool if name in likely else [*pool, ""]) for name, pool in few.items()}
    )
    return draw(st.lists(row, min_size=3, max_size=12))


def one_by_one(provider: str, rows: Iterator[Row | Mistake], *, staging: bool) -> Found:
    """What the rows need when each is planned."""
    planner, namer = Planner(provider), Namer(NameTemplate("{title}-{team}", provider))
    found: Found = ([], [], [], [])
    jobs, material, unpriced, wrong = found
    for row in rows:
        if isinstance(row, Mistake):
            wrong.append(row)
            continue
        try:
            steps = planner.steps(row.request)
            if not staging and (problems := planner.unstaged(steps)):
                raise InvalidRequest(problems)
            uses = planner.files(row.request, steps)
            spec = spec_of(namer.settled(row))
            check_key(row.key)
            parts = planner.parts(steps)
            cost = planner.cost(row.request, parts)
        except InvalidRequest as error:
            wrong += [mistake_of(problem, row.line) for problem in error.problems]
            continue
        except UnsupportedOperation as error:
            wrong.append(Mistake(line=row.line, column="", message=f"{error} {error.hint}".strip()))
            continue
        jobs += [part for part in parts if part not in jobs]
        jobs.append(job_of(row.key, spec, parts, cost))
        material += [(row.line, use) for use in uses]
        unpriced += [row.line] if cost is None else []
    return found


def fed(provider: str, source: Path | Sequence[Item], base: Path | None, *, staging: bool) -> Found:
    """What the feeder makes of the same rows."""
    planner = Planner(provider)
    feeder = _Feeder(planner, Namer(NameTemplate("{title}-{team}", provider)), False, staging)
    batch = feeder.next(read_rows(source, base=base, capabilities=planner.capabilities))
    return batch.jobs, batch.uses, batch.unpriced, batch.wrong


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some of the material that manifests name."""
    made = tmp_path_factory.mktemp("manifests")
    for name in ("face.png", "me.mp4", "1.wav"):
        (made / name).write_bytes(name.encode())
    return made


def written(rows: list[dict[str, str]], folder: Path, form: str) -> Path:
    path = folder / f"jobs.{form}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if form == "csv":
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


@pytest.mark.parametrize("provider", sorted(OPTIONS))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(("csv", "jsonl")), staging=st.booleans())
def test_a_manifest_comes_to_the_same_as_when_each_row_is_planned(
    provider: str, data: st.DataObject, form: str, staging: bool, folder: Path
) -> None:
    """Jobs byte for byte and in their order, files to look into, costs and mistakes are the same."""
    path = written(data.draw(manifests(provider)), folder, form)
    rows = read_manifest(path, base=folder, capabilities=Planner(provider).capabilities)
    assert fed(provider, path, folder, staging=staging) == one_by_one(provider, rows, staging=staging)


@pytest.mark.parametrize("provider", sorted(OPTIONS))
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_requests_of_a_program_come_to_the_same(provider: str, data: st.DataObject) -> None:
    """Also for requests with options of every kind of value, which no file can hold."""
    presenter = data.draw(st.sampled_from(PRESENTERS[provider]))
    spoken = data.draw(st.sampled_from(("audio", "text")))
    flags: list[Any] = [1, True, 1.0, 0, False, -0.0, 0.0, "1", None, [1], (1,), {"a": 1}]
    shown = [None, None, True, False, Subtitle(font_size=1), Subtitle(font_size=True), Subtitle(show=False)]
    options = st.dictionaries(st.sampled_from(sorted(OPTIONS[provider])), st.sampled_from(flags), max_size=1)
    # The very same text stands in two fields here, as it may in a program.
    media = st.sampled_from(["https://e.com/1.wav", "face.png", "1.wav"])
    texts = st.sampled_from(["Hello", "Hello there", "你好", "\ud800", "a\0b"])
    made: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {
            presenter: st.just("-291") if presenter == "avatar" else media,
            **({"audio": media} if spoken == "audio" else {"text": texts, "voice": st.just("7:22")}),
            "title": st.sampled_from([None, "Clip", "https://e.com/1.wav"]),
            "subtitles": st.sampled_from(shown),
            "options": st.fixed_dictionaries({provider: options}),
        }
    )
    items: list[Item] = [VideoRequest(**each) for each in data.draw(st.lists(made, min_size=3, max_size=10))]
    rows = read_manifest(items, capabilities=Planner(provider).capabilities)
    assert fed(provider, items, None, staging=True) == one_by_one(provider, rows, staging=True)


FACE, SOUND = "face.png", "https://e.com/1.wav"
# Rows of which the second or third looks like the first to whoever does not look closely.
ALIKE: dict[str, tuple[str, list[VideoRequest]]] = {
    "one and true, as options": (
        "hifly",
        [
            VideoRequest(avatar="a", audio=SOUND, options={"hifly": {"aigc_flag": flag}})
            for flag in (1, True, 1.0)
        ],
    ),
    "one and true, in subtitles": (
        "hifly",
        [
            VideoRequest(avatar="a", voice="v", text="hello", subtitles=Subtitle(font_size=size))
            for size in (1, True, 2)
        ],
    ),
    "a sound whose length can be told, and one that cannot": (
        "kling",
        [VideoRequest(video="https://e.com/me.mp4", audio=audio) for audio in ("1.wav", SOUND, "2.wav")],
    ),
    "one file in two fields, then another": (
        "kling",
        [VideoRequest(image=FACE, audio=audio) for audio in (FACE, "1.wav", FACE)],
    ),
    "another file, then one in two fields": (
        "kling",
        [VideoRequest(image=FACE, audio=audio) for audio in ("1.wav", FACE, "2.wav")],
    ),
    "one file as sound and as consent": (
        "guiji",
        [
            VideoRequest(
                video="me.mp4", audio=audio, options={"guiji": {"authorize": SOUND, "authorize_text": "yes"}}
            )
            for audio in ("1.wav", SOUND, "2.wav", SOUND)
        ],
    ),
    "a title that is a consent too": (
        "guiji",
        [
            VideoRequest(
                video="me.mp4",
                audio="1.wav",
                title=title,
                options={"guiji": {"authorize": SOUND, "authorize_text": "yes"}},
            )
            for title in (SOUND, "Clip", SOUND)
        ],
    ),
    "a text that is a part's voice too": (
        "kling",
        [VideoRequest(image=FACE, voice="en", text=text) for text in ("en", "zh", "en", "hello")],
    ),
    "a text in the voice's language, and one in another": (
        "kling",
        [VideoRequest(image=FACE, voice="genshin_vindi2", text=text) for text in ("你好", "Hello", "再见")],
    ),
    "an avatar and its id": (
        "hifly",
        [
            VideoRequest(avatar=a, voice=v, text="hello")
            for a, v in ((Avatar(id="a"), "v"), ("a", Avatar(id="v")))
        ],
    ),
}


@pytest.mark.parametrize("case", sorted(ALIKE))
def test_rows_that_only_look_alike_are_told_apart(case: str) -> None:
    """What a provider takes and what it refuses, or what comes of one file in two fields, is not mixed up."""
    provider, items = ALIKE[case]
    rows = read_manifest(items, capabilities=Planner(provider).capabilities)
    assert fed(provider, items, None, staging=True) == one_by_one(provider, rows, staging=True)


@pytest.mark.parametrize("provider", providers.names())
def test_rows_that_differ_in_text_only_are_planned_once(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred rows with one presenter take one planning, whatever the provider."""
    presenter = {"yunapi": "image", "kling": "image"}.get(provider, "avatar")
    path = tmp_path / "jobs.csv"
    lines = [f"k{n},https://e.com/{presenter},https://e.com/{n}.wav,Clip {n}\n" for n in range(100)]
    path.write_text(f"key,{presenter},audio,title\n" + "".join(lines), encoding="utf-8")
    planned: list[VideoRequest] = []
    steps = Planner.steps

    def counted(self: Planner, request: VideoRequest) -> Any:
        planned.append(request)
        return steps(self, request)

    monkeypatch.setattr(Planner, "steps", counted)
    jobs, uses, _, wrong = fed(provider, path, tmp_path, staging=True)
    assert (len(jobs), len(planned), wrong) == (100, 1, [])
    assert {use.media for _, use in uses} >= {f"https://e.com/{n}.wav" for n in range(100)}


def test_a_provider_that_says_nothing_is_free_has_every_row_planned() -> None:
    """Without ``FREE`` no row has a shape."""
    row = PlainRow("k", {"avatar": "a", "text": "hello", "voice": "v"}, {}, 1)
    assert Shapes({}).mark(row) is None


def test_a_plain_row_is_the_row_that_its_cells_make() -> None:
    """Its request, its spec and its names are those of the row with the request made."""
    row = PlainRow("k", {"avatar": "a", "text": "hello", "title": "Über uns"}, {"Team": "北"}, 7)
    assert row.row() == Row(
        key="k",
        request=VideoRequest(avatar="a", text="hello", title="Über uns"),
        columns={"Team": "北"},
        line=7,
    )
    assert spec_of(row, with_line=True) == spec_of(row.row(), with_line=True)
    template = NameTemplate("{team}/{title}-{row:03}-{avatar}")
    assert template.stem(row) == template.stem(row.row()) == "北/Über uns-007-a"


@settings(max_examples=400)
@given(
    st.builds(
        TextRule,
        max_chars=st.none() | st.integers(0, 8),
        min_chars=st.integers(0, 3),
        html_allowed=st.booleans(),
    ),
    st.lists(st.sampled_from("ab <>/b\n\0\ud800\udfff你é\u2028!-") | st.characters(), max_size=10).map(
        "".join
    ),
)
def test_what_is_surely_allowed_breaks_no_rule(rule: TextRule, text: str) -> None:
    """The quick look lets nothing pass in which the rule finds something."""
    if surely_allowed(rule, text):
        assert rule.check("text", text) == []


def test_ordinary_text_is_surely_allowed() -> None:
    """The quick look knows everyday text of any alphabet, also over several lines."""
    rule = TextRule(max_chars=100, min_chars=1, html_allowed=False)
    for text in ("Hello", "你好世界", "naïve\ttext", "two\nlines", "两\n行"):
        assert surely_allowed(rule, text)
