"""The architecture as a test: who may import whom, no cycles, sizes, docstrings.

The table is DESIGN's section 3 with the decision records applied; ``ARCHITECTURE.md`` explains it.
"""

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "cutaway"

BASE = {"errors", "files"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "oci": set(),
    "linux": set(),
    "steps": set(),
    "security": {"oci", "linux.abi"},
    "cgroups": {"oci", "linux", "steps"},
    "runtime": {"oci", "linux", "steps", "security", "cgroups"},
    "shim": {"oci", "linux", "steps", "cgroups", "runtime"},
    "images": {"oci", "linux", "steps"},
    "build": {"oci", "images"},
    "plugins": set(),
    "network": {"oci", "linux", "steps", "plugins"},
    "volumes": {"oci", "linux", "steps", "cgroups", "plugins"},
    "model": {"oci"},
    "engine": {
        "oci", "linux", "steps", "security", "cgroups", "runtime", "shim", "images", "build",
        "network", "volumes", "model", "plugins",
    },
    "api": {"oci", "model"},
    "client": {"oci"},
    "cli": {"oci", "client", "build.dockerfile.dockerignore"},
    "nodes": {"linux", "network.namespace", "client"},
    "daemon": {
        "engine", "api", "images", "network", "volumes", "shim", "model", "linux", "build",
        "plugins",
    },
}  # fmt: skip

STDLIB_ONLY = {"oci", "linux", "steps", "security", "cgroups", "runtime", "shim"}
ASYNCIO_IN = {"api", "engine", "build", "daemon"}
THREADS_NOT_IN = {"linux", "runtime", "shim"}
PURE_OF_KERNEL = ("runtime.plan", "runtime.validate", "runtime.lifecycle")

FUNCTION_LIMIT = 60
MODULE_LIMIT = 500
DATA_TABLES = {"linux/syscall_numbers.py", "security/syscalls.py"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = list(path.relative_to(SOURCE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        yield ".".join(parts), path


def imported_names(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield (dotted name, line, only for type checking) of every import in a file."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno, id(node) in typing_only


def package_of(module: str) -> str:
    return module.split(".")[0]


def allowed(package: str, target: str) -> bool:
    if package_of(target) in BASE or package_of(target) in {package, "__version__"}:
        return True
    return any(
        target == entry or target.startswith(entry + ".")
        for entry in MAY_IMPORT.get(package, set())
    )


def test_every_import_is_in_the_table() -> None:
    wrong = []
    for module, path in modules():
        package = package_of(module)
        if not package:
            continue
        for name, line, _ in imported_names(path):
            if name.startswith("cutaway.") and not allowed(package, name.removeprefix("cutaway.")):
                wrong.append(f"{path.relative_to(SOURCE)}:{line} imports {name}")
    assert wrong == []


def test_pure_modules_take_only_numbers_from_the_kernel() -> None:
    wrong = []
    for module, path in modules():
        if not (module.startswith("security") or module.startswith(PURE_OF_KERNEL)):
            continue
        for name, line, _ in imported_names(path):
            if name.startswith("cutaway.linux") and not name.startswith("cutaway.linux.abi"):
                wrong.append(f"{path.relative_to(SOURCE)}:{line} imports {name}")
    assert wrong == []


def test_the_lower_half_uses_the_standard_library_only() -> None:
    wrong = []
    for module, path in modules():
        if package_of(module) not in STDLIB_ONLY:
            continue
        for name, line, _ in imported_names(path):
            top = name.split(".")[0]
            if top != "cutaway" and top not in sys.stdlib_module_names:
                wrong.append(f"{path.relative_to(SOURCE)}:{line} imports {name}")
    assert wrong == []


def test_asyncio_and_threads_stay_where_they_belong() -> None:
    wrong = []
    for module, path in modules():
        package = package_of(module)
        for name, line, _ in imported_names(path):
            top = name.split(".")[0]
            asyncio_here = package in ASYNCIO_IN or module.startswith("network.resolver")
            if top == "asyncio" and not asyncio_here:
                wrong.append(f"{path.relative_to(SOURCE)}:{line} imports asyncio")
            if top in {"threading", "concurrent"} and package in THREADS_NOT_IN:
                wrong.append(f"{path.relative_to(SOURCE)}:{line} imports {name}")
    assert wrong == []


def test_only_the_linux_package_loads_libc_or_opens_netlink() -> None:
    wrong = []
    for module, path in modules():
        if package_of(module) == "linux":
            continue
        text = path.read_text()
        for door in ("ctypes", "AF_NETLINK"):
            if door in text:
                wrong.append(f"{path.relative_to(SOURCE)} mentions {door}")
    assert wrong == []


def import_graph() -> dict[str, set[str]]:
    known = {name for name, _ in modules()}
    graph: dict[str, set[str]] = {}
    for module, path in modules():
        edges = graph.setdefault(module, set())
        for name, _, typing_only in imported_names(path):
            if typing_only or not name.startswith("cutaway"):
                continue
            target = name.removeprefix("cutaway").lstrip(".")
            while target and target not in known:
                target = target.rpartition(".")[0]
            if target and target != module:
                edges.add(target)
    return graph


def test_the_import_graph_has_no_cycle() -> None:
    graph = import_graph()
    # A package's __init__ re-exports its modules; importing a sibling passes through it without
    # depending on it, so only edges between modules that do something count.
    packages = {name for name, path in modules() if path.name == "__init__.py"}
    done: set[str] = set()
    trail: list[str] = []

    def visit(module: str) -> None:
        if module in trail:
            pytest.fail("import cycle: " + " -> ".join([*trail[trail.index(module) :], module]))
        if module in done or module in packages:
            return
        trail.append(module)
        for target in sorted(graph[module]):
            visit(target)
        trail.pop()
        done.add(module)

    for module in graph:
        visit(module)


def test_functions_and_modules_keep_their_size() -> None:
    wrong = []
    for _, path in modules():
        name = str(path.relative_to(SOURCE))
        text = path.read_text()
        if text.count("\n") > MODULE_LIMIT and name not in DATA_TABLES:
            wrong.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > FUNCTION_LIMIT:
                    wrong.append(f"{name}:{node.lineno} {node.name}: {length} lines")
    assert wrong == []


def test_at_most_four_positional_parameters() -> None:
    wrong = []
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [a.arg for a in [*node.args.posonlyargs, *node.args.args]]
                names = [n for n in names if n not in {"self", "cls"}]
                if len(names) > 4 and path.parent.name != "linux":
                    wrong.append(f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}")
    assert wrong == []


def test_every_package_teaches_its_lesson() -> None:
    wrong = []
    for module, path in modules():
        lesson = ast.get_docstring(ast.parse(path.read_text()))
        if not lesson:
            wrong.append(f"{path.relative_to(SOURCE)} has no docstring")
        elif path.name == "__init__.py" and module and "." not in module:
            wrong.extend(
                f"{path.relative_to(SOURCE)} does not say {word!r}"
                for word in ("Docker's counterpart", "Read")
                if word not in lesson
            )
    assert wrong == []


def test_names_that_say_nothing_are_not_used() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [m for m, _ in modules() if banned & set(m.split("."))] == []


@cache
def paths_of_the_project() -> list[str]:
    outside = (".git", ".venv", ".cache")
    paths = [p for top in ROOT.iterdir() if top.name not in outside for p in (top, *top.rglob("*"))]
    return [f"/{p.relative_to(ROOT)}{'/' if p.is_dir() else ''}" for p in paths]


def missing_paths(text: str, quote: str, ends: str) -> list[str]:
    """Return what is quoted as a path and is none, from the root or by its end: ``bridge.py``."""
    path = rf"{quote}(?:\.\./)*([\w.-]+(?:/[\w.-]+)*(?:{ends})){quote}"
    known = paths_of_the_project()
    return [n for n in re.findall(path, text) if not any(p.endswith(f"/{n}") for p in known)]


def test_every_path_that_a_page_names_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(pages) > 5
    named = {page.name: missing_paths(page.read_text(), "`", r"\.py|\.md|/") for page in pages}
    assert {page: missing for page, missing in named.items() if missing} == {}


def test_every_file_that_a_lesson_names_is_there() -> None:
    lessons = {name: ast.get_docstring(ast.parse(path.read_text())) for name, path in modules()}
    named = {name: missing_paths(lesson or "", "``", r"\.py") for name, lesson in lessons.items()}
    assert {name: missing for name, missing in named.items() if missing} == {}


def test_pytest_passes_over_no_directory_of_tests(pytestconfig: pytest.Config) -> None:
    """Left alone it ignores those named ``build`` or ``dist``, and says nothing."""
    passed_over = pytestconfig.getini("norecursedirs")
    parents = {parent for test in (ROOT / "tests").rglob("test_*.py") for parent in test.parents}
    names = {directory.name for directory in parents if ROOT in directory.parents}
    assert not [n for n in names if any(fnmatch(n, pattern) for pattern in passed_over)]
