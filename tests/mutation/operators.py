"""What is changed: one small thing in a module at a time, each of which some test should notice.

Comparisons move by one or turn round, ``and`` and ``or`` change places, conditions are negated, numbers move by one,
names of settings and rules and members of enumerations become others, rows of tables and statements go missing,
functions return nothing. Sentences, sources, docstrings, annotations and the words of enumerations stay: no rule
depends on them.
"""

from __future__ import annotations

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import EnumMeta
from itertools import chain
from typing import Any, Final

_NAME: Final = re.compile(r"[a-z_][a-z0-9_.:-]*")
_COMPARED: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_TURNED: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
}
_CALCULATED: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLED: Final = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
_PLAIN: Final = ast.Name | ast.Attribute | ast.Call | ast.NamedExpr | ast.Subscript
_UNTOUCHED: Final = {
    "annotation",
    "returns",
    "decorator_list",
    "bases",
    "format_spec",
    "type_params",
}
_WIDTH: Final = 100


@dataclass(frozen=True)
class Mutant:
    """One change. ``where`` names the function or table, ``function`` the function whose code alone it changes.

    ``change`` reads "before → after"; a number is added when the same change is made twice in the same place.
    """

    where: str
    change: str
    line: int
    function: str | None
    tree: ast.Module
    parent: ast.AST
    field: str
    index: int | None
    replacement: ast.AST

    @property
    def name(self) -> str:
        """Where and what, as ``explained.toml`` and the cache of results name it."""
        return f"{self.where}: {self.change}"

    def mutated(self) -> ast.Module:
        """A copy of the module's tree with the change made."""
        original = self._put(self.replacement)
        try:
            return ast.fix_missing_locations(copy.deepcopy(self.tree))
        finally:
            self._put(original)

    def _put(self, node: Any) -> Any:
        held = getattr(self.parent, self.field)
        if self.index is None:
            setattr(self.parent, self.field, node)
            return held
        before = held[self.index]
        held[self.index] = node
        return before


@dataclass(frozen=True)
class _Place:
    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    where: tuple[str, ...]
    function: str | None
    shown: ast.AST  # the smallest piece of code around it that tells what it is about


def mutants_of(source: str, namespace: Mapping[str, Any], settings: Sequence[str]) -> list[Mutant]:
    """All mutants of a module, in the order of the source.

    ``namespace`` is the module's own, which tells what an enumeration is; ``settings`` are all names of settings.
    """
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    found = []
    for place in _places(tree):
        for replacement in _replacements(place, namespace, settings):
            if ast.dump(replacement) == ast.dump(place.node):
                continue
            where = ".".join(place.where) or "module"
            change = _change(place, replacement)
            seen[f"{where}: {change}"] += 1
            number = seen[f"{where}: {change}"]
            found.append(
                Mutant(
                    where,
                    change if number == 1 else f"{change} (#{number})",
                    getattr(place.node, "lineno", getattr(place.parent, "lineno", 0)),
                    place.function,
                    tree,
                    place.parent,
                    place.field,
                    place.index,
                    replacement,
                )
            )
    return found


def _change(place: _Place, replacement: ast.AST) -> str:
    """What is changed in words: with the code around it where that is short, else by itself."""
    around = place.shown
    if around is place.node:
        return f"{_text(place.node)} → {_text(replacement)}"
    before = _text(around)
    held = getattr(place.parent, place.field)
    try:
        if place.index is None:
            setattr(place.parent, place.field, replacement)
        else:
            setattr(place.parent, place.field, [*held[: place.index], replacement, *held[place.index + 1 :]])
        after = _text(around)
    finally:
        setattr(place.parent, place.field, held)
    if before == after or max(len(before), len(after)) > _WIDTH:
        return f"{_text(place.node)} → {_text(replacement)}"
    return f"{before} → {after}"


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.cmpop | ast.operator | ast.boolop):
        return type(node).__name__
    if isinstance(node, ast.keyword):
        return f"{node.arg}={_text(node.value)}"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 2 * _WIDTH else f"{text[:_WIDTH]} … {text[-_WIDTH:]}"


def _places(tree: ast.Module) -> Iterator[_Place]:
    yield from _inside(tree, (), None, tree)


def _inside(node: ast.AST, where: tuple[str, ...], function: str | None, shown: ast.AST) -> Iterator[_Place]:
    for field, value in ast.iter_fields(node):
        if field in _UNTOUCHED:
            continue
        pairs = [(None, value)] if isinstance(value, ast.AST) else list(enumerate(value)) if _is_nodes(value) else []
        for index, child in pairs:
            if _is_skipped(child):
                continue
            inner_where, inner_function = _names(node, field, child, where, function)
            around = shown if _needs_context(child) else child
            yield _Place(child, node, field, index, inner_where, inner_function, around)
            frame = child if isinstance(child, ast.expr | ast.keyword | ast.stmt) else around
            yield from _inside(child, inner_where, inner_function, frame)


def _is_nodes(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, ast.AST) for each in value)


def _needs_context(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant | ast.cmpop | ast.operator | ast.boolop | ast.Name | ast.Attribute)


def _is_skipped(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant()):
            return True  # a docstring
        case ast.FunctionDef(name="__repr__" | "__str__"):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name())):
            return name[0].isupper() and not name.isupper()  # an alias of a type
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
            return name == value.upper()  # a member of an enumeration: a word of the API
    return False


def _names(
    node: ast.AST, field: str, child: ast.AST, where: tuple[str, ...], function: str | None
) -> tuple[tuple[str, ...], str | None]:
    match child:
        case ast.ClassDef(name=name):
            return (*where, name), function
        case ast.FunctionDef(name=name):
            return (*where, name), function
        case ast.Assign(targets=[ast.Name(id=name), *_]) | ast.AnnAssign(target=ast.Name(id=name)) if function is None:
            return (*where, name), function
    if isinstance(node, ast.FunctionDef) and field == "body" and function is None:
        return where, ".".join(where)
    return where, function


def _replacements(place: _Place, namespace: Mapping[str, Any], settings: Sequence[str]) -> Iterator[ast.AST]:
    yield from _other_logic(place.node)
    yield from _other_calculations(place)
    yield from _other_statements(place)
    yield from _other_rows(place)
    match place.node:
        case ast.Constant(value=value):
            yield from _other_constants(place, value, settings)
        case ast.Attribute(value=ast.Name(id=name), attr=member, ctx=ast.Load()):
            yield from _other_members(namespace.get(name), name, member)
    if place.field in {"test", "ifs"} and isinstance(place.node, _PLAIN):
        yield ast.UnaryOp(ast.Not(), place.node)


def _other_logic(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            yield from _other_comparisons(node)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand


def _other_calculations(place: _Place) -> Iterator[ast.AST]:
    match place.node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _CALCULATED and place.function is not None:
            yield ast.BinOp(left, _CALCULATED[type(op)](), right)
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in _CALCULATED:
            yield ast.AugAssign(target, _CALCULATED[type(op)](), value)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLED:
            yield ast.Call(ast.Name(_CALLED[name], ast.Load()), args, keywords)


def _other_statements(place: _Place) -> Iterator[ast.AST]:
    match place.node:
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Return(value=value) if value is not None:
            yield from _other_returns(value)


def _other_rows(place: _Place) -> Iterator[ast.AST]:
    node = place.node
    match node:
        case ast.List(elts=rows) | ast.Set(elts=rows) | ast.Tuple(elts=rows) if _is_table(place):
            yield from _without_rows(node, rows)
        case ast.Dict(keys=keys, values=values):
            for index in range(len(keys)):
                yield ast.Dict([*keys[:index], *keys[index + 1 :]], [*values[:index], *values[index + 1 :]])


def _other_comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for index, operator in enumerate(node.ops):
        for table in (_COMPARED, _TURNED):
            if type(operator) in table:
                ops = [*node.ops[:index], table[type(operator)](), *node.ops[index + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)


def _other_returns(value: ast.expr) -> Iterator[ast.AST]:
    if isinstance(value, ast.Constant) and not isinstance(value.value, str):
        return  # the constant itself is changed
    if isinstance(value, ast.List | ast.ListComp):
        yield ast.Return(ast.List([], ast.Load()))
    elif isinstance(value, ast.Compare | ast.BoolOp) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    ):
        yield ast.Return(ast.Constant(True))
        yield ast.Return(ast.Constant(False))
    else:
        yield ast.Return(ast.Constant(None))


def _other_constants(place: _Place, value: Any, settings: Sequence[str]) -> Iterator[ast.AST]:
    if place.field == "slice" and isinstance(value, str):
        return
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, str) and value in settings:
        index = settings.index(value)
        yield ast.Constant(settings[(index + 1) % len(settings)])
    elif isinstance(value, str) and _NAME.fullmatch(value):
        yield ast.Constant(f"{value}_other")


def _other_members(kind: Any, name: str, member: str) -> Iterator[ast.AST]:
    if isinstance(kind, EnumMeta) and member in kind.__members__:
        members = list(kind.__members__)
        other = members[(members.index(member) + 1) % len(members)]
        if other != member:
            yield ast.Attribute(ast.Name(name, ast.Load()), other, ast.Load())


def _is_table(place: _Place) -> bool:
    """Whether a display is one whose rows mean something: neither a target nor an index."""
    node = place.node
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del) or place.field == "slice":
        return False
    return not (isinstance(node, ast.Tuple) and place.field in {"type", "cls"})


def _without_rows(node: ast.expr, rows: list[ast.expr]) -> Iterator[ast.AST]:
    for index in range(len(rows)):
        rest = [*rows[:index], *rows[index + 1 :]]
        if isinstance(node, ast.Set):
            # An empty set has no display of its own.
            yield ast.Set(rest) if rest else ast.Call(ast.Name("set", ast.Load()), [], [])
        else:
            yield type(node)(rest, ast.Load())  # type: ignore[call-arg]


def functions_in(namespace: Mapping[str, Any], module: str) -> dict[str, Any]:
    """The functions that a module defines, by qualified name, out of whatever decorates them."""
    found = {}
    classes = [each for each in namespace.values() if isinstance(each, type) and each.__module__ == module]
    for value in chain(namespace.values(), *(vars(each).values() for each in classes)):
        function = _undecorated(value)
        if function is not None and getattr(function, "__module__", None) == module:
            found[function.__qualname__] = function
    return found


def _undecorated(value: Any) -> Any:
    value = getattr(value, "fget", None) or getattr(value, "__wrapped__", None) or getattr(value, "__func__", value)
    return value if hasattr(value, "__code__") else None
