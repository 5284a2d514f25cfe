"""Jobs and runs in words and as plain data, and the exit code that a run deserves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit import errors
from avatarkit.bulk.progress import Phase, Progress, money_text, seconds_text
from avatarkit.bulk.records import Counts, Job, JobState, Run, RunState
from avatarkit.bulk.run import JobOutcome
from avatarkit.cli.bulk_places import where_text
from avatarkit.cli.failures import Exit, clean, exit_code

_WORST = (JobState.FAILED, JobState.HELD, JobState.ABANDONED, JobState.CANCELLED)


def exit_of(run: Run, counts: Counts) -> Exit:
    """How a run that is over ends: well, with jobs that failed or are held, or stopped before its end.

    A run that stopped for want of money or for its credentials ends with their own codes.
    """
    if run.state is not RunState.ACTIVE and counts.of(JobState.NEW, JobState.BLOCKED):
        error = getattr(errors, run.reason.partition(":")[0], None)
        if isinstance(error, type) and issubclass(error, errors.ProviderError):
            return exit_code(error(""))
        return Exit.STOPPED
    return Exit.OK if counts.of(JobState.DONE) == counts.total else Exit.PARTLY


def outcome_document(outcome: JobOutcome) -> dict[str, Any]:
    """One line of ``--json``: what became of a job. Every field is always there, null where nothing is known."""
    told = attrs.asdict(outcome)
    return {"type": "outcome", **told, "state": outcome.state.value, "ok": outcome.ok}


def outcome_line(outcome: JobOutcome) -> str:
    """A job that has no video, on one line."""
    return f"{outcome.key}: {outcome.state.value}{_why(outcome.error)}"


def _why(error: Mapping[str, Any]) -> str:
    said = clean(str(error.get("message", "")) or str(error.get("type", "")))
    return f": {said[:300]}" if said else ""


def summary(
    run: Run, seen: Progress, journal: str, places: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Where a run is, as plain data: the last line of ``bulk run --json``, and ``bulk status --json``.

    *places* says how many videos lie in which folder, where that is known of all.
    """
    told = attrs.asdict(seen)
    told |= {"state": told.pop("phase").value, "share": round(seen.share, 4)}
    told["unstored_why"] = clean(seen.unstored_why)
    where = dict(places) if places is not None and sum(places.values()) == seen.done else None
    return {"type": "summary", **told, "out": run.settings.out, "places": where, "journal": journal}


def summary_lines(told: Mapping[str, Any]) -> list[str]:
    """The end of a run for people; the first line is the result."""
    failed, held = told["failed"], told["held"]
    first = where_text(told["done"], told["total"], told["out"], told["places"])
    rest = [f"{failed:,} failed"] if failed else []
    rest += [f"{held:,} held, which may have been paid for"] if held else []
    rest += [f"{told['left']:,} left"] if told["left"] else []
    first += f"; {', '.join(rest)}" if rest else ""
    lines = [first, f"{money_text(told['spent'])} {told['unit']} in {seconds_text(told['elapsed'])}"]
    if told["state"] == Phase.STOPPED:
        lines.append(f"the run stopped: {clean(told['reason'])}")
    elif told["state"] == Phase.CANCELLED:
        lines.append(f"the run was cancelled: {clean(told['reason'])}")
    if told["unstored"]:
        results = "result" if told["unstored"] == 1 else "results"
        lines.append(
            f"{told['unstored']:,} {results} could not be stored yet: {clean(told['unstored_why'])[:300]}"
        )
    if told["running"]:
        lines.append(f"{told['running']:,} run on at the provider; the next start fetches them")
    return lines + advice(told)


def advice(told: Mapping[str, Any]) -> list[str]:
    """What to do about what is left."""
    journal, lines = shlex.quote(told["journal"]), []
    if told["held"]:
        lines.append(f"held jobs: avatarkit bulk doubts {journal}")
    if told["failed"]:
        lines.append(
            f"failed jobs: avatarkit bulk report {journal}; again: avatarkit bulk resend {journal} --failed"
        )
    return lines


def job_document(job: Job) -> dict[str, Any]:
    """A job as plain data, for ``bulk doubts``."""
    told = {
        "key": job.key,
        "part": job.part,
        "state": job.state.value,
        "attempt": job.attempt,
        "marker": job.marker or (job.ticket.marker if job.ticket is not None else ""),
        "endpoint": job.ticket.endpoint if job.ticket is not None else "",
        "sent_at": job.ticket.sent_at if job.ticket is not None else None,
        "estimate": job.estimate,
        "error": dict(job.error),
    }
    return {name: value for name, value in told.items() if value not in (None, "", {})}
