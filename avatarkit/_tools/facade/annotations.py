"""Types: what the blocking signature says, and how values cross from one side to the other."""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Iterator
from typing import NoReturn

import attrs

from avatarkit._tools.facade.source import Module, Origin, Package, Refused

RENAMED = {
    "AsyncIterator": "Iterator",
    "AsyncIterable": "Iterable",
    "AsyncGenerator": "Iterator",
    "AbstractAsyncContextManager": "AbstractContextManager",
    "AsyncContextManager": "AbstractContextManager",
}
ASYNC_ITERABLES = {"AsyncIterator", "AsyncIterable", "AsyncGenerator"}
ITERABLES = {"Iterable", "Iterator", "Generator"}
CONTEXT_MANAGERS = {"AbstractAsyncContextManager", "AsyncContextManager"}
COLLECTIONS = {"list", "Sequence", "Collection", "MutableSequence"}
UNRETURNED = {"None", "object", "Any", "typing.Any"}


@attrs.define
class Types:
    """Translates the annotations of one module and remembers which names that takes.

    *imports* are the names the translated text uses, by the name they have there;
    *variables* the type variables to copy, with the module each comes from.
    """

    package: Package
    module: Module
    imports: dict[str, Origin] = attrs.field(factory=dict)
    variables: dict[str, tuple[Module, ast.Assign]] = attrs.field(factory=dict)

    def refuse(self, node: ast.AST, why: str) -> NoReturn:
        """Raise Refused for a node of this module."""
        raise Refused(self.module, node, why)

    # ---- the text

    def text(self, node: ast.expr) -> str:
        """The annotation as the blocking side writes it."""
        return ast.unparse(self.translate(node))

    def translate(self, node: ast.expr) -> ast.expr:
        """As `text`, but a tree."""
        return self._rewritten(with_names(node))

    def value(self, node: ast.expr) -> ast.expr:
        """A default value as the blocking side writes it."""
        return self._rewritten(copy.deepcopy(node))

    def differs(self, node: ast.expr) -> bool:
        """Whether the blocking side writes another type."""
        return Types(self.package, self.module).text(node) != ast.unparse(with_names(node))

    def _rewritten(self, node: ast.expr) -> ast.expr:
        new = _Rewriter(self).visit(node)
        assert isinstance(new, ast.expr)
        return new

    def need(self, name: str, origin: Origin, node: ast.AST) -> None:
        """Have *name* imported; two things of one name are refused."""
        if self.imports.setdefault(name, origin) != origin:
            self.refuse(
                node, f"{name} would mean both {self.imports[name]} and {origin} in the blocking module"
            )

    def elsewhere(self, module: Module) -> Types:
        """The same, for an annotation written in another module."""
        return Types(self.package, module, self.imports, self.variables)

    # ---- results

    def needs_wrapping(self, node: ast.expr) -> bool:
        """Whether a result of this type may be, or hold, an async object. Refuses what cannot be wrapped."""
        node = unquoted(node)
        if not self.holds_async(node):
            return False
        members = self.members(node)
        if len(members) > 1:
            return True in [self.needs_wrapping(member) for member in members]  # each is looked at
        node = members[0]
        if isinstance(node, ast.Name):
            alias = self.package.alias(self.module, node.id)
            return self.elsewhere(alias[0]).needs_wrapping(alias[1]) if alias else True
        if isinstance(node, ast.Subscript):
            if isinstance(node.value, ast.Name) and self.package.twin(self.module, node.value.id):
                return True
            if head(node) in {"list", "tuple"}:
                items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                return True in [self.needs_wrapping(item) for item in items if not is_ellipsis(item)]
        why = f"a result of type {ast.unparse(node)} cannot be wrapped; only lists and tuples can"
        raise Refused(self.module, node, why)

    def holds_async(self, node: ast.expr) -> bool:
        """Whether the type names an async class, ``Self`` or a type variable, which may stand for one."""
        return self._mentions(node, variables=True)

    def names_twin(self, node: ast.expr) -> bool:
        """As `holds_async`, type variables left out."""
        return self._mentions(node, variables=False)

    def _mentions(self, node: ast.expr, *, variables: bool) -> bool:
        for name in names_in(node):
            if name.id == "Self" or self.package.twin(self.module, name.id):
                return True
            if variables and self.package.type_variable(self.module, name.id):
                return True
            alias = self.package.alias(self.module, name.id)
            if alias and self.elsewhere(alias[0])._mentions(alias[1], variables=variables):  # noqa: SLF001
                return True
        return False

    def members(self, node: ast.expr) -> list[ast.expr]:
        """The members of a union; the type itself when it is none."""
        node = unquoted(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self.members(node.left) + self.members(node.right)
        if isinstance(node, ast.Subscript) and head(node) == "Optional":
            return [*self.members(node.slice), ast.Constant(None)]
        if isinstance(node, ast.Subscript) and head(node) == "Union":
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return [member for part in parts for member in self.members(part)]
        return [node]

    # ---- arguments

    def argument(self, name: str, node: ast.expr, lease: str) -> str:
        """The expression that hands the argument *name* over to the async side."""
        node, types = self._expanded(unquoted(node))
        members = [m for m in types.members(node) if not is_none(m)]
        optional = len(members) < len(types.members(node))
        heads = {head(m) for m in members}
        if "Callable" in heads or any(types.is_hook_class(m) for m in members):
            return types.function(name, members, lease)
        if heads & ASYNC_ITERABLES:
            expression = types.lazy(name, members, lease)
        elif heads & ITERABLES:
            expression = types.drained(name, members)
        elif not types.crossing(node):
            return name
        elif len(members) > 1:
            expression, optional = f"unwrap({name})", False
        else:
            expression = types.unwrapped(name, members[0])
        return f"None if {name} is None else {expression}" if optional else expression

    def crossing(self, node: ast.expr) -> bool:
        """Whether an argument of this type may be an async object (``type[T]`` is none)."""
        return self.names_twin(node) or any(
            isinstance(m, ast.Name) and self.package.type_variable(self.module, m.id)
            for m in self.members(node)
        )

    def unwrapped(self, name: str, node: ast.expr) -> str:
        """The expression for one async object, or a collection of them."""
        if isinstance(node, ast.Name):
            is_variable = self.package.type_variable(self.module, node.id)
            return f"unwrap({name})" if is_variable else f"{name}._async"
        if isinstance(node, ast.Subscript):
            if isinstance(node.value, ast.Name) and self.package.twin(self.module, node.value.id):
                return f"{name}._async"
            if head(node) in COLLECTIONS:
                return f"[unwrap(item) for item in {name}]"
            if head(node) == "tuple":
                return f"tuple(unwrap(item) for item in {name})"
        raise Refused(self.module, node, f"an argument of type {ast.unparse(node)} cannot be unwrapped")

    def kept(self, name: str, node: ast.expr) -> str:
        """The expression for the blocking objects in an argument, to be held on to; empty when it has none."""
        if not self.crossing(unquoted(node)):
            return ""
        return f"*{name}" if head(unquoted(node)) in COLLECTIONS | {"tuple"} else name

    def lazy(self, name: str, members: list[ast.expr], lease: str) -> str:
        """A lazy iterable: read in the caller's thread, item by item."""
        others = {head(m) for m in members} - ASYNC_ITERABLES - ITERABLES - COLLECTIONS - {"tuple"}
        if others:
            self.refuse(
                members[0], f"{name}: a lazy iterable cannot share a union with {', '.join(sorted(others))}"
            )
        if any(self.holds_async(m) for m in members):
            return f"{lease}.feed(map(unwrap, {name}))"
        return f"{lease}.feed({name})"

    def drained(self, name: str, members: list[ast.expr]) -> str:
        """A plain iterable would be read on the loop, and block it: read it before the call."""
        if len(members) > 1:
            self.refuse(members[0], f"{name}: write Iterable[T] | AsyncIterable[T], or one collection type")
        return f"tuple(map(unwrap, {name}))" if self.holds_async(members[0]) else f"tuple({name})"

    def function(self, name: str, members: list[ast.expr], lease: str) -> str:
        """A function of the user's: it runs in the caller's thread."""
        if len(members) > 1:
            self.refuse(members[0], f"{name}: a function cannot share a union with other types")
        node = members[0]
        if self.is_hook_class(node):
            return f"{lease}.callback({name})"
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)):
            self.refuse(node, f"{name}: write what the function takes and returns, Callable[[...], None]")
        takes, gives = node.slice.elts
        if self.holds_async(gives):
            self.refuse(node, f"{name}: the function may not return an async object")
        given = f"wrapping({name}, {lease})" if self.holds_async(takes) else name
        if any(head(m) == "Awaitable" for m in self.members(gives)):
            return f"{lease}.ask({given})"
        if ast.unparse(gives) not in UNRETURNED:
            self.refuse(
                node,
                f"{name}: the loop cannot wait for what the function returns; take Callable[..., None], "
                f"or Callable[..., Awaitable[{ast.unparse(gives)}]]",
            )
        return f"{lease}.callback({given})"

    def keywords(self, name: str, node: ast.expr, lease: str) -> str:
        """The expression that hands ``**name`` over: functions in a TypedDict run in the caller's thread too."""
        node = unquoted(node)
        if self.names_twin(node):
            self.refuse(node, f"**{name} may hold async objects")
        if not (
            isinstance(node, ast.Subscript) and head(node) == "Unpack" and isinstance(node.slice, ast.Name)
        ):
            return name
        found = self.package.definition(self.package.resolve(self.module, node.slice.id))
        if found is None or not isinstance(found[1], ast.ClassDef):
            return name
        there = self.elsewhere(found[0])
        functions = []
        for field in found[1].body:
            if isinstance(field, ast.AnnAssign):
                if there.names_twin(field.annotation):
                    self.refuse(node, f"{found[1].name}.{ast.unparse(field.target)} may hold async objects")
                if there.names_function(field.annotation):
                    functions.append(repr(ast.unparse(field.target)))
        return f"{lease}.callbacks({name}, {', '.join(functions)})" if functions else name

    def names_function(self, node: ast.expr) -> bool:
        """Whether the type mentions a function, through aliases too."""
        for name in names_in(node):
            if name.id == "Callable":
                return True
            alias = self.package.alias(self.module, name.id)
            if alias and self.elsewhere(alias[0]).names_function(alias[1]):
                return True
        return False

    def is_hook_class(self, node: ast.expr) -> bool:
        """Whether the type is a protocol of this package whose ``__call__`` returns None."""
        found = (
            self.package.definition(self.package.resolve(self.module, node.id))
            if isinstance(node, ast.Name)
            else None
        )
        if found is None or not isinstance(found[1], ast.ClassDef):
            return False
        if "Protocol" not in {ast.unparse(base).rpartition(".")[2] for base in found[1].bases}:
            return False
        calls = [n for n in found[1].body if isinstance(n, ast.FunctionDef) and n.name == "__call__"]
        if calls and (calls[0].returns is None or not is_none(calls[0].returns)):
            self.refuse(node, f"{found[1].name}.__call__ must return None: the loop cannot wait for a result")
        return bool(calls)

    def _expanded(self, node: ast.expr) -> tuple[ast.expr, Types]:
        """*node*, or what it stands for if it is an alias; of a union, each alias in it."""
        members = self.members(node)
        aliases = [
            self.package.alias(self.module, m.id) if isinstance(m, ast.Name) else None for m in members
        ]
        if not any(aliases):
            return node, self
        if len([m for m in members if not is_none(m)]) > 1:
            if any(a and self.elsewhere(a[0]).crossing(a[1]) for a in aliases):
                return node, self  # a union with async objects in it is unwrapped at run time
            hidden = [a for a in aliases if a and head(a[1]) in {"Callable", *ITERABLES, *ASYNC_ITERABLES}]
            if hidden:
                self.refuse(node, f"{ast.unparse(node)}: a function or an iterable cannot share a union")
            return node, self
        home, target = next(a for a in aliases if a)
        inner, types = self.elsewhere(home)._expanded(target)  # noqa: SLF001
        if len(members) > 1:
            inner = ast.BinOp(inner, ast.BitOr(), ast.Constant(None))
        return ast.copy_location(inner, node), types


class _Rewriter(ast.NodeTransformer):
    def __init__(self, types: Types) -> None:
        self.types = types

    def visit_Name(self, node: ast.Name) -> ast.AST:
        types, name = self.types, node.id
        if twin := types.package.twin(types.module, name):
            new = twin[1].name.removeprefix("Async")
            types.need(new, Origin(mirrored(types.package, twin[0].name), new), node)
            return ast.Name(new)
        if variable := types.package.type_variable(types.module, name):
            types.variables.setdefault(name, variable)
            return node
        alias = types.package.alias(types.module, name)
        if alias and types.elsewhere(alias[0]).differs(alias[1]):
            return types.elsewhere(alias[0]).translate(alias[1])
        origin = types.package.resolve(types.module, name)
        if origin is None:
            if not hasattr(builtins, name):
                types.refuse(node, f"{name} is not known at the top of the module")
            return node
        if origin.name in RENAMED and origin.module.split(".")[0] in {"collections", "typing", "contextlib"}:
            new = RENAMED[origin.name]
            home = "contextlib" if new == "AbstractContextManager" else "collections.abc"
            types.need(new, Origin(home, new), node)
            return ast.Name(new)
        direct = types.module.names.get(name, origin)
        types.need(name, direct, node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if head(node) == "Literal":
            node.value = self.visit(node.value)
            return node
        if head(node) == "Awaitable":
            inner: ast.expr = self.visit(node.slice)
            return inner
        if head(node) == "AsyncGenerator" and isinstance(node.slice, ast.Tuple):
            node.slice = node.slice.elts[0]
        node.value = self.visit(node.value)
        node.slice = self.visit(node.slice)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if not isinstance(node.op, ast.BitOr):
            return super().generic_visit(node)
        # Iterable[T] | AsyncIterable[T] and None | Awaitable[None] come out as the same thing twice.
        members = [self.visit(m) for m in self.types.members(node)]
        unique: list[ast.expr] = list({ast.unparse(m): m for m in members}.values())
        union = unique[0]
        for member in unique[1:]:
            union = ast.BinOp(union, ast.BitOr(), member)
        return union


def mirrored(package: Package, module: str) -> str:
    """The dotted name of the generated module for *module*."""
    rest = module.removeprefix(package.root.name)
    return f"{package.root.name}._sync{rest}"


def head(node: ast.expr) -> str:
    """The last part of a type's name without its parameters: ``list`` for ``builtins.list[int]``."""
    node = node.value if isinstance(node, ast.Subscript) else node
    return ast.unparse(node).rpartition(".")[2]


def names_in(node: ast.expr) -> Iterator[ast.Name]:
    """The names a type mentions, those in quotes too."""
    for part in ast.walk(with_names(node)):
        if isinstance(part, ast.Name):
            yield part


def unquoted(node: ast.expr) -> ast.expr:
    """The type a string annotation stands for."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ast.copy_location(ast.parse(node.value, mode="eval").body, node)
    return node


def is_none(node: ast.expr) -> bool:
    """Whether the node is the literal None."""
    return isinstance(node, ast.Constant) and node.value is None


def is_ellipsis(node: ast.expr) -> bool:
    """Whether the node is ``...``."""
    return isinstance(node, ast.Constant) and node.value is ...


class _Unquote(ast.NodeTransformer):
    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return node if head(node) == "Literal" else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return unquoted(node)


def with_names(node: ast.expr) -> ast.expr:
    """A copy of the type in which nothing is in quotes any more, literals excepted."""
    new = _Unquote().visit(copy.deepcopy(node))
    assert isinstance(new, ast.expr)
    return new
