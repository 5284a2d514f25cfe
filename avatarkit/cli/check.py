"""``avatarkit check``: what files and words are, and what they are fit for at which provider. Sends nothing.

Limits come from the providers' ``limits.py``: ``USES``, ``USE_CHECKS`` and ``TEXTS``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import attrs
import typer

from avatarkit import providers
from avatarkit.cli import output
from avatarkit.cli.extras import install
from avatarkit.cli.failures import Exit
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.listing import said
from avatarkit.cli.options import settle
from avatarkit.cli.running import run
from avatarkit.errors import InvalidRequest
from avatarkit.protocol.limits import MediaFacts, MediaRule, TextRule
from avatarkit.transport.preflight import inspect
from avatarkit.transport.sources import Source, as_source

_PICTURES = frozenset({"png", "jpg", "gif", "webp", "bmp", "avif", "heic"})
_SOUNDS = frozenset({"mp3", "wav", "aac", "flac", "amr"})
_NO_RULES: Mapping[str, MediaRule] = {}
_NO_CHECKS: Mapping[str, Callable[[str, MediaFacts], list[str]]] = {}
_NO_TEXTS: Mapping[str, TextRule] = {}
_NO_KIND = "content of no known kind found, sound, video or a picture allowed"


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether something is fit for one use at one provider."""

    provider: str
    use: str
    problems: list[str]
    note: str = ""
    source: str = ""

    @property
    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"provider": self.provider, "use": self.use, "fits": not self.problems} | {
            "problems": self.problems,
            "note": self.note,
            "source": self.source,
        }


@attrs.frozen(kw_only=True)
class Checked:
    """One file or text, what was found, and its verdicts.

    Attributes:
        name: the file as given, or ``text`` or ``title``.
        found: names and values, in order; values of any JSON type.
        unseen: what could not be looked at.
        problems: what is wrong with it whatever it is for.

    """

    name: str
    found: Mapping[str, Any] = attrs.field(factory=dict)
    unseen: list[str] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    verdicts: list[Verdict] = attrs.field(factory=list)

    @property
    def fits(self) -> bool:
        """Whether it is fit for one use at least."""
        return not self.problems and any(not verdict.problems for verdict in self.verdicts)


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    command(app, "check")(check)


def check(
    invocation: Invocation,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]…", help="Pictures, videos, recordings.")
    ] = None,
    *,
    provider: Annotated[
        list[str] | None, typer.Option("--provider", metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    use: Annotated[
        list[str] | None,
        typer.Option("--as", metavar="USE", help='Only this use, e.g. "voice sample"; may be repeated.'),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="A text to be spoken.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="A title of a work.")] = None,
) -> None:
    """Look at files and words, and tell what they are fit for at which provider. Free; sends nothing.

    Exit code 0 when each is fit for at least one of the uses asked for.
    """
    names = list(dict.fromkeys(provider or providers.names()))
    uses = _uses(names, use or [])
    words = {name: value for name, value in (("text", text), ("title", title)) if value is not None}
    if not files and not words:
        raise InvalidRequest("files: none found, at least 1 file, --text or --title allowed")

    async def look() -> list[Checked]:
        return [await _file(file, uses) for file in files or ()]

    seen = run(invocation, look)
    said = [_words(name, value, names) for name, value in words.items()]
    ok = all(each.fits for each in (*seen, *said))
    if invocation.json:
        told = {
            "files": [_plain(each, "file") for each in seen],
            "texts": [_plain(each, "name") for each in said],
        }
        output.write_json({"ok": ok, **told})
    else:
        for index, each in enumerate((*seen, *said)):
            if index:
                output.line("")
            _print(each)
    _advise(invocation, seen)
    if not ok:
        raise typer.Exit(Exit.USAGE)


def _uses(names: list[str], wanted: list[str]) -> list[tuple[str, str, MediaRule]]:
    """Provider, use and rule of everything asked for.

    Raises:
        ConfigurationError: there is no such provider.
        InvalidRequest: none of these providers knows such a use; names those that there are.

    """
    every = [(name, use, rule) for name in names for use, rule in said(name, "USES", _NO_RULES).items()]
    asked = {" ".join(each.lower().replace("-", " ").split()): each for each in wanted}
    known = {use.replace("-", " "): use for _, use, _ in every}
    there = ", ".join(sorted(set(known.values()))) or "none"
    settle([f"as: {each!r} found, {there} allowed" for key, each in asked.items() if key not in known])
    return [row for row in every if not asked or row[1].replace("-", " ") in asked]


async def _file(given: str, uses: list[tuple[str, str, MediaRule]]) -> Checked:
    try:
        source = await as_source(given)
        facts = _completed(await inspect(source))
    except InvalidRequest as error:
        return Checked(name=given, problems=list(error.problems))
    except OSError as error:
        return Checked(name=given, problems=[f"cannot be read ({error.strerror or error})"])
    return Checked(
        name=given,
        found=_found(source, facts),
        unseen=_unseen(facts),
        verdicts=[_verdict(source, facts, *row) for row in uses],
    )


def _completed(facts: MediaFacts | None) -> MediaFacts | None:
    """*facts* with what goes without saying: a picture neither moves nor sounds, a recording shows nothing."""
    if facts is None or facts.broken:
        return facts
    if facts.containers & _PICTURES:
        return attrs.evolve(facts, has_video=False, has_audio=False)
    if facts.containers & _SOUNDS and facts.has_video is None:
        return attrs.evolve(facts, has_video=False, has_audio=True)
    return facts


def _verdict(source: Source, facts: MediaFacts | None, provider: str, use: str, rule: MediaRule) -> Verdict:
    problems = rule.check_file("", extension=source.extension, size=source.size)
    problems += rule.check_facts("", facts) if facts is not None else [f": {_NO_KIND}"]
    more = said(provider, "USE_CHECKS", _NO_CHECKS).get(use)
    if more is not None and facts is not None:
        problems += more("", facts)
    told = [problem.removeprefix(": ") for problem in problems]
    return Verdict(provider=provider, use=use, problems=told, note=rule.note, source=rule.source)


def _found(source: Source, facts: MediaFacts | None) -> dict[str, Any]:
    told: dict[str, Any] = {"format": source.extension, "bytes": source.size}
    if facts is None:
        return told
    kinds = facts.containers
    told["content"] = source.extension if source.extension in kinds else "/".join(sorted(kinds))
    return told | {
        "seconds": facts.seconds,
        "width": facts.width,
        "height": facts.height,
        "video_codec": facts.video_codec,
        "audio_codec": facts.audio_codec,
        "broken": facts.broken,
    }


def _unseen(facts: MediaFacts | None) -> list[str]:
    """What limits are about and could not be told."""
    if facts is None:
        return ["content"]
    if facts.broken:
        return []
    picture = bool(facts.containers & _PICTURES)
    lacking = [] if picture or facts.seconds is not None else ["seconds"]
    if (picture or facts.has_video is not False) and not facts.width:
        lacking.append("pixels")
    if not picture and facts.has_video is not False and not facts.video_codec:
        lacking.append("codec")
    if facts.has_audio is None:
        lacking.append("sound")
    return lacking


def _words(name: str, value: str, names: list[str]) -> Checked:
    verdicts = []
    for provider in names:
        rule = said(provider, "TEXTS", _NO_TEXTS).get(name)
        if rule is None:
            verdicts.append(Verdict(provider=provider, use=name, problems=[], note="no limit is published"))
            continue
        told = [problem.removeprefix(": ") for problem in rule.check("", value)]
        verdicts.append(
            Verdict(provider=provider, use=name, problems=told, note=rule.note, source=rule.source)
        )
    return Checked(name=name, found={"characters": len(value)}, verdicts=verdicts)


# -- telling -------------------------------------------------------------------------------------------------------


def _plain(checked: Checked, kind: str) -> dict[str, Any]:
    return {
        kind: checked.name,
        **checked.found,
        "unseen": checked.unseen,
        "problems": checked.problems,
        "fits": checked.fits,
        "uses": [verdict.plain for verdict in checked.verdicts],
    }


def _print(checked: Checked) -> None:
    output.line(checked.name)
    found = checked.found
    size = f"{output.size_text(found['bytes'])} ({found['bytes']:,} bytes)" if "bytes" in found else ""
    pixels = f"{found['width']}x{found['height']}" if found.get("width") else ""
    codecs = " and ".join(str(found[name]) for name in ("video_codec", "audio_codec") if found.get(name))
    seconds = found.get("seconds")
    output.facts(
        [
            ("  format", str(found.get("format", ""))),
            ("  content", str(found.get("broken") or found.get("content", ""))),
            ("  size", size),
            ("  seconds", "" if seconds is None else f"{seconds:.2f}"),
            ("  pixels", pixels),
            ("  codec", codecs),
            ("  characters", f"{found['characters']:,}" if "characters" in found else ""),
            ("  not seen", ", ".join(checked.unseen)),
        ]
    )
    for problem in checked.problems:
        output.line(f"  problem: {problem}")
    if checked.verdicts:
        rows = sorted(checked.verdicts, key=lambda each: (bool(each.problems), each.use, each.provider))
        output.table(
            ("use", "provider", "fit", "problems"),
            [
                (each.use, each.provider, "no" if each.problems else "yes", "; ".join(each.problems))
                for each in rows
            ],
        )


def _advise(invocation: Invocation, seen: list[Checked]) -> None:
    """Say what was not looked at, and what it takes to look at it."""
    unseen = sorted({what for each in seen for what in each.unseen})
    if not unseen:
        return
    able = importlib.util.find_spec("av") is not None
    advice = "" if able else f", for that takes the media extra: {install('media')}"
    output.note(invocation, f"Not looked at: {', '.join(unseen)}{advice}. Limits on it are not checked.")
