"""The map in CONTRIBUTING: imports point one way, and no two modules import each other."""

import ast
import collections
import graphlib
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

import vidjax

PACKAGE = pathlib.Path(vidjax.__file__).parent
MODULES = {
    ".".join(("vidjax", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
FREE = {
    "buckets",
    "config",
    "errors",
    "files",
    "progress",
    "registry",
    "_lazy",
    "__version__",
}  # every room may import these
FREE_MAY_IMPORT = {
    "buckets": set(),
    "config": {"errors", "registry"},
    "files": {"errors"},
    "progress": {"errors"},
    "_lazy": {"registry"},
    "registry": {"errors"},
    "errors": set(),
}


def map_of_rooms() -> dict[str, set[str]]:
    """Room -> the rooms that it may import, from the table in CONTRIBUTING."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| `vidjax/(\w+)` \|.*\|([^|]*)\|$", text, re.MULTILINE)
    return {room: set(re.findall(r"\w+", others)) for room, others in rows}


ROOMS = map_of_rooms()


def imported(tree: ast.AST):
    """Full names of a module's imports, including those inside functions but not those only for type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "write absolute imports"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imported(node)


def rooms_imported_by(path: pathlib.Path) -> set[str]:
    names = imported(ast.parse(path.read_text()))
    return {name.split(".")[1] for name in names if name.startswith("vidjax.")}


def module_of(name: str) -> str | None:
    """The module that an imported name is, or belongs to."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def test_the_map_names_every_room_and_has_no_cycle():
    there = {module.name for module in pkgutil.iter_modules(vidjax.__path__)}
    assert set(ROOMS) | set(FREE_MAY_IMPORT) == there
    list(graphlib.TopologicalSorter(ROOMS).static_order())


@pytest.mark.parametrize("room", [*ROOMS, *FREE_MAY_IMPORT])
def test_imports_point_one_way(room):
    allowed = ROOMS[room] | FREE if room in ROOMS else FREE_MAY_IMPORT[room]
    paths = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").is_file() else (PACKAGE / room).rglob("*.py")
    for path in paths:
        foreign = rooms_imported_by(path) - allowed - {room}
        assert not foreign, f"{path.relative_to(PACKAGE)} imports {foreign}"


def test_no_modules_import_each_other():
    graph = {}
    for module, path in MODULES.items():
        found = {module_of(name) for name in imported(ast.parse(path.read_text()))}
        graph[module] = found - {module, None}
    list(graphlib.TopologicalSorter(graph).static_order())  # a CycleError names the cycle


def test_the_data_room_never_imports_jax():
    for path in (PACKAGE / "data").rglob("*.py"):
        top = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}
        assert not top & {"jax", "flax", "optax"}, path.name


PUBLIC_ROOMS = [
    module.name for module in pkgutil.iter_modules(vidjax.__path__) if module.ispkg or not module.name.startswith("_")
]


@pytest.mark.parametrize("room", PUBLIC_ROOMS)
def test_every_room_is_reached_from_the_package_and_lists_what_is_public(room):
    assert room in dir(vidjax)
    found = getattr(vidjax, room)
    assert found.__name__ == f"vidjax.{room}"
    for name in getattr(found, "__all__", ()):
        assert name in dir(found)
        getattr(found, name)


def test_the_package_lists_its_functions():
    for name in vidjax.__all__:
        assert name in dir(vidjax)
        getattr(vidjax, name)


@pytest.mark.parametrize("room", ["viz", "bench", "aot", "data", "training"])
def test_modules_of_lazy_rooms_are_listed_and_reached(room):
    """In a new process, because an import elsewhere would make a module an attribute of its room."""
    code = (
        f"import vidjax; room = vidjax.{room}; names = [n for n in dir(room)]; assert names, names; "
        "[getattr(room, name) for name in names]; assert not hasattr(room, 'no_such_name')"
    )
    modules = {module.name for module in pkgutil.iter_modules([PACKAGE / room])}
    assert not modules & set(getattr(vidjax, room).__dict__.get("__all__", ())), "an import would hide the function"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_test_files_have_unique_names():
    """Worker processes import a test file by its bare name, so pytest does not accept two of the same name."""
    names = collections.Counter(path.name for path in pathlib.Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
