# Where compiled code takes a value for a type that nobody has checked.
#
# To mypy, Any is whatever it is wanted to be. mypyc looks at such a value where it gets to a place that has a
# type: to a parameter, a variable, a result. One of another type is a TypeError there, in words that are not
# ours. One that is only like it (True, a member of an IntEnum) becomes a plain number. Python does neither.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import mypy.build  # first: the others go round in a circle
from mypy.argmap import map_actuals_to_formals
from mypy.main import process_options
from mypy.nodes import (
    AssignmentStmt,
    CallExpr,
    ClassDef,
    Decorator,
    Expression,
    FuncDef,
    NameExpr,
    Node,
    OverloadedFuncDef,
    ReturnStmt,
    Statement,
    SymbolNode,
    TempNode,
    Var,
)
from mypy.types import (
    AnyType,
    CallableType,
    Instance,
    Type,
    TypeOfAny,
    TypeVarType,
    UnionType,
    get_proper_type,
)


class Flow(NamedTuple):
    """`where` is the function, with its class; `what` becomes of an Any there."""

    module: str
    line: int
    where: str
    what: str


def flows(root: Path, names: Sequence[str]) -> list[Flow]:
    """Return all of the modules with these names, in a folder with a package; about ten seconds of work."""
    paths = [str(root / f"{name.replace('.', '/')}.py") for name in names]
    flags = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", "--no-incremental"]
    sources, options = process_options([*flags, *paths])
    options.export_types = options.preserve_asts = True
    result = mypy.build.build(sources, options)
    assert result.errors == []
    return [
        flow
        for name in names
        for flow in _Walk(name, frozenset(names), result).of(_written(result, name), "", None)
    ]


def _written(result: mypy.build.BuildResult, name: str) -> list[Statement]:
    tree = result.graph[name].tree
    assert tree is not None, "asked for by preserve_asts"
    return tree.defs


class _Walk:
    """One module."""

    def __init__(self, module: str, compiled: frozenset[str], result: mypy.build.BuildResult) -> None:
        self._module = module
        self._compiled = compiled
        self._types = result.types

    def of(self, thing: object, where: str, result: Type | None) -> Iterator[Flow]:
        """Yield what is below a node, or a sequence of nodes, inside a function with this `result`."""
        if isinstance(thing, (list, tuple)):
            for part in thing:
                yield from self.of(part, where, result)
            return
        if not isinstance(thing, Node) or _is_name_of_another(thing):
            return
        if isinstance(thing, (ClassDef, FuncDef)):
            where = f"{where}.{thing.name}".removeprefix(".")
        if isinstance(thing, FuncDef):
            result = thing.type.ret_type if isinstance(thing.type, CallableType) else None
        for what in self._at(thing, result):
            yield Flow(self._module, thing.line, where, what)
        for name in _parts(thing):
            yield from self.of(getattr(thing, name, None), where, result)

    def _at(self, node: Node, result: Type | None) -> Iterator[str]:
        match node:
            case CallExpr():
                yield from self._arguments(node)
            case ReturnStmt(expr=Expression() as value) if result is not None:
                if self._is_any(value) and not _takes_all(result):
                    yield f"is returned as {result}"
            case AssignmentStmt(rvalue=value) if not isinstance(value, TempNode) and self._is_any(value):
                for target in node.lvalues:
                    named = target.node if isinstance(target, NameExpr) else None
                    inferred = named.type if isinstance(named, Var) else None
                    declared = node.type or self._types.get(target) or inferred
                    if declared is not None and not _takes_all(declared):
                        yield f"is assigned as {declared}"

    def _arguments(self, call: CallExpr) -> Iterator[str]:
        callee = get_proper_type(self._types.get(call.callee))
        if not isinstance(callee, CallableType) or not self._is_compiled(callee):
            return
        unknown = AnyType(TypeOfAny.special_form)
        formals = map_actuals_to_formals(
            call.arg_kinds,
            call.arg_names,
            callee.arg_kinds,
            callee.arg_names,
            lambda index: self._types.get(call.args[index], unknown),
        )
        for formal, actuals in enumerate(formals):
            wanted = callee.arg_types[formal]
            if not _takes_all(wanted) and any(self._is_any(call.args[index]) for index in actuals):
                yield f"is {callee.arg_names[formal]} of {callee.name}: {wanted}"

    def _is_compiled(self, callee: CallableType) -> bool:
        definition = callee.type_object() if callee.is_type_obj() else callee.definition
        return definition is not None and any(
            definition.fullname.startswith(f"{name}.") for name in self._compiled
        )

    def _is_any(self, value: Expression) -> bool:
        kind = get_proper_type(self._types.get(value))
        parts = kind.items if isinstance(kind, UnionType) else [kind]
        return any(isinstance(get_proper_type(part), AnyType) for part in parts)


def _takes_all(kind: Type) -> bool:
    kind = get_proper_type(kind)
    if isinstance(kind, UnionType):
        return any(map(_takes_all, kind.items))
    is_object = isinstance(kind, Instance) and kind.type.fullname == "builtins.object"
    return is_object or isinstance(kind, (AnyType, TypeVarType))


def _is_name_of_another(node: Node) -> bool:
    """Whether a node is what a name stands for, and not written here."""
    return isinstance(node, SymbolNode) and not isinstance(node, (FuncDef, Decorator, OverloadedFuncDef))


# What belongs to a node without being written in it.
_ELSEWHERE = {
    *("analyzed", "def_frame", "expanded", "info", "method_type", "method_types", "node", "original_def"),
    *("plugin_deps", "type", "unanalyzed_items", "unanalyzed_type"),
}


def _parts(node: Node) -> Iterator[str]:
    names = (name for kind in type(node).__mro__ for name in kind.__dict__.get("__mypyc_attrs__", ()))
    return (name for name in dict.fromkeys(names) if name not in _ELSEWHERE)
