"""``avatarkit doctor``: what is installed, which credentials are found, and whether the providers answer."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import ssl
import sys
from typing import Annotated, Any

import attrs
import typer

from avatarkit import __version__, errors, providers
from avatarkit.cli import output
from avatarkit.cli.extras import EXTRAS, FONT, draws_chinese, install
from avatarkit.cli.failures import Exit, clean
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.listing import counters
from avatarkit.cli.running import opened, run
from avatarkit.protocol.redact import fingerprint
from avatarkit.settings import CallOptions
from avatarkit.transport.session import Network
from avatarkit.transport.shared import account_variable

_BASE = ("aiohttp", "attrs", "cattrs", "anyio", "orjson")
_PATIENCE = CallOptions(timeout=20.0, retries=1)


@attrs.define
class Checkup:
    """What was found, and what is wrong with it."""

    told: dict[str, Any] = attrs.field(factory=dict)
    problems: list[str] = attrs.field(factory=list)


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    command(app, "doctor")(doctor)


def doctor(
    invocation: Invocation,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the providers.")] = False,
) -> None:
    """Check the installation, the credentials and the way to the providers. Shows no secret; exit code 1 if unwell.

    Exit code 3 when no provider has credentials; with --offline, where nobody is asked, that is only said.
    """
    checkup = Checkup()
    checkup.told = {
        "avatarkit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "packages": {name: version(name) for name in sorted({*_BASE, *_of_extras()})},
        "extras": _extras(),
        "tls": _tls(checkup.problems),
    }
    checkup.told["providers"] = run(invocation, lambda: _providers(invocation, checkup, offline=offline))
    bare = "" if checkup.problems else _bare(checkup.told["providers"])
    if bare and not offline:
        checkup.problems.append(bare)
    checkup.told |= {"problems": checkup.problems, "ok": not checkup.problems}
    if invocation.json:
        output.write_json(checkup.told)
    else:
        _print(checkup)
    if bare and offline:
        output.note(invocation, f"{bare} (not needed for what is checked offline)")
    elif checkup.problems:
        raise typer.Exit(Exit.CREDENTIALS if bare else Exit.OTHER)


def version(name: str) -> str | None:
    """The installed version of a package, None when it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _of_extras() -> set[str]:
    return {name for extra in EXTRAS.values() for name in extra.packages} - {FONT}


def _extras() -> dict[str, Any]:
    told = {}
    for name, extra in EXTRAS.items():
        lacking = [each for each in extra.packages if each != FONT and version(each) is None]
        if FONT in extra.packages and not draws_chinese():
            lacking.append(FONT)
        told[name] = {"for": extra.purpose, "missing": lacking, "ok": not lacking}
    return told


def _tls(problems: list[str]) -> dict[str, Any]:
    paths = ssl.get_default_verify_paths()
    found = paths.cafile or paths.capath
    told = {"library": ssl.OPENSSL_VERSION, "authorities": found or ""}
    for name in (paths.openssl_cafile_env, paths.openssl_capath_env):
        if os.environ.get(name):
            told[name] = os.environ[name]
    try:
        loaded = ssl.create_default_context().cert_store_stats()["x509_ca"]
    except ssl.SSLError as error:
        problems.append(f"TLS: the system's certificates cannot be used: {error}")
        return told
    # A folder of certificates is read on demand, so nothing loaded yet is no fault of its own.
    if not loaded and not paths.capath and sys.platform != "win32":
        problems.append("TLS: no certificate authorities were found; set SSL_CERT_FILE to a PEM file of them")
    return told


async def _providers(invocation: Invocation, checkup: Checkup, *, offline: bool) -> list[dict[str, Any]]:
    return [
        await _provider(invocation, name, checkup.problems, offline=offline) for name in providers.names()
    ]


async def _provider(
    invocation: Invocation, name: str, problems: list[str], *, offline: bool
) -> dict[str, Any]:
    spec = providers.spec(name)
    base_url = os.environ.get(spec.base_url_variable) or spec.base_url
    values = [os.environ.get(variable, "").strip() for variable in spec.credentials]
    proxy = Network().proxy_for(base_url)
    told: dict[str, Any] = {
        "name": name,
        "base_url": clean(base_url),
        "credentials": {key: bool(value) for key, value in zip(spec.credentials, values, strict=True)},
        "account": _account(name, values) if all(values) else "",
        "proxy": re.sub(r"^([a-z0-9]+://)[^/]*@", r"\1***@", proxy) if proxy else "",
        "answer": "not asked",
    }
    if any(values) and not all(values):
        lacking = [key for key, value in zip(spec.credentials, values, strict=True) if not value]
        problems.append(f"{name}: {' and '.join(lacking)} is not set, but its companion is")
    elif all(values) and not offline:
        await _ask(invocation, name, told, problems)
    return told


def _bare(told: list[dict[str, Any]]) -> str:
    """That no provider has all its credentials, and what to set; ``""`` when one has."""
    if any(all(each["credentials"].values()) for each in told):
        return ""
    names = ", or ".join(" and ".join(each["credentials"]) for each in told)
    return f"no provider has credentials: set {names}"


def _account(name: str, credentials: list[str]) -> str:
    return clean(os.environ.get(account_variable(name), "").strip()) or fingerprint(name, *credentials)


async def _ask(invocation: Invocation, name: str, told: dict[str, Any], problems: list[str]) -> None:
    try:
        async with opened(invocation, name) as client:
            shown = await counters(client, options=_PATIENCE)
    except errors.UnsupportedOperation:
        told["answer"] = "not asked: nothing that is free to ask"
    except errors.AvatarKitError as error:
        told["answer"] = f"{type(error).__name__}: {clean(str(error))}"
        advice = f" {clean(error.hint)}" if error.hint else ""
        problems.append(f"{name}: {clean(str(error))}{'.' if advice else ''}{advice}")
    else:
        told["answer"] = "ok"
        told["credits"] = shown[0]["left"]


def _print(checkup: Checkup) -> None:
    told = checkup.told
    output.facts([(name, told[name]) for name in ("avatarkit", "python", "platform")])
    output.facts([("tls", told["tls"]["library"]), ("authorities", told["tls"]["authorities"])])
    output.line("")
    rows = [(name, found or "missing") for name, found in told["packages"].items()]
    output.table(("package", "version"), rows)
    output.line("")
    for name, extra in told["extras"].items():
        state = "installed" if extra["ok"] else f"missing {', '.join(extra['missing'])}"
        advice = "" if extra["ok"] else f"; {install(name)}"
        output.line(f"extra {name} ({extra['for']}): {state}{advice}")
    for each in told["providers"]:
        output.line("")
        marks = [f"{name} {'set' if found else 'not set'}" for name, found in each["credentials"].items()]
        left = output.number_text(each.get("credits"))
        output.facts(
            [
                ("provider", each["name"]),
                ("credentials", ", ".join(marks)),
                ("account", each["account"]),
                ("address", each["base_url"]),
                ("proxy", each["proxy"] or "none"),
                ("answer", each["answer"]),
                ("credits", left),
            ]
        )
    output.line("")
    for problem in checkup.problems:
        output.line(f"problem: {problem}")
    output.line("not well" if checkup.problems else "all well")
