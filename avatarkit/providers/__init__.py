"""The registry of providers: one folder is one provider, found by looking.

A folder counts when it has an ``endpoints.py`` with a ``SPEC``. Packages elsewhere can add a provider under the
entry-point group ``avatarkit.providers``; each entry names a package laid out like the folders here.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from avatarkit.errors import ConfigurationError
from avatarkit.protocol.endpoint import ProviderSpec

ENTRY_POINTS = "avatarkit.providers"


@cache
def _packages() -> dict[str, str]:
    from importlib.metadata import entry_points  # costs more to load than all the rest of this module

    found = {info.name: f"{__name__}.{info.name}" for info in pkgutil.iter_modules(__path__) if info.ispkg}
    for entry in entry_points(group=ENTRY_POINTS):
        found.setdefault(entry.name, entry.value)
    return dict(sorted(found.items()))


def names() -> tuple[str, ...]:
    """Every provider's name, in alphabetical order."""
    return tuple(_packages())


def part(name: str, module: str) -> Any:
    """One module of a provider's folder, e.g. ``part("hifly", "client")``.

    Raises:
        ConfigurationError: there is no such provider.

    """
    try:
        package = _packages()[name]
    except KeyError:
        known = ", ".join(names())
        raise ConfigurationError(
            f"there is no provider {name!r}", hint=f"Known providers: {known}."
        ) from None
    return importlib.import_module(f"{package}.{module}")


def spec(name: str) -> ProviderSpec:
    """The provider as data."""
    found: ProviderSpec = part(name, "endpoints").SPEC
    return found


def client_class(name: str) -> type[Any]:
    """The provider's async client class, e.g. ``AsyncHiFly``."""
    found: type[Any] = part(name, "client").CLIENT
    return found
