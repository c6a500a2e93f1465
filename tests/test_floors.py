"""Imports point down only: a room may import from its own floor or a lower one, and never in a circle."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "bptt"

FLOORS = {
    "equations": 0,
    "cuda": 0,
    "errors": 1,
    "printable": 1,
    "terminal": 1,
    "files": 1,
    "user_functions": 1,
    "checks": 1,
    "trees": 1,
    "dropout": 1,
    "losses": 1,
    "packing": 1,
    "walks": 1,
    "cell": 2,
    "recurrent_weights": 2,
    "recurrent": 2,
    "modules": 2,
    "step_cells": 2,
    "convert": 2,
    "networks": 2,
    "forecast_model": 2,
    "reach": 2,
    "export": 3,
    "insight": 3,
    "speed": 3,
    "training": 3,
    "peers": 4,
    "report": 4,
    "page": 4,
    "runs": 5,
    "sklearn": 6,
    "commands": 6,
    "cli": 6,
    "__main__": 6,
}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def rooms_imported(path: Path) -> set[str]:
    """The dotted names below bptt that a file imports, wherever in it the import stands."""
    inside = list(path.relative_to(PACKAGE).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("bptt.") for a in node.names if a.name.startswith("bptt.")}
        if isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level] if node.level else []
            module = (node.module or "").split(".") if node.module else []
            if not node.level:
                if module[:1] != ["bptt"]:
                    continue
                module = module[1:]
            base = [*above, *module]
            for alias in node.names:
                whole = PACKAGE.joinpath(*base, alias.name)
                is_room = whole.with_suffix(".py").exists() or whole.is_dir()
                found.add(".".join([*base, alias.name] if is_room else base))
    return found - {""}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in rooms_imported(path):
        other = name.split(".")[0]
        assert other in FLOORS, f"{path.name} imports {name}, which stands on no floor"
        assert FLOORS[other] <= FLOORS[room], (
            f"{room} (floor {FLOORS[room]}) imports {name} (floor {FLOORS[other]}): imports point down only"
        )


def test_no_circles():
    imports = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): rooms_imported(path) for path in FILES}

    clear = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"a circle of imports: {' -> '.join([*trail, name])}"
        if name not in clear:
            for other in imports.get(name, ()):
                visit(other, (*trail, name))
            clear.add(name)

    for name in imports:
        visit(name, ())


def test_every_file_has_a_floor():
    for path in FILES:
        inside = path.relative_to(PACKAGE)
        assert inside.with_suffix("").parts[0] in FLOORS, f"{inside} stands on no floor"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.relative_to(PACKAGE).as_posix()
)
def test_every_folder_says_what_it_holds(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    sentences = [one for one in re.split(r"[.:?]\s+", text) if one]
    assert len(sentences) >= 2, f"{path.parent.name}: what lives here, what comes in and goes out, where to start"
