"""Methods: the blocking signature, and the one call on the bridge that is its body."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator

import attrs

from avatarkit._tools.facade.annotations import (
    ASYNC_ITERABLES,
    CONTEXT_MANAGERS,
    ITERABLES,
    Types,
    head,
    is_none,
    unquoted,
)
from avatarkit._tools.facade.source import Function

RENAMED = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
MARKS = {"property", "cached_property", "classmethod", "staticmethod", "overload", "asynccontextmanager"}
IGNORED_MARKS = {"abstractmethod", "override", "final"}


@attrs.define
class Method:
    """One method of an async class on its way to the blocking side."""

    types: Types
    node: Function
    owner: str
    entry: bool
    overloaded: bool
    marks: set[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        found = {(ast.unparse(d).partition("(")[0]).rpartition(".")[2]: d for d in self.node.decorator_list}
        for mark, decorator in found.items():
            if mark not in MARKS | IGNORED_MARKS:
                self.types.refuse(decorator, f"decorator @{ast.unparse(decorator)} on {self.node.name}")
        self.marks = set(found)
        if self.node.returns is None:
            self.types.refuse(self.node, f"{self.node.name} has no return annotation")

    @property
    def name(self) -> str:
        """The name on the blocking side."""
        return RENAMED.get(self.node.name, self.node.name)

    @property
    def bound(self) -> bool:
        """Whether the method is called on an object."""
        return not self.marks & {"classmethod", "staticmethod"}

    @property
    def gives(self) -> ast.expr:
        """The annotated result."""
        assert self.node.returns is not None
        return unquoted(self.node.returns)

    def lines(self) -> Iterator[str]:
        """The source of the blocking method."""
        if "overload" in self.marks:
            yield from self._mark("overload")
            yield from self._define(self._blocking_result())
            yield "    ..."
        elif self.marks & {"property", "cached_property"}:
            yield "@property"
            yield from self._define(self.types.text(self.gives))
            yield from self._give(self.gives, f"self._async.{self.node.name}", "self._lease")
        elif not self.bound:
            yield from self._constructor()
        elif self.node.name in {"__aenter__", "__aexit__", "aclose", "__anext__"}:
            yield from self._lifecycle()
        elif self._is_context_manager():
            yield from self._context_manager()
        elif self._is_iterator():
            yield from self._iterator()
        else:
            yield from self._define(self._blocking_result())
            yield from self._give(self._awaited(), self._call(), "self._lease")

    # ---- kinds

    def _is_context_manager(self) -> bool:
        return "asynccontextmanager" in self.marks or head(self.gives) in CONTEXT_MANAGERS

    def _is_iterator(self) -> bool:
        if head(self.gives) not in ASYNC_ITERABLES:
            return False
        if isinstance(self.node, ast.AsyncFunctionDef) and not _yields(self.node):
            self.types.refuse(
                self.node, f"{self.node.name} must be awaited to get an iterator; make it a generator"
            )
        return True

    def _awaited(self) -> ast.expr:
        if isinstance(self.node, ast.FunctionDef) and head(self.gives) == "Awaitable":
            assert isinstance(self.gives, ast.Subscript)
            return unquoted(self.gives.slice)
        return self.gives

    def _blocking_result(self) -> str:
        gives = self._item() if self._is_context_manager() else None
        if gives is None:
            return self.types.text(self.gives)
        return f"AbstractContextManager[{self.types.text(gives)}]"

    def _item(self) -> ast.expr:
        if not isinstance(self.gives, ast.Subscript):
            self.types.refuse(
                self.node, f"{self.node.name}: write what it gives, as in {ast.unparse(self.gives)}[T]"
            )
        inner = self.gives.slice
        if isinstance(inner, ast.Tuple) and head(self.gives) == "AsyncGenerator":
            if not all(is_none(n) for n in inner.elts[1:]):
                self.types.refuse(self.node, f"{self.node.name}: a generator that is sent values has no twin")
            inner = inner.elts[0]
        return unquoted(inner)

    # ---- bodies

    def _context_manager(self) -> Iterator[str]:
        item = self._item()
        wraps = self.types.needs_wrapping(item)
        yield "@contextmanager"
        yield from self._define(f"Generator[{self.types.text(item)}, None, None]")
        inner, result = self._local("inner"), self._local("result")
        yield f"    with self._lease.enter({self._target()}) as {inner if wraps else result}:"
        if wraps:
            yield f"        {result}: {self.types.text(item)} = wrap({inner}, self._lease)"
        yield f"        yield {result}"

    def _iterator(self) -> Iterator[str]:
        item = self._item()
        yield from self._define(f"Iterator[{self.types.text(item)}]")
        call = f"self._lease.iterate({self._target()})"
        if not self.types.needs_wrapping(item):
            yield f"    return {call}"
            return
        inner, found, result = self._local("inner"), self._local("found"), self._local("result")
        yield f"    with closing({call}) as {found}:"
        yield f"        for {inner} in {found}:"
        yield f"            {result}: {self.types.text(item)} = wrap({inner}, self._lease)"
        yield f"            yield {result}"

    def _lifecycle(self) -> Iterator[str]:
        if not isinstance(self.node, ast.AsyncFunctionDef):
            self.types.refuse(self.node, f"{self.node.name} must be an async def")
        gives = ast.unparse(self.gives)
        yield from self._define(self.types.text(self.gives))
        if self.node.name == "__aenter__":
            if gives in {"Self", self.owner}:
                yield "    self._arrive(self._async.__aenter__)"
                yield "    return self"
            else:
                yield from self._give(self.gives, "self._arrive(self._async.__aenter__)", "self._lease")
        elif self.node.name == "__anext__":
            yield "    try:"
            yield from _indented(self._give(self.gives, self._call(), "self._lease"))
            yield "    except StopAsyncIteration:"
            yield "        raise StopIteration from None"
        else:
            if gives not in {"None", "bool | None"}:
                self.types.refuse(self.node, f"{self.node.name} must return None (or bool | None)")
            yield f"    {'return ' * (gives != 'None')}self._leave({self._target()})"

    def _constructor(self) -> Iterator[str]:
        """A class or static method; what it makes shares the lease of the first async object it is given."""
        yield from self._mark("classmethod" if "classmethod" in self.marks else "staticmethod")
        yield from self._define(self._blocking_result())
        target = f"{self.owner}.{self.node.name}"
        is_async = isinstance(self.node, ast.AsyncFunctionDef)
        if not is_async and not self.types.needs_wrapping(self.gives):
            yield f"    return {target}({self._arguments('Lease')})"
            return
        giver = next((a.arg for a in self._parameters() if self._is_twin(a)), None)
        lease = f"{giver}._lease"
        if giver is None:
            if (
                is_async
                or not self.entry
                or "classmethod" not in self.marks
                or ast.unparse(self.gives) != "Self"
            ):
                self.types.refuse(
                    self.node,
                    f"{self.node.name} takes no async object whose lease the result could share; "
                    "only a plain classmethod of an entry class that returns Self can do without",
                )
            lease = self._local("lease")
            yield f"    {lease} = Lease()"
            original = self._local("original")
            yield f"    {original} = {target}({self._arguments(lease)})"
            yield f"    {lease}.close_with({original}.aclose)"
            yield f"    return cls._wrap({original}, {lease})"
            return
        call = f"{target}({self._arguments(lease)})"
        if is_async:
            call = f"{lease}.run({', '.join(filter(None, [target, self._arguments(lease)]))})"
        yield from self._give(self.gives, call, lease)

    def _give(self, gives: ast.expr, call: str, lease: str) -> Iterator[str]:
        if not self.types.needs_wrapping(gives):
            if self.overloaded and not is_none(gives):
                yield f"    {self._local('result')}: {self.types.text(gives)} = {call}"
                yield f"    return {self._local('result')}"
            else:
                yield f"    {'return ' * (not is_none(gives))}{call}"
        elif ast.unparse(gives) == "Self":
            maker = "cls" if "classmethod" in self.marks else "type(self)"
            yield f"    return {maker}._wrap({call}, {lease})"
        else:
            # In one call: between two Ctrl-C could strike, and what was made would be nobody's.
            made, run = f"wrap({call}, {lease})", f"{lease}.run("
            if call.startswith(run) and lease == "self._lease":
                made = f"self._obtain({call.removeprefix(run)}"
            yield f"    {self._local('result')}: {self.types.text(gives)} = {made}"
            yield f"    return {self._local('result')}"

    def _call(self) -> str:
        if isinstance(self.node, ast.AsyncFunctionDef) or head(self.gives) == "Awaitable":
            return f"self._lease.run({self._target()})"
        if head(self.gives) in ITERABLES and self.types.holds_async(self.gives):
            self.types.refuse(
                self.node, f"{self.node.name}: an iterator over async objects must be async itself"
            )
        return f"self._async.{self.node.name}({self._arguments('self._lease')})"

    # ---- the signature

    def signature(self) -> Iterator[str]:
        """The ``def`` line and the docstring of a method that returns what it says."""
        yield from self._define(self.types.text(self.gives))

    def _define(self, result: str) -> Iterator[str]:
        arguments = copy.deepcopy(self.node.args)
        for parameter in _all_parameters(arguments):
            if parameter.annotation is not None:
                parameter.annotation = self.types.translate(parameter.annotation)
        arguments.defaults = [self.types.value(d) for d in arguments.defaults]
        arguments.kw_defaults = [d and self.types.value(d) for d in arguments.kw_defaults]
        yield f"def {self.name}({ast.unparse(arguments)}) -> {result}:"
        yield from _indented(docstring(self.node, self.types))

    def _mark(self, *marks: str) -> Iterator[str]:
        for mark in marks:
            yield f"@{mark}"
        if "overload" in self.marks and not self.bound:
            yield f"@{'classmethod' if 'classmethod' in self.marks else 'staticmethod'}"

    def _parameters(self) -> list[ast.arg]:
        everything = _all_parameters(self.node.args)
        return everything if "staticmethod" in self.marks else everything[1:]

    def _is_twin(self, parameter: ast.arg) -> bool:
        note = unquoted(parameter.annotation) if parameter.annotation else None
        note = note.value if isinstance(note, ast.Subscript) else note
        return isinstance(note, ast.Name) and self.types.package.twin(self.types.module, note.id) is not None

    def _target(self) -> str:
        target = f"self._async.{self.node.name}"
        if self.overloaded:
            target = f"cast(Any, {target})"  # a type checker cannot bind an overloaded function's parameters
        return ", ".join(filter(None, [target, self._arguments("self._lease")]))

    def _arguments(self, lease: str) -> str:
        return arguments(self.node, self.types, lease, skip_first="staticmethod" not in self.marks)

    def _local(self, name: str) -> str:
        taken = {a.arg for a in _all_parameters(self.node.args)}
        while name in taken:
            name += "_"
        return name


def arguments(node: Function, types: Types, lease: str, *, skip_first: bool = True) -> str:
    """The arguments of a call that passes the parameters of *node* on to the async side."""
    spec = node.args
    positional = [*spec.posonlyargs, *spec.args][skip_first:]
    out = [_passed(a, node, types, lease) for a in positional]
    if spec.vararg:
        given = _passed(spec.vararg, node, types, lease, each=True)
        out.append(f"*{given}")
    out += [f"{a.arg}={_passed(a, node, types, lease)}" for a in spec.kwonlyargs]
    if spec.kwarg:
        if spec.kwarg.annotation is None:
            types.refuse(spec.kwarg, f"{node.name}({spec.kwarg.arg}) has no annotation")
        out.append(f"**{types.keywords(spec.kwarg.arg, spec.kwarg.annotation, lease)}")
    return ", ".join(out)


def _passed(parameter: ast.arg, node: Function, types: Types, lease: str, *, each: bool = False) -> str:
    if parameter.annotation is None:
        types.refuse(parameter, f"{node.name}({parameter.arg}) has no annotation")
    if not each:
        return types.argument(parameter.arg, parameter.annotation, lease)
    expression = types.argument("item", parameter.annotation, lease)
    return parameter.arg if expression == "item" else f"({expression} for item in {parameter.arg})"


def docstring(node: Function | ast.ClassDef, types: Types) -> Iterator[str]:
    """The docstring in the words of the blocking side."""
    text = ast.get_docstring(node, clean=True)
    if text is None:
        return
    text = re.sub(r"\b([Aa])n (Async[^AEIOU\W])", r"\1 \2", text)
    text = re.sub(r"\bAsync([A-Z]\w*)", lambda m: _blocking_name(m, types), text)
    text = re.sub(r"\basync (with|for|def)\b", r"\1", text)
    text = re.sub(r"\bawait\s+", "", text)
    for old, new in RENAMED.items():
        text = re.sub(rf"\b{old}\b", new, text)
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    end = "\n" if "\n" in text else " " * text.endswith('"')
    yield from f'"""{text}{end}"""'.splitlines()


def _blocking_name(match: re.Match[str], types: Types) -> str:
    known = {twin.name for module in types.package.modules.values() for twin in module.twins}
    return match[1] if match[0] in known else match[0]


def parameters(node: Function) -> list[ast.arg]:
    """The parameters of a method but for its first, ``self``."""
    return _all_parameters(node.args)[1:]


def _all_parameters(spec: ast.arguments) -> list[ast.arg]:
    rest = [a for a in (spec.vararg, *spec.kwonlyargs, spec.kwarg) if a is not None]
    return [*spec.posonlyargs, *spec.args, *rest]


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}" if line else line


def _yields(node: ast.AsyncFunctionDef) -> bool:
    stack: list[ast.AST] = list(node.body)
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Yield):
            return True
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(part))
    return False
