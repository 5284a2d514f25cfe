"""Finds every provider that can be played: each folder below ``avatarkit/providers`` with a ``fake.py``."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

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
