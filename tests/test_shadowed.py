"""Somebody else's `graph`, `server`, ... on sys.path is named before it is imported."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from server.shadowed import HOUSE, PACKAGES, Shadow, shadowed_packages


def start_with(*python_path: Path) -> subprocess.CompletedProcess[str]:
    """The check as scripts/run makes it, with these folders on sys.path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, python_path))}
    check = [sys.executable, "-P", str(HOUSE / "server" / "shadowed.py")]
    return subprocess.run(check, env=environment, cwd=HOUSE.parent, capture_output=True, text=True, check=False)


def package(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    return folder / name


def test_every_package_of_the_project_is_looked_for() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    assert list(PACKAGES) == project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_ours_alone_are_no_shadows() -> None:
    started = start_with(HOUSE)
    assert (started.returncode, started.stderr) == (0, "")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_before_ours_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    other = package(tmp_path, name)
    started = start_with(tmp_path, HOUSE)
    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert line.startswith(f"Two modules are called {name!r}: ours, {HOUSE / name}, and {other}.")


def test_a_module_of_one_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "nodes.py").touch()
    assert shadowed_packages([str(tmp_path), str(HOUSE)]) == [Shadow("nodes", HOUSE / "nodes", tmp_path / "nodes.py")]


def test_a_package_after_ours_is_named_for_its_owner_would_get_ours(tmp_path: Path) -> None:
    package(tmp_path, "graph")
    assert shadowed_packages([str(HOUSE), str(tmp_path)]) == [Shadow("graph", HOUSE / "graph", tmp_path / "graph")]


def test_each_place_is_named_once(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        package(tmp_path / folder, "domain")
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert [shadow.other.parent.name for shadow in shadowed_packages([first, second, first])] == ["first", "second"]


def test_a_folder_without_init_is_no_package_and_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    assert shadowed_packages([str(tmp_path), str(HOUSE)]) == []


def test_our_own_folder_by_another_name_is_ours(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(HOUSE, target_is_directory=True)
    assert shadowed_packages([str(tmp_path / "link"), str(HOUSE)]) == []


def test_path_entries_that_do_not_exist_are_passed_over(tmp_path: Path) -> None:
    assert shadowed_packages([str(tmp_path / "gone"), str(tmp_path / "gone.zip")]) == []
