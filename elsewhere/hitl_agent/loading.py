"""Finding what is named on the command line: in a file, in a package, or in a `langgraph.json`.

What lies beside a file, and in the folders above it up to the working directory, is importable.
"""

import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, cast

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from hitl_agent.bare import Graph, NotAnAgent, name_graph
from hitl_agent.describing import Agent, compile_graph, read_agent

_NOT_PYTHON = (".js", ".ts", ".mjs", ".mts", ".cjs", ".cts", ".tsx", ".jsx")
_LINE_OF_ENV = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*")


class CannotLoad(Exception):
    """What is wrong with what was named on the command line, in one line."""


def load_agents(entries: Sequence[str]) -> list[Agent]:
    """Return the agents. Raise CannotLoad, whatever foreign code raises here."""
    agents: list[Agent] = []
    folders: list[Path] = []  # that entries lie in
    for entry in entries:
        try:
            agents += _load(entry, folders)
        except (Exception, SystemExit) as error:
            is_ours = isinstance(error, (NotAnAgent, CannotLoad))
            reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            line = re.sub(r"\s+", " ", f"{entry} cannot be loaded: {reason}")
            raise CannotLoad(line) from error
    ids = [agent.id for agent in agents]
    if twice := [one for one in dict.fromkeys(ids) if ids.count(one) > 1]:
        raise CannotLoad(f"two agents have the capabilityId {twice[0]}")
    return agents


def _load(entry: str, folders: list[Path]) -> list[Agent]:
    place, _, name = entry.rpartition(":")
    if not place or not name:
        raise CannotLoad("it is none of path/graph.py:graph, module:name and langgraph.json:NAME")
    if place.endswith(".json"):
        found = _find(*_read_manifest(Path(place), name), folders)
        is_named = True
    else:
        found = _find(place, name, [Path.cwd()], folders)
        is_named = False
    made = _make(found)
    several = cast("Sequence[object]", made if isinstance(made, (list, tuple)) else [made])
    if not several:
        raise CannotLoad("it is an empty list")
    return [_read(one, name, is_named) for one in several]


def _read(found: object, name: str, is_named: bool) -> Agent:
    if isinstance(found, StateGraph):
        found = compile_graph(cast("StateGraph[Any]", found))
    if isinstance(found, Pregel) and not is_named:
        name = name_graph(cast(Graph, found), name)
    return read_agent(cast(object, found), name)


def _make(found: object) -> object:
    """Return what was named; of a function what it returns."""
    if isinstance(found, (Mapping, list, tuple, Pregel, StateGraph)) or not callable(found):
        return cast(object, found)
    make: Callable[..., object] = found
    if inspect.iscoroutinefunction(make) or inspect.isasyncgenfunction(make):
        raise CannotLoad("it is made by an async function; name the agent itself")
    needed = [
        one
        for one in inspect.signature(make).parameters.values()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    if len(needed) > 1:
        raise CannotLoad("it is made by a function of more than a config; name the agent itself")
    return make({"configurable": {}}) if needed else make()


def _find(place: str, name: str, roots: Sequence[Path], folders: list[Path]) -> object:
    """`roots`: up to where a file's imports are looked for. `folders`: grows by the file's own."""
    if not place.endswith(".py"):
        for root in roots:
            _make_importable(root)
        return getattr(importlib.import_module(place), name)
    file = Path(place).resolve()
    if not file.is_file():
        raise CannotLoad(f"there is no file {place}")
    above: list[Path] = []
    for root in roots:
        above += [one for one in file.parents if one.is_relative_to(root)]
    # what lies in a package is found through it first: beside it may be a module of its own name
    outside = [one for one in (*above, *roots) if not (one / "__init__.py").is_file()]
    for folder in (*outside, file.parent) if _is_in_package(file) else (file.parent, *outside):
        _make_importable(folder)
    importlib.invalidate_caches()
    found = getattr(_import(file), name)
    folders += [] if file.parent in folders else [file.parent]
    _check_apart(folders)
    return found


def _make_importable(folder: Path) -> None:
    # behind what is installed: a stranger's `queue.py` is nobody else's
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _import(file: Path) -> ModuleType:
    """Import it as the module that it is: of its package, or by itself."""
    if _is_in_package(file):
        return _import_in_package(file)
    try:
        return _import_as(file.stem, file)
    except ImportError as error:
        if "no known parent package" not in str(error):
            raise
        return _import_in_package(file)


def _is_in_package(file: Path) -> bool:
    return (file.parent / "__init__.py").is_file()


def _import_in_package(file: Path) -> ModuleType:
    parts, folder = [file.stem, file.parent.name], file.parent.parent
    while (folder / "__init__.py").is_file():
        parts.append(folder.name)
        folder = folder.parent
    _make_importable(folder)
    return _import_as(".".join(reversed(parts)), file)


def _import_as(name: str, file: Path) -> ModuleType:
    module = importlib.import_module(name)
    if (found := _find_place(module)) != file:
        raise CannotLoad(f"`{name}` is {found or 'a module of Python'} here: rename {file.name}")
    return module


def _find_place(module: object) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def _check_apart(folders: Sequence[Path]) -> None:
    """Raise CannotLoad where two entries have modules of one name, of which a process has one."""
    for folder in folders:
        for module in iter_modules([str(folder)]):
            loaded = _find_place(sys.modules.get(module.name))
            if loaded is None:
                continue
            home = loaded.parent.parent if loaded.name == "__init__.py" else loaded.parent
            if home != folder and home in folders:
                raise CannotLoad(
                    f"`{module.name}` lies in {home} and in {folder}: rename one of the two, or"
                    " run each agent in a process of its own"
                )


def _read_manifest(file: Path, name: str) -> tuple[str, str, list[Path]]:
    """Return place and name of a graph, and what is importable there.

    What its `env` says is put into the environment, where it does not say otherwise.
    """
    described = json.loads(file.read_text("utf-8"))
    graphs: Mapping[str, Any] = described.get("graphs") or {}
    if name not in graphs:
        raise CannotLoad(f"it has no graph {name}; there are {', '.join(graphs) or 'none'}")
    found: Any = graphs[name]
    place: object = found if isinstance(found, str) else found.get("path")
    if not isinstance(place, str) or ":" not in place:
        raise CannotLoad(f"its graph {name} is no `path/to/file.py:name`")
    path, _, variable = place.rpartition(":")
    if path.endswith(_NOT_PYTHON):
        raise CannotLoad(f"its graph {name} is not Python")
    folder = file.resolve().parent
    _set_environment(described.get("env"), folder)
    local = [one for one in described.get("dependencies") or () if str(one)[:1] == "."]
    roots = [folder, *[(folder / str(one)).resolve() for one in local]]
    return str(folder / path) if path.endswith(".py") else path, variable, roots


def _set_environment(env: object, folder: Path) -> None:
    values = _read_env(folder / env) if isinstance(env, str) else env
    if isinstance(values, Mapping):
        for key, value in cast("Mapping[str, object]", values).items():
            os.environ.setdefault(key, str(value))


def _read_env(file: Path) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in file.read_text("utf-8").splitlines():
        if found := _LINE_OF_ENV.fullmatch(line):
            key, value = found.groups()
            is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            values[key] = value[1:-1] if is_quoted else value.partition(" #")[0].rstrip()
    return values
