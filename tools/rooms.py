"""The map of the rooms in CONTRIBUTING.md, from the layers in pyproject.toml and the docstrings of the modules.

Usage: `python -m tools.rooms` prints it; `make write-docs` writes it, and a test compares.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hf_toedit"


def layers() -> list[str]:
    """Return the names of all rooms and single modules, from the command line down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    [names] = [contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers"]
    return [name.strip() for layer in names for name in re.split(r"[:|]", layer)]


def the_map() -> str:
    """Return Markdown: each room with its docstring, and each of its modules with the first sentence of its own."""
    return "\n".join(line for name in layers() for line in _room(name))


def _room(name: str) -> Iterator[str]:
    folder = PACKAGE / name
    if not folder.is_dir():
        yield f"- **`{name}.py`**: {_first_sentence(folder.with_suffix('.py'))}"
        return
    yield f"- **`{name}/`**: {_docstring(folder / '__init__.py')}"
    for file in sorted(folder.rglob("*.py")):
        if file.name != "__init__.py":
            yield f"  - `{file.relative_to(folder).with_suffix('')}`: {_first_sentence(file)}"


def _first_sentence(file: Path) -> str:
    return re.split(r"(?<=[.:!?])\s*\n\n|\n\n|(?<=\.) (?=[A-Z])", _docstring(file, whole=True), maxsplit=1)[0]


def _docstring(file: Path, whole: bool = False) -> str:
    """Return a module's docstring, one line per paragraph with `whole`, else all paragraphs on one line."""
    found = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    if not found:
        raise ValueError(f"{file} has no docstring. Say in one what lives there.")
    paragraphs = [" ".join(paragraph.split()) for paragraph in found.split("\n\n")]
    return ("\n\n" if whole else " ").join(paragraphs)


if __name__ == "__main__":
    print(the_map())  # noqa: T201
