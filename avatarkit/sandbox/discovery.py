"""Finds every provider that can be played: each of the registry that has a ``fake.py``."""

from __future__ import annotations

import re
from collections.abc import Callable

from avatarkit import providers
from avatarkit.protocol.fakewire import Fake


def find_fakes() -> dict[str, Fake]:
    """The fakes by provider name. A ``fake.py`` offers its fake as ``FAKE``; a provider without one is not played."""
    found: dict[str, Fake] = {}
    for name in providers.names():
        try:
            fake: Fake = providers.part(name, "fake").FAKE
        except ModuleNotFoundError as error:
            if (error.name or "").rpartition(".")[2] != "fake":
                raise  # it has one, which needs something that is not installed
            continue
        found[fake.name] = fake
    return found


def path_labels(provider: str) -> Callable[[str], str]:
    """Names a path by its pattern, ``/videos/{id}`` for ``/videos/17``, as the provider's endpoints have it.

    So that faults and counts are per endpoint. Paths without a pattern keep their own name.
    """
    if provider not in providers.names():
        return lambda path: path
    patterns = [
        (re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(endpoint.path))), endpoint.path)
        for endpoint in providers.spec(provider).endpoints
        if "{" in endpoint.path
    ]
    plain = {endpoint.path for endpoint in providers.spec(provider).endpoints if "{" not in endpoint.path}

    def label(path: str) -> str:
        if path in plain:
            return path
        return next((name for pattern, name in patterns if pattern.fullmatch(path)), path)

    return label
