"""Finds what a dotted name stands for in source text, without importing it."""

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr


@dataclass(frozen=True)
class Found:
    """A class, a function or an assigned expression, and the module in whose names it is read."""

    module: str
    node: Definition


def find(dotted: str) -> Found | None:
    """The definition behind `package.module.Name`; None where no source tells."""
    module, _, name = dotted.rpartition(".")
    return find_in(module, name) if module else None


@cache
def find_in(module: str, name: str) -> Found | None:
    """The definition of a name in a module; it is followed through imports."""
    path = module_file(module)
    for statement in reversed(statements(path) if path else []):  # the last definition counts
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return find_in(absolute(module, path, statement), alias.name)
        elif node := definition(statement, name):
            return Found(module, node)
    return None


def definition(statement: ast.stmt, name: str) -> Definition | None:
    """What a statement makes a name stand for."""
    match statement:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return statement if statement.name == name else None
        case ast.Assign(targets=[ast.Name(id=target)]) | ast.AnnAssign(target=ast.Name(id=target)):
            return statement.value if target == name else None
    return None


@cache
def statements(path: Path) -> list[ast.stmt]:
    """The statements at a module's top level, those below an `if` or a `try` too."""
    found: list[ast.stmt] = []
    waiting: list[ast.stmt] = list(reversed(ast.parse(path.read_text()).body))
    while waiting:
        statement = waiting.pop()
        found.append(statement)
        if isinstance(statement, ast.If | ast.Try):
            waiting += reversed([*statement.body, *statement.orelse])
    return found


@cache
def module_file(module: str) -> Path | None:
    """The source file of a module; its packages are not imported to find it."""
    root, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not parts:
        origin = Path(spec.origin) if spec.origin else None
        return origin if origin and origin.suffix == ".py" else None
    # Several folders where the package is a namespace, such as hydra_plugins.
    for folder in spec.submodule_search_locations or ():
        place = Path(folder).joinpath(*parts)
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                return path
    return None


def absolute(module: str, path: Path, statement: ast.ImportFrom) -> str:
    """The full name of the module that a `from ... import` names."""
    if not statement.level:
        return statement.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - statement.level + 1]
    return ".".join([*base, *filter(None, [statement.module])])
