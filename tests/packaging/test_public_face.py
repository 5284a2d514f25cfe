"""What importing avatarkit gives, and what it does not do."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import avatarkit

ROOT = Path(__file__).parents[2]
# Running these modules is what they are for; importing them would start a program.
PROGRAMS = {"__main__"}
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(avatarkit.__path__, "avatarkit.")
    if info.name.rpartition(".")[2] not in PROGRAMS
)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_all_is_what_is_there() -> None:
    """``__all__`` lists exactly the names of the typed list, each loads, and the list is sorted."""
    listed = {*avatarkit._names(), "__version__"}

    assert set(avatarkit.__all__) == listed
    assert sorted(avatarkit.__all__) == list(avatarkit.__all__)
    for name in avatarkit.__all__:
        assert getattr(avatarkit, name) is not None


def test_every_public_error_is_exported() -> None:
    """Nobody has to import from avatarkit.errors to catch what a method raises."""
    from avatarkit import errors

    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and name[0].isupper()}
    tree = {name for name in classes if issubclass(getattr(errors, name), errors.AvatarKitError)}

    assert tree <= set(avatarkit.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not there fails as on any module."""
    with pytest.raises(AttributeError, match="nonsense"):
        _ = avatarkit.nonsense


def test_import_is_light() -> None:
    """``import avatarkit`` loads neither aiohttp nor any of the heavy packages, and starts no thread."""
    done = run(
        "import sys, threading, avatarkit\n"
        "heavy = {'aiohttp', 'anyio', 'asyncio', 'cattrs', 'orjson', 'av', 'numpy', 'rich', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )

    assert done.stdout.split("\n")[0] == "[] 1", done.stderr


def test_client_class_loads_without_aiohttp() -> None:
    """Naming a client, and making one, loads aiohttp only when it is first used."""
    done = run("import sys, avatarkit\navatarkit.AsyncHiFly('x')\nprint('aiohttp' in sys.modules)")

    assert done.stdout.strip() == "False", done.stderr


def test_every_module_imports_alone() -> None:
    """Each module can be the first one imported: no hidden order, no cycles."""
    code = (
        "import importlib, sys\n"
        "keep = set(sys.modules)\n"
        "bad = []\n"
        "for name in sys.argv[1:]:\n"
        "    for loaded in [m for m in sys.modules if m.split('.')[0] == 'avatarkit']:\n"
        "        del sys.modules[loaded]\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except Exception as error:\n"
        "        bad.append(f'{name}: {error!r}')\n"
        "print('\\n'.join(bad))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *MODULES],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout.strip() == ""
    assert done.returncode == 0, done.stderr


def test_version_has_a_changelog_section() -> None:
    """The changelog is in Keep-a-Changelog form and has a place for what is not released."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert "## [Unreleased]" in text
    assert re.search(r"^### (Added|Changed|Fixed|Removed|Deprecated|Security)$", text, re.MULTILINE)


def test_every_dependency_has_a_reason() -> None:
    """Each base dependency in pyproject.toml says why it is there."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)

    assert block is not None
    for line in block[1].strip().splitlines():
        assert re.match(r'\s*"[a-z]+[><=.0-9]+",\s+# \S', line), line


def test_submodules_load_by_name() -> None:
    """``import avatarkit`` is enough for ``avatarkit.providers.names()`` and ``avatarkit.testing.VirtualClock``."""
    done = run(
        "import avatarkit\nprint('hifly' in avatarkit.providers.names(), avatarkit.testing.VirtualClock.__name__)"
    )

    assert done.stdout.strip() == "True VirtualClock", done.stderr
