"""Opening a journal for one command: to change it, or only to look, also while a run is using it."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import typer

from avatarkit.bulk.journal import PATIENCE, is_address, open_ledger
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.peek import PeekedLedger
from avatarkit.bulk.records import Job, JobState, Run, RunSettings, RunState
from avatarkit.bulk.worktime import work_time
from avatarkit.cli import output
from avatarkit.cli.failures import clean
from avatarkit.cli.invocation import Invocation
from avatarkit.client import AsyncClient
from avatarkit.errors import ConfigurationError, InvalidRequest
from avatarkit.transport.shared import account_variable

Journal = Annotated[
    str, typer.Argument(metavar="JOURNAL", help="The run's file (….run.db), or a PostgreSQL address.")
]
RunName = Annotated[
    str | None, typer.Option("--run", metavar="NAME", help="Which run, where the journal has several.")
]

LOOKING = 5.0
"""Seconds for which a person who looks waits for a database that cannot be reached; runs and workers wait a minute."""

MAIN = "main"
"""The name of a run that was given none."""

ENGINE = "pgqueuer"
"""What carries the workers' messages, unless another is named."""

_WHERE = "It is MANIFEST.run.db beside the manifest, unless --journal said another file."


def exists(journal: str) -> bool:
    """Whether there may be a ledger: an address, or a file that is not empty."""
    if is_address(journal):
        return True
    try:
        return Path(journal).stat().st_size > 0
    except OSError:
        return False


@asynccontextmanager
async def looked_into(
    journal: str, invocation: Invocation | None = None, *, patient: bool = False
) -> AsyncIterator[Ledger]:
    """The ledger for reading; a file is not locked, so that a run may be using it.

    A database that cannot be reached is waited for, a little only, unless *patient*: a run can wait, a person cannot.
    That it is waited for is said, where there is an *invocation*.

    Raises:
        ConfigurationError: there is none, or it is no ledger.
        TransportError: the database cannot be reached.

    """
    ledger: Any
    if not is_address(journal):
        if not exists(journal):
            raise ConfigurationError(f"there is no journal {shown(journal)}", hint=_WHERE)
        ledger = await PeekedLedger.open(Path(journal))
    else:
        say = None if invocation is None else partial(output.note, invocation)
        ledger = await open_ledger(journal, patience=PATIENCE if patient else LOOKING, say=say)
    try:
        yield ledger
    finally:
        await ledger.aclose()


async def open_patiently(journal: str, invocation: Invocation) -> Ledger:
    """The ledger for working on it: a database that cannot be reached is waited for, which is said.

    Raises as :func:`~avatarkit.bulk.journal.open_ledger`.
    """
    return await open_ledger(journal, patience=PATIENCE, say=partial(output.note, invocation))


@asynccontextmanager
async def opened_ledger(journal: str, invocation: Invocation) -> AsyncIterator[Ledger]:
    """The ledger that is there, for changing it at a person's word.

    Raises:
        ConfigurationError: there is none, it is no ledger, or a run has it open at this moment.
        TransportError: the database cannot be reached.

    """
    if not exists(journal):
        raise ConfigurationError(f"there is no journal {shown(journal)}", hint=_WHERE)
    try:
        ledger = await open_ledger(journal, opening=LOOKING, say=partial(output.note, invocation))
    except ConfigurationError as error:
        if "in use" in str(error):
            raise ConfigurationError(
                f"{error}: a run is working on it",
                hint="Stop that run first (Ctrl-C once); it goes on where it was when it is started again. "
                "avatarkit bulk status works meanwhile.",
            ) from None
        raise
    try:
        yield ledger
    finally:
        await ledger.aclose()


async def the_run(ledger: Ledger, name: str | None) -> Run:
    """The run that was named, or the only one.

    Raises:
        ConfigurationError: there is none, or there are several and none was named.

    """
    runs = await ledger.runs()
    for run in runs:
        if run.id == name or (name is None and len(runs) == 1):
            return run
    if not runs:
        raise ConfigurationError(
            "the journal has no run yet", hint="Begin one: avatarkit bulk run, or bulk feed for a database."
        )
    names = ", ".join(run.id for run in runs[:20])
    what = "several runs" if name is None else f"no run {name!r}"
    raise ConfigurationError(f"the journal has {what}", hint=f"Give one of them with --run: {names}")


async def every(ledger: Ledger, run: str, states: Sequence[JobState] = ()) -> AsyncIterator[Job]:
    """Jobs and parts in one of *states*, in the order in which they were added, a thousand at a time."""
    after = 0
    while jobs := await ledger.select(run, states, after=after):
        after = jobs[-1].seq
        for job in jobs:
            yield job


async def found(ledger: Ledger, run: str, keys: Iterable[str]) -> list[Job]:
    """The jobs of these keys.

    Raises:
        InvalidRequest: with every key that the run does not have.

    """
    jobs, problems = [], []
    for key in dict.fromkeys(keys):
        job = await ledger.get(run, key)
        if job is None:
            problems.append(f"the run {run} has no job {key[:80]!r}")
        else:
            jobs.append(job)
    if problems:
        raise InvalidRequest(problems, hint="The keys of all: avatarkit bulk export JOURNAL -o FILE.csv")
    return jobs


def check_address(dsn: str) -> None:
    """Raise InvalidRequest unless *dsn* is a PostgreSQL address."""
    if not is_address(dsn):
        raise InvalidRequest(
            "--dsn: a PostgreSQL address is needed, like postgresql://user:password@host/database"
        )


def shown(journal: str) -> str:
    """*journal* for people: an address without its password."""
    return clean(journal) if not is_address(journal) else _without_password(journal)


_ADDRESS = re.compile(
    r"(?P<scheme>\w+://)(?:(?P<login>[^/]*)@)?(?P<place>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL
)
# What an address may say besides its place. Only these are shown: whatever else stands there may be a secret.
_PARAMETERS = frozenset({
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname", "fallback_application_name",
    "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle",
    "keepalives_interval", "krbsrvname", "load_balance_hosts", "max_protocol_version", "min_protocol_version",
    "options", "passfile", "port", "require_auth", "requirepeer", "requiressl", "service", "servicefile", "ssl",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcompression", "sslcrl",
    "sslcrldir", "sslkey", "sslmode", "sslnegotiation", "sslrootcert", "sslsni", "target_session_attrs",
    "tcp_user_timeout", "user",
})  # fmt: skip


def _without_password(address: str) -> str:
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        return address.partition("://")[0] + "://"
    login, place = parts["login"], parts["place"]
    if "@" in place:  # a slash in a password that should have been written as %2F
        login, place = place.partition(":")[0], place.rpartition("@")[2]
    user = "" if login is None else re.split("[:?]", login, maxsplit=1)[0] + "@"
    kept = [
        pair for pair in (parts["query"] or "").split("&") if unquote(pair.partition("=")[0]) in _PARAMETERS
    ]
    return f"{parts['scheme']}{user}{place}{'?' if kept else ''}{'&'.join(kept)}"


def command_line(journal: str, run: Run) -> str:
    """The command that goes on with *run*. What it was begun with is remembered, so little has to be said."""
    settings: RunSettings = run.settings
    words = ["avatarkit", "bulk", "run", settings.manifest or "MANIFEST", "--provider", settings.provider]
    words += ["--out", settings.out, "--journal", shown(journal)]
    if run.id != MAIN:
        words += ["--run", run.id]
    return shlex.join(words)


# -- going on


def _fleet(run: str) -> str:
    return f"fleet:{run}"


async def keep_fleet(ledger: Ledger, run: str, engine: str = "") -> None:
    """Write down that *run* is for workers, with this *engine* if it is known."""
    if engine or await ledger.recall("", _fleet(run), younger_than=math.inf) is None:
        await ledger.remember("", _fleet(run), {"engine": engine})


async def going_on(ledger: Ledger, journal: str, run: Run) -> str:
    """The command that goes on with *run*; ``""`` while others may work on it, which go on by themselves.

    A process that was killed is known to be gone only after a while. That of a file is always told: there is just one,
    and whoever looks after it was killed wants to go on now.
    """
    if not is_address(journal):
        return command_line(journal, run)
    work = await work_time(ledger, run.id)
    if work.active(await ledger.now()):
        return ""
    fleet = await ledger.recall("", _fleet(run.id), younger_than=math.inf)
    if fleet is None:
        return command_line(journal, run)
    return fleet_line(journal, run, str(fleet.get("engine") or ""))


def fleet_line(journal: str, run: Run, engine: str = "") -> str:
    """The command that has a worker go on with *run*, or that has it submit again when it was stopped."""
    place, more = ["--dsn", shown(journal)], ["--run", run.id] if run.id != MAIN else []
    if run.state is not RunState.ACTIVE:
        return shlex.join(["avatarkit", "bulk", "feed", run.settings.manifest or "MANIFEST", *place, *more])
    # Which engine is not said where it is the usual one.
    named = ["--engine", engine] if engine not in ("", ENGINE) else []
    return shlex.join(["avatarkit", "bulk", "worker", *place, *more, *named])


def same_account(error: ConfigurationError, run: Run | None, client: AsyncClient) -> ConfigurationError:
    """*error* of a *client*, with what to do where *run* was begun with another account of its provider."""
    settings = None if run is None else run.settings
    if settings and settings.provider == client.spec.name and settings.account != client.account_id:
        error.hint = account_hint(settings.provider, settings.account)
    return error


def account_hint(provider: str, account: str) -> str:
    """What to do when something was begun with this *account*, and the credentials seem to be another's."""
    return (
        f"Use the credentials it was begun with. If they are the same account's, whose key was changed: "
        f"set {account_variable(provider)}={account}"
    )
