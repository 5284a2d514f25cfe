"""Finds every provider that can be played: each folder below ``avatarkit/providers`` with a ``fake.py``."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable

from avatarkit import providers
from avatarkit.protocol.fakewire import Fake


def find_fakes() -> dict[str, Fake]:
    """The fakes by provider name. A ``fake.py`` offers its fake as ``FAKE``."""
    package = importlib.import_module("avatarkit.providers")
    found: dict[str, Fake] = {}
    for module in pkgutil.iter_modules(package.__path__, "avatarkit.providers."):
        if module.ispkg and importlib.util.find_spec(f"{module.name}.fake") is not None:
            fake: Fake = importlib.import_module(f"{module.name}.fake").FAKE
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
