"""The floors of the house, held by reading the imports: who may import whom, who stays light, what nobody calls."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from landscape.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent

# A room is a module of landscape/ or a folder of them. It imports its own floor and those below, without cycles.
FLOORS = {
    0: "errors units launch spec streams files results theory statistics",  # words, units, files
    1: "data models params checkpoint fitting foreign published safe_load pickle_scan stubs shipped "  # data and nets
    "borrow losses memory capture distributed",
    2: "arguments attacks evaluation objective shared replica curvature geometry surfaces",  # mathematics
    3: "training",
    4: "plots report",  # drawing
    5: "analyses rechecks checkup",
    6: "options terminal commands cli __main__ figures reproduction",  # the roof
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}

# What a room may import beside the floors below it, in a function only, and why.
LAZILY = {
    ("results", "plots"),  # result.plot() in a notebook
}
TORCHLESS = {*FLOORS[0].split(), *FLOORS[4].split(), "figures"}
LIGHT = {"cli", "options", "terminal", "errors", "units", "launch", "spec"}  # `landscape --help` answers in 0.1 s
HEARS_PICKLES = "landscape/distributed/bond.py"  # of the other processes of its own run, as torch.distributed does
MAY_READ_PICKLES = {"landscape/safe_load.py", "landscape/training/resume.py"}


@dataclass(frozen=True)
class Import:
    """One import: of which module, at which line, and whether it waits for a function to be called."""

    target: str
    line: int
    lazy: bool


@cache
def sources() -> dict[str, Path]:
    """Return the files of the package by the names that they are imported by."""
    found = {}
    for folder, prefix in (
        ("landscape", "landscape"),
        ("analyses", "landscape.analyses"),
        ("figures", "landscape.figures"),
    ):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([prefix, *parts]).removesuffix(".__init__")] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def walk(node: ast.AST, *, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield the nodes under one, each with whether it waits for a function to be called; type-checking is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child, lazy
        yield from walk(child, lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Return what a module imports, by full names: of `from landscape import units`, `landscape.units`."""
    path = sources()[module]
    found = []
    for node, lazy in walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + (path.name == "__init__.py")]
                base = ".".join([*parts, base] if base else parts)
            names = [f"{base}.{alias.name}" for alias in node.names]
            found += [Import(name if name in sources() else base, node.lineno, lazy) for name in names]
    return tuple(found)


def room(module: str) -> str:
    """Return the room of a module of ours: `curvature` of landscape.curvature.lanczos; "" is landscape/__init__."""
    return [*module.split("."), ""][1]


def ours(name: str) -> bool:
    return name.split(".")[0] == "landscape"


def place(module: str, line: int) -> str:
    return f"{sources()[module].relative_to(ROOT)}:{line}"


def loaded_by(module: str, seen: set[str] | None = None) -> set[str]:
    """Return every name that importing a module imports, ours followed through, parents included."""
    seen = set() if seen is None else seen
    parts = module.split(".")
    for name in (".".join(parts[: i + 1]) for i in range(len(parts))):
        if name in seen:
            continue
        seen.add(name)
        if name in sources():
            for found in imports(name):
                if not found.lazy:
                    loaded_by(found.target, seen)
    return seen


def test_every_module_has_a_floor() -> None:
    homeless = {room(module) for module in sources()} - set(FLOOR) - {""}
    assert not homeless, f"name the floor of {sorted(homeless)} in FLOORS"


def test_a_module_imports_its_own_floor_and_those_below() -> None:
    wrong = []
    for module in sources():
        here = room(module)
        for found in imports(module):
            there = room(found.target)
            if not ours(found.target) or there in ("", here) or (found.lazy and (here, there) in LAZILY):
                continue
            if here == "":
                allowed = found.lazy  # the lazy names of landscape/__init__.py reach everything
            elif here == "figures":
                allowed = FLOOR[there] == 0 or there == "plots"
            elif here in ("cli", "options", "terminal"):
                allowed = found.lazy or there in LIGHT
            elif here in ("plots", "report"):
                allowed = FLOOR[there] in (0, 4)
            elif here == "analyses":
                allowed = FLOOR[there] <= 3
            else:
                allowed = FLOOR[there] <= FLOOR[here]
            if not allowed:
                wrong.append(f"{place(module, found.line)} imports {found.target}")
    assert not wrong, "\n".join(wrong)


def test_rooms_import_one_another_without_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for module in sources():
        for found in imports(module):
            if ours(found.target) and not found.lazy and room(found.target) not in ("", room(module)):
                graph.setdefault(room(module), set()).add(room(found.target))
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_analyses_and_figures_import_the_package_by_its_full_name() -> None:
    """Relative imports from there work installed, but neither mypy nor `python figures/x.py` can follow them."""
    wrong = []
    for module, path in sources().items():
        if room(module) in ("analyses", "figures"):
            wrong += [
                f"{place(module, node.lineno)}: from {'.' * node.level}{node.module or ''} import ..."
                for node in ast.walk(tree(path))
                if isinstance(node, ast.ImportFrom) and node.level
            ]
    assert not wrong, "\n".join(wrong)


def test_words_files_and_drawing_never_import_torch() -> None:
    wrong = []
    for module in sources():
        if room(module) in TORCHLESS:
            wrong += [place(module, found.line) for found in imports(module) if found.target.split(".")[0] == "torch"]
            if "torch" in {name.split(".")[0] for name in loaded_by(module)}:
                wrong.append(f"{module}, through what it imports")
    assert not wrong, "\n".join(wrong)


ROOF = ["landscape", "landscape.options", "landscape.terminal", "landscape.cli"]


@pytest.mark.parametrize("module", [*ROOF, *(f"landscape.commands.{name}" for name in COMMANDS)])
def test_the_roof_loads_neither_torch_nor_h5py(module: str) -> None:
    assert module in sources()
    assert not {name.split(".")[0] for name in loaded_by(module)} & {"torch", "h5py", "scipy", "matplotlib"}


def test_help_loads_neither_torch_nor_h5py() -> None:
    code = (
        "import contextlib, io, json, sys\n"
        "from landscape.cli import main\n"
        "sys.argv = ['landscape', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "heavy = [name for name in ('torch', 'h5py', 'scipy', 'matplotlib') if name in sys.modules]\n"
        "json.dump([text.getvalue(), heavy], sys.stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    text, heavy = json.loads(done.stdout)
    assert "Usage:" in text
    assert "hessian" in text
    assert heavy == []


@pytest.mark.parametrize("folder", ["landscape", "analyses", "figures", "benchmarks"])
def test_a_file_is_read_in_one_sitting(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert not long


def calls(module: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls in a module with the dotted names that they call."""
    for node in ast.walk(tree(sources()[module])):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_the_library_never_prints() -> None:
    """What a person reads goes through landscape.terminal."""
    library = [module for module in sources() if room(module) not in ("cli", "terminal", "figures")]
    assert not [place(module, node.lineno) for module in library for name, node in calls(module) if name == "print"]


def test_nobody_catches_everything_unnamed() -> None:
    assert not [
        place(module, node.lineno)
        for module, path in sources().items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


def test_files_are_read_without_running_their_code() -> None:
    """torch.load reads weights only, where that is its job; nothing else is ever unpickled as it is."""
    wrong = []
    for module, path in sources().items():
        for name, node in calls(module):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if (
                name in ("pickle.load", "pickle.Unpickler", "joblib.load", "torch.jit.load")
                or (name == "pickle.loads" and str(path.relative_to(ROOT)) != HEARS_PICKLES)
                or given.get("allow_pickle") == "True"
                or (name == "torch.load" and given.get("weights_only") != "True")
                or (name == "torch.load" and str(path.relative_to(ROOT)) not in MAY_READ_PICKLES)
            ):
                wrong.append(f"{place(module, node.lineno)} calls {name}")
    assert not wrong, "\n".join(wrong)


def test_the_global_random_state_is_left_alone() -> None:
    """Seeding happens inside torch.random.fork_rng alone, which puts the caller's state back."""
    seeders = (
        "torch.manual_seed",
        "torch.random.manual_seed",
        "torch.cuda.manual_seed_all",
        "np.random.seed",
        "random.seed",
    )
    wrong = []
    for module, path in sources().items():
        forked = {
            id(inner)
            for node in ast.walk(tree(path))
            if isinstance(node, ast.With) and any("fork_rng(" in ast.unparse(item.context_expr) for item in node.items)
            for inner in ast.walk(node)
        }
        wrong += [
            f"{place(module, node.lineno)} calls {name}"
            for name, node in calls(module)
            if name in seeders and id(node) not in forked
        ]
    assert not wrong, "\n".join(wrong)
