"""The plan of docs/architecture.md, asserted from the syntax trees.

Each check is a plain function from sources to sentences, so that the tests below can also feed it an offender.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lstmcast
from lstmcast.family import Family
from lstmcast.recipes.listing import FAMILIES

ROOT = Path(__file__).parents[1]
PLAN = "the plan is drawn in docs/architecture.md"

# The floors, lowest first; rooms on one floor do not know each other. A room that is a folder may import within itself
# in any direction that leaves no circle; recipes, verbs and members of a family may not.
BASE = ("errors yaml_text", "config outcome family atomic process masking", "layers", "origins")
DATA = (
    "findings counting",
    "database parquet units room columnar",
    "sources database_table shelf",
    "decoding marks",
    "blocks",
    "dialect",
    "calendar cells",
    "styles epochs spacing",
    "clock",
    "clock_inference schema moments",
    "surroundings",
    "frame numbers rows journey column_names holidays lineage",
    "categories time_column id_column panel regrid grid doubled tabular",
    "columns gathering gaps plain",
    "statics whole excerpt oddities ledger calendar_features aggregates",
    "opening asked",
    "stream",
    "roads",
    "table",
    "arrays ahead",
    "survey",
    "reader",
    "windows writer relatives",
)
NET = (
    "architecture masked weights draws",
    "smoothing standing",
    "cells rules transforms bases heads",
    "outward normalise relative",
    "homeward",
    "loop",
    "scan",
    "depth initial",
    "stack tree absent kinship",
    "encoder attention",
    "embed encoding framing",
    "labels",
    "phase teacher",
    "decoder",
    "refusals",
    "forecaster",
    "ensemble",
)
HALL = ("artifact", "forecast", "fit", "anomaly", "ops study", "report", "recipes", "cli", "__main__")


def numbered(floors: tuple[str, ...], *, above: int, wing: str = "") -> dict[str, int]:
    return {wing + name: above + floor for floor, names in enumerate(floors) for name in names.split()}


FLOORS = {
    **numbered(BASE, above=0),
    **numbered(DATA, above=10, wing="data."),
    **numbered(NET, above=10, wing="net."),
    **numbered(HALL, above=60),
}
RECIPES_MAY_IMPORT = {"net.architecture", "net.forecaster", "net.ensemble"}
CLI_MAY_IMPORT = {"recipes", "config", "layers", "outcome", "errors", "family", "process", "masking", "origins"}
BAD_NAMES = {"util", "utils", "helper", "helpers", "common", "core", "manager", "managers", "misc"}
TERMINAL = {"sys.stdout", "sys.stderr", "typer.echo", "typer.secho", "click.echo", "rich.print"}
MACHINE_PATH = re.compile(r"(?<![\w.:/])(?:/(?:home|Users|root|work)/|[A-Z]:\\Users\\)\w")

Sources = Mapping[str, str]


@dataclass(frozen=True)
class Import:
    """``importer`` (a dotted module) imports ``imported`` in this line."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def package_sources() -> Sources:
    """Dotted module name -> source, for every file of the package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
        for path in sorted((ROOT / "lstmcast").rglob("*.py"))
    }


def family_tables() -> dict[str, Family]:
    """Package -> its family table."""
    packages = [found.name for found in pkgutil.walk_packages(lstmcast.__path__, "lstmcast.") if found.ispkg]
    return {
        package: value
        for package in packages
        for value in vars(importlib.import_module(package)).values()
        if isinstance(value, Family) and any(row.path.startswith(f"{package}.") for row in value.values())
    }


def imports_of(module: str, sources: Sources) -> list[Import]:
    """Every import that can run, in functions too; those under ``if TYPE_CHECKING`` are left out."""
    found: list[Import] = []
    for node in _running(ast.parse(sources[module])):
        if isinstance(node, ast.Import):
            found += [Import(module, alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node, sources)
            for alias in node.names:
                longer = f"{base}.{alias.name}"
                found.append(Import(module, longer if longer in sources else base, node.lineno))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            constant = node.args[0] if node.args else None
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                found.append(Import(module, constant.value, node.lineno))
    return found


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _running(other)
            continue
        yield child
        yield from _running(child)


def _absolute(module: str, node: ast.ImportFrom, sources: Sources) -> str:
    if not node.level:
        return node.module or ""
    is_package = any(name.startswith(f"{module}.") for name in sources)
    parts = module.split(".")[: len(module.split(".")) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def room(module: str) -> str | None:
    """The entry of FLOORS that holds ``module``; "" for the package and its wings' own ``__init__``."""
    inside = module.removeprefix("lstmcast").removeprefix(".")
    if inside in {"", "data", "net"}:
        return ""
    return next((name for name in FLOORS if inside == name or inside.startswith(f"{name}.")), None)


def rooms_without_a_floor(sources: Sources) -> list[str]:
    return [
        f"{module} has no place: put it on its floor at the head of tests/test_architecture.py; {PLAN}"
        for module in sources
        if room(module) is None
    ]


def wrong_imports(sources: Sources, *, members: Mapping[str, str]) -> list[str]:
    """Imports against the floors. ``members`` maps the module of a family member to its family's package."""
    return [
        f"{found}: {reason}; {PLAN}"
        for module in sources
        for found in dict.fromkeys(imports_of(module, sources))
        if (reason := _refusal(found, sources, members))
    ]


def _refusal(found: Import, sources: Sources, members: Mapping[str, str]) -> str:
    importer, imported = room(found.importer), room(found.imported)
    if found.importer.startswith("lstmcast.net.") and found.imported.split(".")[0] == "pandas":
        return "the net wing knows tensors only; bring frames into tensors in data/"
    if not found.imported.startswith("lstmcast.") or importer is None or imported is None:
        return ""
    tables = {f"lstmcast.{name}" for name in FLOORS if f"lstmcast.{name}" in set(members.values())}
    if importer == "":
        return "this __init__ stays empty, so that importing one file does not import its neighbours"
    if _wing(importer) and _wing(imported) and _wing(importer) != _wing(imported):
        return "the two wings do not know each other; let a hall room (fit, forecast, anomaly) bring them together"
    if importer == imported:
        return _refusal_within(found, members)
    if importer == "cli":
        return (
            ""
            if imported in CLI_MAY_IMPORT | {""} or found.imported in tables
            else ("cli only collects options and shows outcomes; move the work into its recipe")
        )
    if importer == "recipes" and _wing(imported) == "net" and imported not in RECIPES_MAY_IMPORT:
        return "" if found.imported in tables else "a recipe knows the net wing by its tables and its forecaster only"
    if _wing(importer) == "net" and imported == "config":
        return "the net wing knows no settings; take the plain value from Architecture"
    if imported and FLOORS[imported] >= FLOORS[importer]:
        return "a file imports only from floors below its own; move the shared part down, or hand the value in"
    return ""


def _refusal_within(found: Import, members: Mapping[str, str]) -> str:
    if found.importer in members and found.imported in members:
        return "members of a family never import each other; move the shared part to a file beside the table"
    if found.imported in members:
        return "a family's shared files do not know its members; go through the table"
    parents = {found.importer.rpartition(".")[0], found.imported.rpartition(".")[0]}
    # run is the night that strings the others together
    if parents == {"lstmcast.recipes"} and found.importer != "lstmcast.recipes.run":
        return "recipes do not import each other; move the shared part into a hall room"
    if parents == {"lstmcast.cli.verbs"}:
        return "verbs do not import each other; move the shared part into cli/options or cli/console"
    return ""


def _wing(name: str) -> str:
    return name.split(".")[0] if name.startswith(("data.", "net.")) else ""


def circles(sources: Sources) -> list[str]:
    graph = {module: {i.imported for i in imports_of(module, sources) if i.imported in sources} for module in sources}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        return [f"{circle} is a circle: move what both need to a lower floor, or hand it in as an argument"]
    return []


def torch_free(module: str, tables: Mapping[str, object]) -> bool:
    """Whether ``module`` must start without torch."""
    base = {"lstmcast", "lstmcast.data", "lstmcast.net", *(f"lstmcast.{n}" for n, f in FLOORS.items() if f < 10)}
    in_data = module.startswith("lstmcast.data.") and module != "lstmcast.data.windows"
    return module in base or module in tables or in_data


def roads_to_torch(sources: Sources, tables: Mapping[str, object]) -> list[str]:
    faults = []
    for start in (module for module in sources if torch_free(module, tables)):
        road = _road_to_torch(start, sources)
        if road:
            faults.append(
                f"{' -> '.join(road)}: {start} must start without torch, or --help and check get slow; "
                "move what needs torch to a higher floor"
            )
    return faults


def _road_to_torch(start: str, sources: Sources) -> list[str]:
    came_from = {start: ""}
    waiting = [start]
    while waiting:
        module = waiting.pop()
        for found in imports_of(module, sources):
            parts = found.imported.split(".")
            for imported in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
                if imported == "torch":
                    road = [module, "torch"]
                    while came_from[road[0]]:
                        road.insert(0, came_from[road[0]])
                    return road
                if imported in sources and imported not in came_from:
                    came_from[imported] = module
                    waiting.append(imported)
    return []


def terminal_writes(sources: Sources) -> list[str]:
    faults = []
    for module in sources.keys() - {"lstmcast.cli.console"}:
        nodes = [node for node in ast.walk(ast.parse(sources[module])) if isinstance(node, ast.expr)]
        only_asked = {id(n.value) for n in nodes if isinstance(n, ast.Attribute) and n.attr in {"isatty", "fileno"}}
        forbidden = TERMINAL - ({"sys.stdout"} if module == "lstmcast.data.writer" else set())  # the data of -o -
        faults += [
            f"{module}, line {node.lineno}: only cli/console writes to the terminal; report through on_progress, or "
            "return it in the Outcome"
            for node in nodes
            if (isinstance(node, ast.Call) and ast.unparse(node.func) == "print")
            or (isinstance(node, ast.Attribute) and ast.unparse(node) in forbidden and id(node) not in only_asked)
        ]
    return faults


def bad_names(modules: Sources) -> list[str]:
    return [
        f"{module}: a file is named after what it holds; {', '.join(sorted(words))} says nothing"
        for module in modules
        if (words := BAD_NAMES & set(re.split(r"[._]", module)))
    ]


def machine_paths(texts: Mapping[str, str]) -> list[str]:
    return [
        f"{name}, line {number}: {found.group()}… exists on one machine only; write a relative path or $HOME"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := MACHINE_PATH.search(line))
    ]


def repository_texts() -> dict[str, str]:
    """Every text file that git keeps or would keep; all files where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    names = listed.stdout.splitlines()
    if listed.returncode:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if ".venv" not in path.parts]
    texts = {}
    for name in names:
        try:
            texts[name] = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return texts


@pytest.fixture(scope="module")
def sources() -> Sources:
    return package_sources()


@pytest.fixture(scope="module")
def tables() -> dict[str, Family]:
    return family_tables()


def member_modules(tables: Mapping[str, Family]) -> dict[str, str]:
    return {row.path.partition(":")[0]: package for package, table in tables.items() for row in table.values()}


def none(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def test_every_file_has_a_floor(sources: Sources) -> None:
    none(rooms_without_a_floor(sources))


def test_files_import_only_from_floors_below_their_own(sources: Sources, tables: dict[str, Family]) -> None:
    none(wrong_imports(sources, members=member_modules(tables)))


def test_there_are_no_circles_not_even_inside_functions(sources: Sources) -> None:
    none(circles(sources))


def test_the_reading_side_has_no_road_to_torch(sources: Sources, tables: dict[str, Family]) -> None:
    none(roads_to_torch(sources, tables))


def test_no_library_brings_torch_to_the_reading_side(sources: Sources, tables: dict[str, Family]) -> None:
    modules = [module for module in sources if torch_free(module, tables)]
    program = f"import sys, importlib\nfor m in {modules}: importlib.import_module(m)\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"torch was imported by one of {modules}\n{done.stderr}"


def test_only_the_console_writes_to_the_terminal(sources: Sources) -> None:
    none(terminal_writes(sources))


def test_no_file_has_a_name_that_says_nothing(sources: Sources) -> None:
    none(bad_names(sources))


def test_every_row_of_a_family_table_leads_to_a_documented_class(tables: dict[str, Family]) -> None:
    assert tables, "no family tables were found in lstmcast"
    faults = []
    for package, table in tables.items():
        for name, row in table.items():
            try:
                loaded = table.load(name)
            except (ImportError, AttributeError) as error:
                faults.append(f"{package}: {name!r} leads to {row.path}, which cannot be loaded: {error}")
                continue
            if not inspect.isclass(loaded):
                faults.append(f"{package}: {name!r} leads to {row.path}, which is not a class")
            elif not (loaded.__dict__.get("__doc__") or "").strip():
                faults.append(f"{row.path} has no docstring; say in one line what it is, then its source")
            if not row.summary.strip():
                faults.append(f"{package}: {name!r} has no summary; `lstmcast list` shows it")
    none(faults)


def test_every_family_is_shown_by_the_verb_list(tables: dict[str, Family]) -> None:
    hidden = [package for package, table in tables.items() if table not in FAMILIES.values()]
    assert not hidden, f"add the tables of {hidden} to FAMILIES in lstmcast/recipes/listing.py"


def test_no_file_of_the_repository_names_a_path_of_one_machine() -> None:
    texts = repository_texts()
    assert "pyproject.toml" in texts
    none(machine_paths(texts))


MEMBERS = {"lstmcast.net.cells.lstm": "lstmcast.net.cells", "lstmcast.net.cells.gru": "lstmcast.net.cells"}
FILES = dict.fromkeys(
    [
        *("lstmcast", "lstmcast.errors", "lstmcast.config", "lstmcast.artifact"),
        *("lstmcast.data", *(f"lstmcast.data.{name}" for name in ("clock", "panel", "reader", "windows", "writer"))),
        *("lstmcast.net", "lstmcast.net.stack", "lstmcast.net.forecaster"),
        *("lstmcast.net.cells", *(f"lstmcast.net.cells.{name}" for name in ("cell", "lstm", "gru"))),
        *("lstmcast.forecast", "lstmcast.forecast.predict", "lstmcast.fit", "lstmcast.fit.loop"),
        *("lstmcast.recipes", "lstmcast.recipes.train", "lstmcast.recipes.predict", "lstmcast.recipes.run"),
        *("lstmcast.cli", "lstmcast.cli.app"),
        *("lstmcast.cli.verbs", "lstmcast.cli.verbs.train", "lstmcast.cli.verbs.predict"),
    ],
    "",
)


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("errors", "from lstmcast.config import resolve", "floors below"),
        ("data.clock", "from lstmcast.data.panel import Panel", "floors below"),
        ("data.windows", "from lstmcast.data import writer", "floors below"),
        ("data.reader", "from lstmcast.net.stack import Stack", "wings do not know"),
        ("net.stack", "import lstmcast.data.panel", "wings do not know"),
        ("net.stack", "import pandas as pd", "tensors only"),
        ("net.stack", "from lstmcast.config import Settings", "knows no settings"),
        ("net.cells.gru", "from lstmcast.net.cells.lstm import LSTM", "members of a family"),
        ("net.cells.gru", "from .lstm import LSTM", "members of a family"),
        ("net.cells.cell", "from lstmcast.net.cells.gru import GRU", "do not know its members"),
        ("data", "from lstmcast.data import panel", "stays empty"),
        ("artifact", "from lstmcast.forecast.predict import predict", "floors below"),
        ("forecast.predict", "def late():\n    from lstmcast.fit import loop", "floors below"),
        ("fit.loop", "from importlib import import_module\nimport_module('lstmcast.recipes.train')", "floors below"),
        ("recipes.train", "from lstmcast.recipes import predict", "recipes do not import"),
        ("recipes.train", "from lstmcast.net.stack import Stack", "tables and its forecaster"),
        ("recipes.train", "from lstmcast.recipes import run", "recipes do not import"),
        ("cli.app", "from lstmcast.data.reader import read", "move the work into its recipe"),
        ("cli.app", "from lstmcast.net.cells.lstm import LSTM", "move the work into its recipe"),
        ("cli.verbs.train", "from lstmcast.cli.verbs.predict import predict", "verbs do not import"),
    ],
)
def test_an_import_against_the_floors_is_found(module: str, source: str, reason: str) -> None:
    assert wrong_imports(FILES, members=MEMBERS) == []
    faults = wrong_imports({**FILES, f"lstmcast.{module}": source}, members=MEMBERS)
    assert len(faults) == 1
    assert reason in faults[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("data.panel", "from lstmcast.data.clock import Clock"),
        ("net.cells.gru", "from lstmcast.net.cells.cell import Cell"),
        ("fit.loop", "from lstmcast.forecast import predict\nfrom lstmcast.net.forecaster import Forecaster"),
        ("recipes.train", "from lstmcast.net.cells import CELLS\nfrom lstmcast.data import reader"),
        ("recipes.run", "from lstmcast.recipes import train, predict"),
        ("cli.verbs.train", "from lstmcast.recipes import train\nfrom lstmcast.net.cells import CELLS"),
        ("errors", "if TYPE_CHECKING:\n    from lstmcast.recipes import train"),
    ],
)
def test_an_import_along_the_floors_is_not_reported(module: str, source: str) -> None:
    assert wrong_imports({**FILES, f"lstmcast.{module}": source}, members=MEMBERS) == []


def test_a_file_outside_the_plan_is_found() -> None:
    assert "has no place" in rooms_without_a_floor({"lstmcast.data.magic": ""})[0]


def test_a_circle_inside_a_function_is_found_and_one_of_types_alone_is_not() -> None:
    late = {
        "lstmcast.fit.loop": "def f():\n    from lstmcast.fit.plan import g",
        "lstmcast.fit.plan": "import lstmcast.fit.loop",
    }
    assert "is a circle" in circles(late)[0]
    typed = {**late, "lstmcast.fit.loop": "if TYPE_CHECKING:\n    from lstmcast.fit.plan import g"}
    assert circles(typed) == []


def test_a_road_to_torch_over_another_file_is_found() -> None:
    offender = {
        "lstmcast.data.reader": "from lstmcast.data.windows import Batch",
        "lstmcast.data.windows": "from torch import nn",
    }
    assert "lstmcast.data.reader -> lstmcast.data.windows -> torch" in roads_to_torch(offender, {})[0]
    assert (
        "lstmcast.net.cells -> torch"
        in roads_to_torch({"lstmcast.net.cells": "import torch"}, MEMBERS | {"lstmcast.net.cells": ""})[0]
    )


@pytest.mark.parametrize(
    "source", ["print('done')", "import sys\nsys.stderr.write('x')", "import typer\ntyper.echo(1)"]
)
def test_a_write_to_the_terminal_is_found(source: str) -> None:
    assert terminal_writes({"lstmcast.cli.console": source}) == []
    assert "only cli/console" in terminal_writes({"lstmcast.fit.loop": source})[0]


@pytest.mark.parametrize("module", ["lstmcast.data.utils", "lstmcast.core.loop", "lstmcast.fit.loop_helpers"])
def test_a_name_that_says_nothing_is_found(module: str) -> None:
    assert bad_names({module: ""})


def test_a_path_of_one_machine_is_found() -> None:
    path = "/".join(["", "home", "anna", "sales.csv"])
    assert "line 2" in machine_paths({"README.md": f"first\nlstmcast train {path}"})[0]
    assert machine_paths({"README.md": "see https://example.org/home/anna and data/work/x"}) == []
