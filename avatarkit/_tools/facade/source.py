"""The package as text: its modules, what their names mean, and which classes get a twin."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs

# Not scanned, relative to the package: the output, the tools, and the parts that only use the rest.
SKIPPED = ("_sync", "_tools", "_bridge", "testing", "cli")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Refused(Exception):
    """The source holds something that has no blocking twin; the message says where and why."""

    def __init__(self, module: Module, node: ast.AST | None, why: str) -> None:
        self.path = module.path
        self.line = getattr(node, "lineno", 1)
        self.why = why
        super().__init__(f"{module.path}:{self.line}: {why}")


@attrs.frozen
class Origin:
    """Where a name comes from: ``from module import name``; ``import module`` if name is None."""

    module: str
    name: str | None


@attrs.define
class Module:
    """One source file.

    *names* are its imports, *defined* its own top-level statements by name, *hidden* the names
    imported for type checkers only.
    """

    name: str
    path: Path
    tree: ast.Module
    is_package: bool
    names: dict[str, Origin] = attrs.field(factory=dict)
    defined: dict[str, ast.stmt] = attrs.field(factory=dict)
    hidden: set[str] = attrs.field(factory=set)

    @property
    def twins(self) -> list[ast.ClassDef]:
        """The classes to be translated, in the order of the source."""
        return [n for n in self.tree.body if isinstance(n, ast.ClassDef) and is_async_name(n.name)]

    @classmethod
    def read(cls, name: str, path: Path) -> Module:
        """Parse *path*."""
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        module = cls(name, path, tree, path.name == "__init__.py")
        for node in _top_level(tree.body):
            module._note(node)
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                imports = [n for n in node.body if isinstance(n, ast.ImportFrom | ast.Import)]
                module.hidden |= {a.asname or a.name for n in imports for a in n.names}
        return module

    def _note(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ImportFrom):
            base = self._absolute(node)
            for alias in node.names:
                self.names[alias.asname or alias.name] = Origin(base, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name if alias.asname else alias.name.partition(".")[0]
                self.names[alias.asname or root] = Origin(root, None)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self.defined[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self.defined[node.target.id] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self.defined[target.id] = node

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, node.module] if node.module else parts)


@attrs.define
class Package:
    """All modules of a package by their dotted names."""

    root: Path
    modules: dict[str, Module]

    @classmethod
    def read(cls, root: Path) -> Package:
        """Read every module below *root*, the package's folder, that may hold async classes."""
        modules = {}
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if parts[0] in SKIPPED:
                continue
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            name = ".".join([root.name, *parts])
            modules[name] = Module.read(name, path)
        return cls(root, modules)

    def resolve(self, module: Module, name: str) -> Origin | None:
        """The place *name* of *module* is defined at; re-exports inside the package are followed."""
        if name in module.defined:
            return Origin(module.name, name)
        origin = module.names.get(name)
        while origin is not None and origin.name is not None and origin.module in self.modules:
            home = self.modules[origin.module]
            if origin.name in home.defined or origin.name not in home.names:
                break
            origin = home.names[origin.name]
        return origin

    def definition(self, origin: Origin | None) -> tuple[Module, ast.stmt] | None:
        """The statement that defines *origin*, if it is one of this package's."""
        if origin is None or origin.name is None or origin.module not in self.modules:
            return None
        home = self.modules[origin.module]
        return (home, home.defined[origin.name]) if origin.name in home.defined else None

    def twin(self, module: Module, name: str) -> tuple[Module, ast.ClassDef] | None:
        """The async class that *name* means in *module*, or None when it means something else."""
        found = self.definition(self.resolve(module, name))
        if found and isinstance(found[1], ast.ClassDef) and is_async_name(found[1].name):
            return found[0], found[1]
        return None

    def type_variable(self, module: Module, name: str) -> tuple[Module, ast.Assign] | None:
        """The assignment of the type variable that *name* means in *module*."""
        found = self.definition(self.resolve(module, name))
        if found and isinstance(found[1], ast.Assign) and isinstance(found[1].value, ast.Call):
            made_by = ast.unparse(found[1].value.func).rpartition(".")[2]
            if made_by in {"TypeVar", "ParamSpec"}:
                return found[0], found[1]
        return None

    def alias(self, module: Module, name: str) -> tuple[Module, ast.expr] | None:
        """The type that the alias *name* stands for in *module*; None when it is no alias of ours."""
        found = self.definition(self.resolve(module, name))
        if found is None or self.type_variable(module, name):
            return None
        home, node = found
        if (
            isinstance(node, ast.AnnAssign)
            and ast.unparse(node.annotation).endswith("TypeAlias")
            and node.value
        ):
            return home, node.value
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            return home, node.value
        return None

    def bases(self, module: Module, node: ast.ClassDef) -> Iterator[tuple[Module, ast.ClassDef]]:
        """*node* and the async classes it inherits from, nearest first."""
        yield module, node
        for base in node.bases:
            name = base.value if isinstance(base, ast.Subscript) else base
            twin = self.twin(module, name.id) if isinstance(name, ast.Name) else None
            if twin is not None:
                yield from self.bases(*twin)

    def has_method(self, module: Module, node: ast.ClassDef, method: str) -> bool:
        """Whether the class or an async base of it defines *method*."""
        return any(
            isinstance(n, Function) and n.name == method
            for _, cls in self.bases(module, node)
            for n in cls.body
        )


def is_async_name(name: str) -> bool:
    """Whether a class of this name is one to translate: ``Async`` and a capital letter."""
    return name.startswith("Async") and name[5:6].isupper()


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If):
            yield node
            yield from _top_level([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _top_level([*node.body, *(s for h in node.handlers for s in h.body), *node.orelse])
        else:
            yield node
