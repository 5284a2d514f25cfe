"""What ``avatarkit bulk run`` was asked for, with what an earlier start of the run was asked for."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import attrs

from avatarkit.bulk.naming import NameTemplate
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.records import Run, RunSettings
from avatarkit.cli.options import address_problems, settle
from avatarkit.errors import InvalidRequest
from avatarkit.transport.store_urls import is_store_url


@attrs.frozen(kw_only=True)
class Wanted:
    """What was asked for on the command line."""

    manifest: Path
    journal: str
    run: str
    settings: RunSettings
    submits: int = 16
    downloads: int = 8
    max_running: int | None = None
    staging: str | None = None
    base_url: str | None = None
    encoding: str | None = None
    earlier: Run | None = None

    @property
    def unbound(self) -> RunSettings | None:
        """The run's settings without the budget that it had, when it is to have none any more."""
        if self.earlier is None or self.earlier.settings.budget is None or self.settings.budget is not None:
            return None
        return attrs.evolve(self.earlier.settings, budget=None)


def journal_beside(manifest: Path, out: str | None) -> str:
    """``jobs.csv.run.db`` beside the manifest; in *out* when nothing can be written there."""
    name = f"{manifest.name}.run.db"
    beside = manifest.parent / name
    if beside.exists() or os.access(manifest.parent, os.W_OK) or out is None or is_store_url(out):
        return str(beside)
    return str(Path(out) / name)


def settled(given: dict[str, Any], manifest: Path, earlier: Run | None) -> RunSettings:
    """What was given, and for the rest what the run was begun with.

    Raises:
        InvalidRequest: something is missing, or makes no sense.

    """
    known = {} if earlier is None else attrs.asdict(earlier.settings)
    values = {name: known.get(name) if value is None else value for name, value in given.items()}
    missing = [f"--{name} is missing" for name in ("provider", "out") if not values[name]]
    if missing:
        raise InvalidRequest(missing)
    if values["budget"] is not None and not math.isfinite(values["budget"]):
        if math.isnan(values["budget"]):
            raise InvalidRequest("budget: nan found, a number allowed")
        values["budget"] = None
    folder = str(values["out"])
    settle(address_problems("out", folder))
    if not is_store_url(folder) and Path(folder).exists() and not Path(folder).is_dir():
        raise InvalidRequest(f"out: {folder} is a file, a folder is needed")
    chosen = {name: value for name, value in values.items() if value is not None}
    settings = RunSettings(account="", manifest=str(manifest), **chosen)
    NameTemplate(settings.name, settings.provider)
    return settings


def options_of(wanted: Wanted) -> BulkOptions:
    """The same for the run itself."""
    settings = wanted.settings
    return BulkOptions(
        out=settings.out,
        name=settings.name,
        sidecar=settings.sidecar,
        budget=settings.budget,
        default_cost=settings.default_cost,
        retries=settings.retries,
        max_failures=settings.max_failures,
        submits=wanted.submits,
        downloads=wanted.downloads,
        run=wanted.run,
        encoding=wanted.encoding,
    )
