"""What a constructor takes, read from its source: torch need not be loaded to check a config.

The annotations in the source are the only schema, so none can be out of date.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Optional, Union

from sam_train.settings.source import Found, find, find_in

SCALARS: dict[str, Any] = {kind.__name__: kind for kind in (bool, int, float, str, dict)}
LISTS = {"list", "List", "Sequence"}


@dataclass(frozen=True)
class Signature:
    """The parameters of a target with their types, Any where the source does not tell one."""

    hints: Mapping[str, Any]
    takes_any: bool  # has **arguments


@cache
def signature_of(target: str) -> Signature | None:
    """The signature of a `_target_`; None where no source tells it."""
    found = find(target)
    return None if found is None else signature(found)


def signature(found: Found) -> Signature | None:
    if isinstance(found.node, ast.ClassDef):
        return class_signature(found.module, found.node)
    if isinstance(found.node, ast.FunctionDef):
        return function_signature(found.module, found.node)
    return None


def class_signature(module: str, node: ast.ClassDef) -> Signature | None:
    """That of `__init__`, or of a dataclass's fields, or of the first base that has one."""
    for statement in reversed(node.body):
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return function_signature(module, statement, skip=1)
    inherited = None
    for base in node.bases:
        found = find_in(module, base.id) if isinstance(base, ast.Name) else None
        inherited = inherited or (signature(found) if found else None)
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return inherited
    fields = {
        statement.target.id: type_of(module, statement.annotation)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        if "init=False" not in ast.unparse(statement)
    }
    return Signature({**(inherited.hints if inherited else {}), **fields}, takes_any=False)


def function_signature(module: str, node: ast.FunctionDef, *, skip: int = 0) -> Signature:
    parameters = [*node.args.posonlyargs, *node.args.args][skip:] + node.args.kwonlyargs
    hints = {p.arg: type_of(module, p.annotation) if p.annotation else Any for p in parameters}
    return Signature(hints, takes_any=node.args.kwarg is not None)


def type_of(module: str, node: ast.expr) -> Any:
    """A type of scalars, literals, lists and unions of them; any other is Any."""
    match node:
        case ast.Constant(value=None):
            return type(None)
        case ast.Constant(value=str(text)):  # a forward reference
            return type_of(module, ast.parse(text, mode="eval").body)
        case ast.BinOp(op=ast.BitOr()):
            return union(type_of(module, node.left), type_of(module, node.right))
        case ast.Name(id=name) if name in SCALARS:
            return SCALARS[name]
        case ast.Name(id=name):
            found = find_in(module, name)
            alias = found if found and isinstance(found.node, ast.expr) else None
            return type_of(alias.module, alias.node) if alias else Any  # type: ignore[arg-type]
        case ast.Subscript(value=ast.Name(id=name)):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return generic(module, name, parts)
    return Any


def generic(module: str, name: str, parts: Sequence[ast.expr]) -> Any:
    """The type behind `name[parts]`."""
    if name == "Literal":
        return Literal[tuple(ast.literal_eval(part) for part in parts)]
    if name in LISTS:
        return list[type_of(module, parts[0])]  # type: ignore[misc]
    if name == "Optional":
        return Optional[type_of(module, parts[0])]  # noqa: UP045
    if name == "Union":
        return union(*(type_of(module, part) for part in parts))
    return Any


def union(*members: Any) -> Any:
    """A union; one with an unknown member allows anything."""
    return Any if Any in members else Union[members]  # noqa: UP007
