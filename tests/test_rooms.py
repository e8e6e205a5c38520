"""The map in CONTRIBUTING: imports point one way."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "vidjax"
MAY_IMPORT = {
    "ops": set(),
    "models": {"ops"},
    "objectives": {"models", "ops"},
    "data": set(),
    "tasks": {"evaluation", "viz", "objectives", "models", "ops", "data"},
    "weights": {"tasks", "objectives", "models", "ops", "data"},
    "training": {"tasks", "objectives", "models", "ops", "data", "evaluation", "viz", "weights"},
    "aot": {"training", "tasks", "objectives", "models", "ops", "data", "evaluation", "viz", "weights"},
    "evaluation": {"objectives", "models", "ops", "data", "viz"},
    "viz": {"objectives", "models", "ops", "data"},
    "bench": {"training", "tasks", "objectives", "models", "ops", "data"},
}
FREE = {"config", "errors", "registry", "__version__"}  # no room of their own


def imported_rooms(path: pathlib.Path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module else []
        for name in names:
            if name.startswith("vidjax."):
                yield name.split(".")[1]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room):
    for path in (ROOT / room).rglob("*.py"):
        foreign = set(imported_rooms(path)) - FREE - MAY_IMPORT[room] - {room}
        assert not foreign, f"{path.name} imports {foreign}"


def test_the_data_room_never_imports_jax():
    for path in (ROOT / "data").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.split(".")[0] in ("jax", "flax", "optax")], path.name
