"""What an entry names is found, with what lies beside it; where two are meant, none is taken."""

import importlib
import sys
from pathlib import Path

import pytest

from hitl_orchestrator.nodes.agents import Agent
from tests.plugging.folders import describe_agent, load, refuse, work, write
from tests.processes import AGENTS


def ids(agents: list[Agent]) -> list[str]:
    return [agent.capability.capabilityId for agent in agents]


# One entry


def test_a_module_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **{"strangers_package/agents": describe_agent("mine")})
    monkeypatch.syspath_prepend(tmp_path)
    assert ids(load("strangers_package.agents:agent")) == ["mine"]


def test_a_file_is_the_module_that_python_calls_it(tmp_path: Path) -> None:
    write(tmp_path, my_agent="class Order: ...\n" + describe_agent("mine"))
    load(f"{tmp_path}/my_agent.py:agent")
    module = importlib.import_module("my_agent")
    assert (module.__file__, module.Order.__module__) == (str(tmp_path / "my_agent.py"), "my_agent")


def test_a_relative_entry_is_found_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "far" / "away", my_agent="import words\n" + describe_agent("mine"), words="")
    monkeypatch.chdir(tmp_path / "far")
    assert ids(load("away/my_agent.py:agent")) == ["mine"]
    monkeypatch.chdir(tmp_path)
    assert ids(load("far/../far/away/my_agent.py:agent")) == ["mine"]
    assert len([name for name in sys.modules if name.endswith("my_agent")]) == 1


def test_a_file_with_two_agents_is_loaded_once(tmp_path: Path) -> None:
    text = describe_agent("one").replace("agent =", "one =") + describe_agent("agent")
    write(tmp_path, two="text = {}\n" + text.replace("lambda task: {}", "lambda task: text"))
    one, other = load(f"{tmp_path}/two.py:one", f"{tmp_path}/two.py:agent")
    assert work(one) is work(other)


def test_neighbours_are_found_when_it_is_loaded_and_when_it_runs(tmp_path: Path) -> None:
    write(
        tmp_path,
        my_agent="from nodes.draft import NAME\nimport state\n"
        "def run(task):\n    import server, nodes.late\n    return server.SAYS + nodes.late.SAYS\n"
        + describe_agent("mine", "run"),
        graph="NAME = 'graph'",
        state="",
        server="from domain import SAYS",
        **{
            "nodes/draft": "import graph\nNAME = graph.NAME",
            "nodes/late": "SAYS = ' nodes'",
            "domain/__init__": "SAYS = 'domain'",
        },
    )
    [agent] = load(f"{tmp_path}/my_agent.py:agent")
    assert work(agent) == "domain nodes"


def test_a_neighbour_goes_before_what_merely_lies_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path / "mine", my_agent="import graph\nagent = graph.agent", graph=describe_agent("a")
    )
    write(tmp_path / "theirs", graph=describe_agent("another"))
    monkeypatch.syspath_prepend(tmp_path / "theirs")
    assert ids(load(f"{tmp_path}/mine/my_agent.py:agent")) == ["a"]


@pytest.mark.parametrize("name", ["profile", "wsgiref", "nbformat"])
def test_a_neighbour_named_like_an_installed_module_is_not_found_and_the_refusal_says_so(
    name: str, tmp_path: Path
) -> None:
    write(tmp_path, my_agent=f"from {name} import AGENT", **{name: "AGENT = {}"})
    detail = refuse(lambda: load(f"{tmp_path}/my_agent.py:agent"))
    assert f"ImportError: cannot import name 'AGENT' from '{name}'" in detail
    assert f"beside the file lies a module {name}; it is not found" in detail


def test_what_is_installed_is_found_by_everybody_else(tmp_path: Path) -> None:
    write(tmp_path, my_agent=describe_agent("mine"), sndhdr="", wave="", queue="", chunk="")
    load(f"{tmp_path}/my_agent.py:agent")
    sys.modules.pop("wave", None)
    assert not str(importlib.import_module("wave").__file__).startswith(str(tmp_path))


def test_in_a_package_it_is_as_if_python_had_run_the_file(tmp_path: Path) -> None:
    package = write(
        tmp_path / "package",
        __init__="raise RuntimeError('nobody imports the package')",
        my_agent="import beside\n" + describe_agent("mine"),
        beside="",
        relative="from . import beside",
    )
    assert ids(load(f"{package}/my_agent.py:agent")) == ["mine"]
    reason = refuse(lambda: load(f"{package}/relative.py:agent"))  # that has no other way
    assert "nobody imports the package" in reason


def test_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path / "there", my_agent="import beside\n" + describe_agent("mine"), beside="")
    (tmp_path / "link.py").symlink_to("there/my_agent.py")
    load(f"{tmp_path}/link.py:agent")
    assert importlib.import_module("my_agent").__file__ == str(tmp_path / "there" / "my_agent.py")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "AttributeError: module"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def agent(:", "SyntaxError: invalid syntax (agent.py, line 1)"),
        ("raise RuntimeError('on\\ntwo lines')", "RuntimeError: on two lines"),
        ("import sys; sys.exit('done')", "SystemExit: done"),
        ("agent = 5", "is no mapping that describes an agent, but of type int"),
        ("agent = {}", "`run` must be a function"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named_with_the_reason(
    text: str, reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path, agent=text) / "agent.py"
    detail = refuse(lambda: load(f"{path}:agent"))
    assert str(path) in detail
    assert reason in detail


def test_a_file_that_failed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path, agent="raise RuntimeError") / "agent.py"
    refuse(lambda: load(f"{path}:agent"))
    path.write_text((AGENTS / "hangs.py").read_text())
    assert ids(load(f"{path}:agent")) == ["hangs.forever"]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "agent",
        ":agent",
        "package.module:",
        "no/such/file.py:agent",
        "no.such.module:agent",
        ".:agent",
    ],
)
def test_an_entry_that_names_nothing_is_named(entry: str) -> None:
    assert entry in refuse(lambda: load(entry))


@pytest.mark.parametrize("stem", ["json", "calendar", "httpx", "nbformat", "__main__"])
def test_a_file_named_like_an_installed_module_is_refused(stem: str, tmp_path: Path) -> None:
    path = write(tmp_path, **{stem: describe_agent("mine")}) / f"{stem}.py"
    before = sys.modules.get(stem)
    detail = refuse(lambda: load(f"{path}:agent"))
    assert (str(path) in detail, f"`{stem}`" in detail) == (True, True)
    assert sys.modules.get(stem) is before


def test_a_file_with_a_dot_in_its_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my.agent.py").write_text(describe_agent("mine"))
    detail = refuse(lambda: load(f"{tmp_path}/my.agent.py:agent"))
    assert "my.agent.py has a dot in its name" in detail


# Two entries


def test_entries_of_one_folder_share_what_lies_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        one="import shared\n" + describe_agent("one", "lambda task: shared.text"),
        other="import shared, one\n" + describe_agent("other", "lambda task: shared.text"),
        shared="text = {}",
    )
    one, other = load(f"{tmp_path}/one.py:agent", f"{tmp_path}/other.py:agent")
    assert work(one) is work(other)


def two_folders(tmp_path: Path, **both: str) -> tuple[Path, Path]:
    """Two with the same modules, each beside an agent file of its own."""
    one = write(tmp_path / "one", **both, first=describe_agent("first"))
    other = write(tmp_path / "other", **both, second=describe_agent("second"))
    return one, other


def both_are_named(detail: str, one: Path, other: Path) -> bool:
    return str(one) in detail and str(other) in detail


@pytest.mark.parametrize("reads", ["import state\n", "def run(task):\n    import state\n"])
def test_two_modules_of_one_name_that_are_imported_are_refused(tmp_path: Path, reads: str) -> None:
    one, other = two_folders(tmp_path, state="class Order: ...")
    write(one, first="import state\n" + describe_agent("first"))
    write(other, second=reads + describe_agent("second"))
    detail = refuse(lambda: load(f"{one}/first.py:agent", f"{other}/second.py:agent"))
    assert both_are_named(detail, one / "state.py", other / "state.py"), detail
    sys.modules.pop("state")


def test_also_when_only_the_second_has_imported_its_own(tmp_path: Path) -> None:
    one, other = two_folders(tmp_path, state="class Order: ...")
    write(one, first="def run(task):\n    import state\n" + describe_agent("first"))
    write(other, second="import state\n" + describe_agent("second"))
    detail = refuse(lambda: load(f"{one}/first.py:agent", f"{other}/second.py:agent"))
    assert both_are_named(detail, one / "state.py", other / "state.py"), detail


def test_two_packages_of_one_name_are_refused_also_without_their_init(tmp_path: Path) -> None:
    one, other = two_folders(tmp_path, **{"nodes/draft": "TEXT = ''"})
    write(one, first="import nodes.draft\n" + describe_agent("first"))
    write(other, second="import nodes.draft\n" + describe_agent("second"))
    detail = refuse(lambda: load(f"{one}/first.py:agent", f"{other}/second.py:agent"))
    assert both_are_named(detail, one / "nodes", other / "nodes"), detail


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one", my_agent=describe_agent("one")) / "my_agent.py"
    other = write(tmp_path / "other", my_agent=describe_agent("other")) / "my_agent.py"
    detail = refuse(lambda: load(f"{one}:agent", f"{other}:agent"))
    assert both_are_named(detail, one, other), detail


def test_what_neither_imports_may_bear_one_name(tmp_path: Path) -> None:
    one, other = two_folders(
        tmp_path, **{"setup": "", "conftest": "", "main": "", "tests/__init__": ""}
    )
    agents = load(f"{one}/first.py:agent", f"{other}/second.py:agent")
    assert ids(agents) == ["first", "second"]


def test_of_two_that_are_imported_late_none_is_taken(tmp_path: Path) -> None:
    one, other = two_folders(tmp_path, words="SAYS = __file__")
    late = "def run(task):\n    import words\n    return words.SAYS\n"
    write(one, first=late + describe_agent("first", "run"))
    write(other, second=late + describe_agent("second", "run"))
    for agent in load(f"{one}/first.py:agent", f"{other}/second.py:agent"):
        with pytest.raises(ImportError) as raised:
            work(agent)
        assert both_are_named(str(raised.value), one / "words.py", other / "words.py")


def test_a_module_that_the_process_has_imported_is_not_taken_for_a_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = write(tmp_path / "theirs", graph="agent = {}")
    mine = write(tmp_path / "mine", my_agent="from graph import agent", graph=describe_agent("a"))
    monkeypatch.syspath_prepend(theirs)
    importlib.import_module("graph")
    detail = refuse(lambda: load(f"{mine}/my_agent.py:agent"))
    assert both_are_named(detail, theirs / "graph.py", mine / "graph.py"), detail


@pytest.mark.parametrize("module_first", [True, False])
def test_a_module_on_the_path_and_a_file_are_kept_apart_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module_first: bool
) -> None:
    on_path = write(tmp_path / "on_path", graph=describe_agent("first"))
    other = write(tmp_path / "other", second=describe_agent("second"), graph="")
    monkeypatch.syspath_prepend(on_path)
    entries = ["graph:agent", f"{other}/second.py:agent"]
    detail = refuse(lambda: load(*(entries if module_first else entries[::-1])))
    assert both_are_named(detail, on_path / "graph.py", other / "graph.py"), detail


def test_what_is_refused_is_forgotten(tmp_path: Path) -> None:
    one = write(tmp_path / "one", my_agent=describe_agent("one")) / "my_agent.py"
    other = write(tmp_path / "other", my_agent=describe_agent("other")) / "my_agent.py"
    refuse(lambda: load(f"{one}:agent", f"{other}:agent"))
    assert ids(load(f"{one}:agent")) == ["one"]
