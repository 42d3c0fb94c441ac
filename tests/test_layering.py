"""The layout that reading rests on: layers, cycles, sizes, names, and the README's tree."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ["sam_train", "data_engine", "tools"]  # a package sees itself and those before it
NAMELESS = {"utils", "helpers", "common", "misc", "base", "manager"}


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def import_graph() -> dict[str, set[str]]:
    """For each of our modules, those of our modules that it imports."""
    files = {module_name(path): path for path in python_files(*LAYERS)}
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names = list(imported_names(path))
        # `from a.b import c` imports the module a.b.c if there is one, else c of the module a.b.
        targets = {name if name in files else name.rpartition(".")[0] for name in names}
        graph[module] = targets & files.keys()
    return graph


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_only_the_layers_below_it(package: str) -> None:
    above = LAYERS[LAYERS.index(package) + 1 :]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files(package)
        for name in imported_names(path)
        if name.partition(".")[0] in above
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(import_graph()).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in python_files(*LAYERS, "tests")}
    assert {str(path): length for path, length in lengths.items() if length > 300} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in python_files(*LAYERS, "tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 50
    ]
    assert long == []


def test_every_module_is_named_after_what_it_holds() -> None:
    wrong = [path for path in python_files(*LAYERS, "tests") if path.stem in NAMELESS]
    assert wrong == []


def test_the_readme_is_short_and_its_tree_names_every_folder() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    named = set(re.findall(r"(\w+)/", "\n".join(lines)))
    folders = {path.parent.name for path in python_files(*LAYERS)}

    assert len(lines) < 150
    assert folders - named == set()
