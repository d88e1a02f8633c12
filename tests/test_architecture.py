"""Rules of the house that no linter has; the arrows between packages are import-linter's."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.repository import FOLDERS, ROOT

OURS = sorted(path for package in FOLDERS for path in (ROOT / package).rglob("*.py"))
AGENT = sorted((ROOT / "elsewhere").rglob("*.py"))  # a distribution of its own
PYTHON = [
    *OURS,
    *AGENT,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "scripts").rglob("*.py")),
]

SHAPELESS_MODULES = {"utils", "util", "helpers", "helper", "common", "core", "misc"}
SHAPELESS_CLASS = re.compile("(Manager|Handler|Processor|Service)$")
# What a rule gets as an argument: the time, ids, chance.
IMPURE_CALLS = {
    "now",
    "utcnow",
    "today",
    "monotonic",
    "perf_counter",
    "uuid1",
    "uuid4",
    "token_hex",
    "token_urlsafe",
    "randint",
    "open",
    "getenv",
}
CONTAINERS = {"dict", "list", "set", "deque", "Counter", "OrderedDict", "WeakValueDictionary"}
# The brackets keep these lines from matching themselves.
FOREIGN_TO_A_REPOSITORY = {
    "a path of somebody's machine": re.compile(
        r"(?<![\w./])/([r]oot|[w]ork|[f]arm|[h]ome/\w+|[U]sers/\w+)/"
    ),
    "an address of a package registry": re.compile(
        r"https?[:]//\S+(\.whl|\.tgz|\.tar\.gz|/[s]imple(?![\w-]))|--(extra-)?[i]ndex-url\b"
    ),
    "a secret": re.compile(r"\b[s]k-(proj-)?\w{20,}|[-]----BEGIN [A-Z ]*PRIVATE KEY"),
}
MARKDOWN_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def nodes_of(paths: list[Path]) -> Iterator[tuple[Path, ast.AST]]:
    for path in paths:
        for node in ast.walk(tree_of(path)):
            yield path, node


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c` and of `c[int]`."""
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def test_every_module_is_a_noun_of_the_domain() -> None:
    assert [
        path
        for path in PYTHON
        if {path.stem, *path.relative_to(ROOT).parts[:-1]} & SHAPELESS_MODULES
    ] == []


@pytest.mark.slow
def test_every_class_is_named_for_what_it_is() -> None:
    classes = [
        place(path, node)
        for path, node in nodes_of(PYTHON)
        if isinstance(node, ast.ClassDef) and SHAPELESS_CLASS.search(node.name)
    ]
    assert classes == []


@pytest.mark.slow
def test_tests_use_the_real_thing() -> None:
    def mocks(node: ast.AST) -> bool:
        if isinstance(node, ast.Import):
            return any("mock" in alias.name.split(".") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            return "mock" in {
                *(node.module or "").split("."),
                *(alias.name for alias in node.names),
            }
        return (
            isinstance(node, ast.Attribute)
            and node.attr == "setattr"
            and last_name(node.value) == "monkeypatch"
        )

    assert [place(path, node) for path, node in nodes_of(PYTHON) if mocks(node)] == []


@pytest.mark.slow
def test_no_module_keeps_state() -> None:
    """An empty container at module level is there to be filled; `global` is there to be changed.
    Filled tables are fine.
    """

    def starts_empty(value: ast.expr | None) -> bool:
        if isinstance(value, ast.Call):
            name = last_name(value.func)
            return name == "defaultdict" or (name in CONTAINERS and not value.args)
        return (isinstance(value, ast.Dict) and not value.keys) or (
            isinstance(value, ast.List) and not value.elts
        )

    kept = [place(path, node) for path, node in nodes_of(OURS) if isinstance(node, ast.Global)]
    for path in OURS:
        for node in tree_of(path).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and starts_empty(node.value):
                kept.append(place(path, node))
    assert kept == []


def test_rules_are_told_the_time_ids_and_chance() -> None:
    domain = [path for path in OURS if path.is_relative_to(ROOT / "domain")]
    impure = [
        place(path, node)
        for path, node in nodes_of(domain)
        if isinstance(node, ast.Call) and last_name(node.func) in IMPURE_CALLS
    ]
    assert impure == []


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def has_another(node: ast.AST, kinds: type[ast.AST] | tuple[type[ast.AST], ...]) -> bool:
    return any(isinstance(inner, kinds) for inner in ast.walk(node) if inner is not node)


@pytest.mark.slow
def test_no_expression_is_read_from_the_inside_out() -> None:
    """No comprehension stands inside a comprehension, no condition inside a condition."""
    dense: list[str] = []
    for path, node in nodes_of([*OURS, *AGENT, *sorted((ROOT / "tests").rglob("*.py"))]):
        for kinds in (COMPREHENSIONS, ast.IfExp):
            if isinstance(node, kinds) and has_another(node, kinds):
                dense.append(place(path, node))
    assert dense == []


def test_the_first_line_of_a_docstring_says_what_it_is_about() -> None:
    """The rest stands apart from it, and none speaks of a page that readers do not have."""
    long: list[str] = []
    for path, node in nodes_of([*OURS, *AGENT]):
        text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        lines = (text or "").splitlines()
        if (len(lines) > 1 and lines[1]) or "the contract's" in (text or ""):
            long.append(place(path, node))
    assert long == []


def test_no_two_public_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in OURS:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(place(path, node))
    assert [places for places in found.values() if len(places) > 1] == []


def test_no_two_files_of_tests_have_one_name() -> None:
    """Tests are no packages: of two of one name pytest collects the first alone."""
    counted = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in counted.items() if count > 1] == []


def repository_files() -> list[Path]:
    """What git tracks or would, were it added."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(
            listing, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: what belongs to the repository is unknown")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("what", FOREIGN_TO_A_REPOSITORY)
def test_no_file_contains(what: str) -> None:
    found: list[str] = []
    for path in repository_files():
        text = path.read_bytes().decode(errors="replace")
        found += [
            f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            for match in FOREIGN_TO_A_REPOSITORY[what].finditer(text)
        ]
    assert found == []


def test_links_between_pages_lead_somewhere() -> None:
    pages = [path for path in repository_files() if path.suffix == ".md"]
    links = [(page, link) for page in pages for link in MARKDOWN_LINK.findall(page.read_text())]
    assert [
        f"{page.relative_to(ROOT)}: {link}"
        for page, link in links
        if not (page.parent / link).exists()
    ] == []
