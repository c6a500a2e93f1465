"""One name for one thing: no public class, function or type alias of the package is defined in two files.

`python tests/test_names.py` prints those that are.
"""

import ast
import builtins
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "bptt"
TWINS = {"diagnose", "explain", "explore", "train"}  # a command and the function it calls


def names_in(tree: ast.Module) -> Iterator[str]:
    """The public classes, functions and type aliases that a file defines at its top level."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_type(value):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")):
                yield name


def is_type(value: ast.expr) -> bool:
    """Whether an expression is a type, such as Literal["a", "b"], dict[str, int] or int | Tensor."""
    match value:
        case ast.Subscript(value=ast.Name(id=name)):
            return is_class(name)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return any(
                is_type(side) or (isinstance(side, ast.Name) and is_class(side.id)) for side in (left, right)
            )
    return False


def is_class(name: str) -> bool:
    """Whether a name is a class's by its letters: Tensor, int; not TABLE, found."""
    return (name[0].isupper() and not name.isupper()) or isinstance(getattr(builtins, name, None), type)


def defined_twice() -> dict[str, list[str]]:
    """The files that define each public name which more than one defines."""
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in dict.fromkeys(names_in(ast.parse(path.read_text(encoding="utf-8")))):
            if not name.startswith("_"):
                places[name].append(path.relative_to(PACKAGE).as_posix())
    return {name: files for name, files in sorted(places.items()) if len(files) > 1}


def test_no_name_is_defined_in_two_files():
    twice = defined_twice()
    assert {name: twice[name] for name in twice.keys() - TWINS} == {}


def test_classes_functions_and_types_are_names():
    source = """
        class A: ...
        def b(): ...
        C = Literal["x", "y"]
        D = int | Tensor
        E: TypeAlias = str
        LIMIT = 3
        TABLE = {"a": 1}
        found = LIST[0]
    """
    assert list(names_in(ast.parse(textwrap.dedent(source)))) == ["A", "b", "C", "D", "E"]


if __name__ == "__main__":
    for name, files in defined_twice().items():
        print(f"{name:22} {'  '.join(files)}")
