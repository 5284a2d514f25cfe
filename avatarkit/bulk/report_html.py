"""The report's page, piece by piece: what stands in it, in which order. Blocking where pictures are made of videos."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import attrs

from avatarkit._version import __version__
from avatarkit.bulk.progress import Progress, money_text, seconds_text
from avatarkit.bulk.records import Counts, Job, JobState, Run, RunState
from avatarkit.bulk.report_cards import Cards
from avatarkit.bulk.report_charts import bar, durations, share_bar, timeline
from avatarkit.bulk.report_facts import Facts, Group, Why
from avatarkit.bulk.report_text import escaped, moment, own_words, shell_word, size_text
from avatarkit.protocol.redact import scrub

GENERATOR = "avatarkit bulk report"
"""What the page says made it; how a report is known from another file."""

_MOST_GROUPS = 40
_MOST_WHY = 12
_LONGEST_KEY = 500
_WAITING = (JobState.BLOCKED, JobState.NEW, JobState.INTENT)
_REASONS = {
    "moderation": "Refused by content review",
    "bad_input": "The material or the text could not be used",
    "provider_fault": "The provider's own fault",
    "cancelled": "Cancelled at the provider",
    "no_result": "Ended without a result",
}
_TYPES = {
    "others": "Other kinds",
    "PartFailed": "A part it needs failed",
    "InvalidRequest": "Found wrong before it was sent",
    "ModerationRefused": "Refused by content review",
    "MediaRejected": "A file was refused",
    "BadRequest": "A parameter was refused",
    "ProviderFault": "The provider's own fault",
    "LinkExpired": "The result expired before it was fetched",
    "DownloadFailed": "The result could not be fetched",
    "UploadFailed": "A file could not be sent",
}
_WAYS = (
    ("adopt", "You found it at the provider: go on with that task.", "TASK-ID"),
    ("resend", "It is not there: send it again. This is billed.", ""),
    ("abandon", "Give it up. What was set aside for it is free again.", ""),
)


@attrs.frozen(kw_only=True)
class Content:
    """What the page is made from.

    Attributes:
        facts: of the jobs.
        cards: of the gallery.
        cap: tasks the account may run at once.
        now: the ledger's time.
        place: the words that lead a command to this ledger and run.

    """

    run: Run
    counts: Counts
    progress: Progress
    facts: Facts
    cards: Cards
    cap: int | None
    now: float
    place: tuple[str, ...] = ()


def page(content: Content) -> Iterator[str]:
    """The whole page."""
    yield _head(content)
    yield f"<body>\n{_SKIP}\n{_top(content)}\n<main>\n"
    yield _state(content)
    yield _held(content)
    yield _money(content)
    yield _course(content)
    yield _failures(content)
    yield from content.cards.section()
    yield f"</main>\n{_foot(content)}\n<script>{_asset('report_page.js')}</script>\n</body>\n</html>\n"


_SKIP = '<a class="skip" href="#videos">Skip to the videos</a>'


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _head(content: Content) -> str:
    css, js = _asset("report_page.css"), _asset("report_page.js")
    # Nothing may be loaded from anywhere but from beside this page, and only this very script runs.
    policy = (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(js)}'; img-src data:;"
        " media-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="generator" content="{GENERATOR}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{escaped(content.run.id, 80)}: {content.progress.done:,} of {content.progress.total:,} videos done</title>
<link rel="icon" href="data:,">
<style>{css}</style>
</head>
"""


def _top(content: Content) -> str:
    run, settings = content.run, content.run.settings
    facts = [own_words(settings.provider, 40)]
    if settings.manifest:
        facts.append(f"from {own_words(settings.manifest, 200)}")
    facts.append(f"into {own_words(settings.out, 200)}")
    facts.append(f"begun {_time(run.created)}")
    spans = "".join(f"<span>{each}</span>" for each in facts)
    return f"""<header>
<p class="brow">Bulk run</p>
<h1>{own_words(run.id, 120)}</h1>
<p class="about">{spans}</p>
</header>"""


def _time(at: float) -> str:
    return f"<time>{moment(at, '%Y-%m-%d %H:%M')} UTC</time>"


def _figure(name: str, value: str, more: str = "", swatch: str = "") -> str:
    mark = f'<span class="swatch {swatch}" aria-hidden="true"></span>' if swatch else ""
    small = f" <small>{more}</small>" if more else ""
    return f"<div><dt>{mark}{name}</dt><dd>{value}{small}</dd></div>"


# -- where it stands


def _state(content: Content) -> str:
    counts, progress = content.counts, content.progress
    kind, title, text = _standing(content)
    parts = (
        ("done", "done", progress.done),
        ("failed", "failed", progress.failed),
        ("held", "held for you", progress.held),
        ("gone", "given up", progress.given_up),
        ("running", "under way", counts.of(JobState.RUNNING, JobState.READY)),
        ("waiting", "waiting", counts.of(*_WAITING)),
    )
    figures = "".join(
        _figure(label.capitalize(), f"{count:,}", "", name)
        for name, label, count in parts
        if count or name in ("done", "failed")
    )
    if progress.parts_left:
        figures += _figure("Avatars and voices to come", f"{progress.parts_left:,}")
    return f"""<section class="state {kind}" aria-labelledby="standing">
<h2 id="standing">{title}</h2>
<p>{text}</p>
{bar(parts)}
<dl class="figures">{figures}</dl>
</section>
"""


def _standing(content: Content) -> tuple[str, str, str]:
    """Class, title and sentence for where the run stands."""
    run, progress = content.run, content.progress
    so_far = f"{progress.done:,} of {progress.total:,} videos are done"
    took = f", after {seconds_text(progress.elapsed)} of work" if progress.elapsed else ""
    if run.state is RunState.CANCELLED:
        return "stopped", "Cancelled", f"{so_far}. {own_words(run.reason)}"
    if run.state is RunState.STOPPED and (progress.left or run.reason):
        why = own_words(run.reason or "it was stopped", 500)
        rest = f" {progress.left:,} were not made; run it again to go on." if progress.left else ""
        return "stopped", f"Submits no more: {why}", f"{so_far}.{rest}"
    if not progress.left and not progress.held:
        whole = progress.total and progress.done == progress.total
        return "over", "Every video is done" if whole else "The run is over", f"{so_far}{took}."
    if not progress.left:
        count = _many(progress.held, "submission", "submissions")
        return "active", "Over, but for what is held", f"{so_far}. {count} wait for your decision below."
    eta = f"; about {seconds_text(progress.eta)} to go" if progress.eta else ""
    return "active", "Under way", f"{so_far}{took}{eta}. As of {_time(content.now)}."


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


# -- what is held


def _held(content: Content) -> str:
    held = content.counts.jobs.get(JobState.HELD, 0) + content.counts.parts.get(JobState.HELD, 0)
    if not held:
        return ""
    groups = sorted(content.facts.held.values(), key=lambda why: -why.count)
    shown = "".join(_why(content, why) for why in groups[:_MOST_WHY])
    rest = sum(why.count for why in groups[_MOST_WHY:])
    more = f'<p class="more">and {rest:,} more, for other reasons</p>' if rest else ""
    ways = "".join(f"<div><dt><b>{name}</b></dt><dd>{meaning}</dd></div>" for name, meaning, _ in _WAYS)
    every = _commands(content, (("doubts", "", ""),), None)
    return f"""<section class="attention" aria-labelledby="held">
<h2 id="held"><span class="swatch held" aria-hidden="true"></span>{held:,} held for you</h2>
<p class="soft">The provider may or may not have accepted these. They are never sent again unless you say so, for that
could be paid for twice. Look for each at the provider, then say what it is:</p>
<dl class="ways">{ways}</dl>
{shown}{more}<h3>All that is held, one a line</h3>{every}
</section>
"""


def _why(content: Content, why: Why) -> str:
    jobs = "".join(_held_job(content, job) for job in why.jobs)
    rest = why.count - len(why.jobs)
    more = f'<p class="soft small">and {rest:,} more for this reason</p>' if rest > 0 else ""
    reason = own_words(why.message or "nothing is known of what was sent", 300)
    return f"<h3>{_many(why.count, 'job', 'jobs')}: {reason}</h3>{jobs}{more}"


def _held_job(content: Content, job: Job) -> str:
    facts = []
    if job.ticket is not None:
        if job.ticket.marker:
            facts.append(f"sent as {own_words(job.ticket.marker, 120, 'code')}")
        if job.ticket.sent_at:
            facts.append(f"at {moment(job.ticket.sent_at)} UTC")
    candidates = job.error.get("candidates") if isinstance(job.error, Mapping) else None
    if isinstance(candidates, list | tuple) and candidates:
        some = ", ".join(own_words(each, 80, "code") for each in candidates[:5])
        facts.append(f"may be {some}")
    about = f'<p class="soft small">{"; ".join(facts)}</p>' if facts else ""
    return f'<div class="job"><h3>{own_words(job.key, 120)}</h3>{about}{_commands(content, _WAYS, job.key)}</div>'


def _commands(content: Content, ways: tuple[tuple[str, str, str], ...], key: str | None) -> str:
    """Commands to copy; a key that begins with a dash is kept from being an option."""
    if key is not None and not _shows(key):
        return (
            '<p class="soft">Its key cannot be shown here as it is; the list of all that is held has it.</p>'
        )
    items = []
    for name, _, more in ways:
        words = ["avatarkit", "bulk", name, *content.place]
        if key is not None:
            words += ["--"] * key.startswith("-") + [shell_word(key)]
        items.append(
            f"<li>{_command([*words, more] if more else words)}"
            f'<button type="button" class="copy" hidden aria-label="Copy the command {name}">Copy</button></li>'
        )
    return f'<ul class="commands">{"".join(items)}</ul>'


def _shows(key: str) -> bool:
    """Whether a command may hold *key*: one that was cut or cleaned of secrets would mean another job."""
    return len(key) <= _LONGEST_KEY and scrub(key) == key


def _command(words: list[str]) -> str:
    """A command as it is typed; options are not broken at their dashes."""
    shown = (escaped(word, 8000) for word in words)
    return f"<code>{' '.join(f'<span>{each}</span>' if each[:2] == '--' else each for each in shown)}</code>"


# -- money, and the course of it


def _money(content: Content) -> str:
    progress, facts = content.progress, content.facts
    unit = escaped(progress.unit, 40)
    figures = [_figure("Spent", money_text(progress.spent), unit)]
    if progress.done:
        figures.append(_figure("For each done video", money_text(progress.spent / progress.done), unit))
    figures.append(_figure("Set aside", money_text(progress.reserved), "for what is under way or held"))
    if progress.left and progress.projected is not None:
        figures.append(_figure("Expected in the end", money_text(progress.projected), unit))
    if progress.budget is not None:
        left = max(0.0, progress.budget - progress.spent - progress.reserved)
        figures.append(_figure("Budget", money_text(progress.budget), f"{money_text(left)} left"))
    if facts.parts_cost:
        figures.append(_figure("For avatars and voices", money_text(facts.parts_cost), unit))
    if facts.failed_cost:
        figures.append(_figure("On what failed", money_text(facts.failed_cost), unit))
    if facts.video_seconds:
        figures.append(_figure("Video made", seconds_text(facts.video_seconds)))
    if facts.bytes:
        figures.append(_figure("Files", size_text(facts.bytes)))
    if facts.again:
        figures.append(_figure("Submitted again", f"{facts.again:,}", "times"))
    return f"""<section aria-labelledby="money">
<h2 id="money">Money</h2>
<dl class="figures">{"".join(figures)}</dl>
</section>
"""


def _course(content: Content) -> str:
    facts = content.facts
    moving = content.counts.of(JobState.RUNNING) or content.counts.parts.get(JobState.RUNNING, 0)
    bins = facts.timeline.bins(content.now if moving else None)
    return f"""<div class="pair">
<section aria-labelledby="course"><h2 id="course">The run over time</h2>
{timeline(bins, facts.timeline.width, content.cap)}
</section>
<section aria-labelledby="durations"><h2 id="durations">How long a video takes</h2>
{durations(facts.took)}
</section>
</div>
"""


# -- failures


def _failures(content: Content) -> str:
    groups = sorted(content.facts.failures.values(), key=lambda group: -(group.jobs + group.parts))
    if not groups:
        return ""
    failed = sum(group.jobs for group in groups)
    rows = "".join(_failure(group, group.jobs / max(1, failed)) for group in groups[:_MOST_GROUPS])
    rest = sum(group.jobs for group in groups[_MOST_GROUPS:])
    more = (
        f'<p class="more">and {rest:,} in {len(groups) - _MOST_GROUPS:,} more kinds</p>'
        if groups[_MOST_GROUPS:]
        else ""
    )
    again = _command(["avatarkit", "bulk", "resend", *content.place, "--failed"])
    return f"""<section aria-labelledby="failures">
<h2 id="failures">{_many(failed, "failure", "failures")} by reason</h2>
<p class="soft">To send all of them again, which is billed: {again}; some: give their keys.</p>
<div class="scroll"><table class="failures"><thead><tr><th scope="col">Reason</th><th scope="col">Code</th>
<th scope="col" class="number">Videos</th><th scope="col"><span class="soft">Share</span></th>
<th scope="col">Examples</th></tr></thead>
<tbody>{rows}</tbody></table></div>{more}
</section>
"""


def _failure(group: Group, share: float) -> str:
    title = _REASONS.get(group.reason) or _TYPES.get(group.type) or "Failed"
    about = own_words(group.type, 80) + (f", {own_words(group.reason, 80)}" if group.reason else "")
    hint = f'<p class="small">{own_words(group.hint, 300)}</p>' if group.hint else ""
    parts = (
        f'<br><small class="soft">and {_many(group.parts, "part", "parts")}</small>' if group.parts else ""
    )
    examples = "".join(
        f"<li>{own_words(key, 80, 'code')} <span class=soft>{own_words(message, 300)}</span></li>"
        for key, message in group.examples
    )
    code = own_words(group.code, 80, "code") if group.code else '<span class="soft">none</span>'
    return (
        f'<tr><td class="why"><b>{title}</b><p class="soft small">{about}</p>{hint}</td>'
        f'<td>{code}</td><td class="number" data-of="videos">{group.jobs:,}{parts}</td>'
        f'<td class="share">{share_bar(share, "failed")}</td><td><ul class="examples">{examples}</ul></td></tr>'
    )


def _foot(content: Content) -> str:
    return f"""<footer>
<p>Written by avatarkit {escaped(__version__, 40)} as of {_time(content.now)}. Videos are linked where they
lay then: when this page moves, their folder has to move with it. It loads nothing from the network.</p>
</footer>"""
