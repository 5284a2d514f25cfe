"""The house's rules on its own source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import avatarkit

PACKAGE = Path(avatarkit.__file__).parent
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "_sync"
)  # those are generated
LONGEST = 400  # lines that can be read in one sitting


def test_every_module_can_be_read_in_one_sitting() -> None:
    """No module has more than 400 lines."""
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES
    }

    assert len(lengths) > 200
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_everything_public_has_a_docstring() -> None:
    """Each module, public class, function and method says what it is; overloads say it once.

    Where a module lists its public names, as ``__all__``, those are they.
    """
    silent = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in MODULES
        for name, node in _public(ast.parse(path.read_text(encoding="utf-8")))
        if ast.get_docstring(node) is None
    ]

    assert silent == []


_Described = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(node: ast.Module | _Described, name: str = "") -> Iterator[tuple[str, ast.Module | _Described]]:
    yield name or "the module", node
    listed = _listed(node)
    for child in node.body:
        if not isinstance(child, _Described) or child.name.startswith("_") or _overload(child):
            continue
        if listed is None or child.name in listed:
            inner = f"{name}.{child.name}".lstrip(".")
            if isinstance(child, ast.ClassDef):
                yield from _public(child, inner)
            else:
                yield inner, child


def _overload(node: _Described) -> bool:
    return any(ast.unparse(each).endswith("overload") for each in node.decorator_list)


def _listed(node: ast.Module | _Described) -> list[str] | None:
    for child in node.body:
        if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(child.value)
            return names
    return None
