"""The notebooks run from top to bottom, and print what they are kept with.

After a change that is meant, `.venv/bin/python -m tests.test_notebooks` runs them and keeps what
they print now.
"""

import ast
import re
from pathlib import Path
from typing import Any, cast

import nbformat
import pytest
from nbclient import NotebookClient

from tests.repository import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS_A_CELL = 120
MOST_IMPORTS = 6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_prints_what_it_is_kept_with(path: Path) -> None:
    assert outputs(executed(path)) == outputs(read(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_imports_little_and_shows_without_a_network(path: Path) -> None:
    cells = outputs(read(path))
    source = "\n".join(code for code, _ in cells)
    tree = compile(source, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(imports) <= MOST_IMPORTS
    shown = str([output for _, output in cells])
    assert "<svg" in shown
    assert not re.search(r"<img|<script|<link|href|src=|url\(http", shown)


def read(path: Path) -> Any:
    return cast(Any, nbformat).read(path, as_version=4)


def executed(path: Path) -> Any:
    """In a kernel of this interpreter, in the notebook's own folder."""
    notebook = read(path)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        resources=resources,
        coalesce_streams=True,
    ).execute()
    return notebook


def outputs(notebook: Any) -> list[tuple[str, object]]:
    """What each cell of code shows, with its source: a difference then says where."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.source, _shown(cell)) for cell in cells]


def _shown(cell: Any) -> list[object]:
    return [output.get("text") or output.get("data") or output for output in cell.outputs]


def keep(path: Path) -> None:
    notebook = executed(path)
    for cell in notebook.cells:
        cell.metadata.clear()  # when it ran
    notebook.metadata.language_info = {"name": "python"}  # its version is anybody's
    cast(Any, nbformat).write(notebook, path)


if __name__ == "__main__":
    for each in NOTEBOOKS:
        keep(each)
