"""Finding what an entry of HITL_AGENTS names, in a package or in a file.

The modules beside a file are importable while it is loaded and when it runs. They are found after
what is installed, so that a stranger's `queue.py` is nobody else's, and before the rest of the
path, so that with PYTHONPATH=. each finds its own. Why so: docs/decisions.md.
"""

import importlib
import re
import site
import sys
import sysconfig
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.nodes.manifest import find_graph, make_graph

# lie in many folders, and no agent imports them
_NOT_TO_IMPORT = {"__main__", "__mp_main__", "conftest", "setup", "tests"}


def load_entry(entry: str) -> object:
    """Return what `package.module:name`, `path/to/file.py:name` or `langgraph.json:name` names.

    Raises ConfigurationError: foreign code runs here, and whatever it raises, one line says so.
    """
    place, _, name = entry.rpartition(":")
    if not place or not name:
        raise ConfigurationError(
            f"HITL_AGENTS: {entry!r} is none of `package.module:name`, `path/to/file.py:name`"
            " and `path/to/langgraph.json:name`"
        )
    try:
        if names_manifest(entry):
            return make_graph(_load(*find_graph(Path(place), name), in_package=True))
        return _load(entry, [Path.cwd()], in_package=False)
    except (Exception, SystemExit) as error:
        reason = describe(error)
        if names_file(entry):
            reason += _explain_hidden(Path(place).resolve().parent, reason)
        raise ConfigurationError(f"HITL_AGENTS: {entry} cannot be loaded: {reason}") from error


def names_file(entry: str) -> bool:
    return entry.rpartition(":")[0].endswith((".py", ".json"))


def names_manifest(entry: str) -> bool:
    return entry.rpartition(":")[0].endswith(".json")


def describe(error: BaseException) -> str:
    """Return what was raised in one line."""
    return re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")


def _load(entry: str, roots: Sequence[Path], *, in_package: bool) -> object:
    """`roots`: where a file's imports are looked for, if they are not beside it."""
    place, _, name = entry.rpartition(":")
    if place.endswith(".py"):
        return getattr(_load_file(Path(place), roots, in_package=in_package), name)
    return getattr(_load_module(place), name)


def _load_module(name: str) -> ModuleType:
    """Import it, and keep apart what lies beside its package, if that is not installed."""
    module = importlib.import_module(name)
    top = name.partition(".")[0]
    place = _find_place(sys.modules[top])
    if place is not None and not is_installed(top):
        with _plug_in(place.parent.parent if place.name == "__init__.py" else place.parent):
            pass
    return module


def _load_file(path: Path, roots: Sequence[Path], *, in_package: bool) -> ModuleType:
    """Import the file under the name that Python gives it when something beside it imports it.

    A file of a package that knows itself as such is imported as its module (`in_package`: at
    once, if it is in one); what it imports may lie in a folder above, up to a root:
    `src/agent/graph.py` has `from agent.state import State`.
    """
    file = path.resolve()
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if "." in file.stem:
        raise ImportError(f"{file.name} has a dot in its name: no module can be named so")
    in_package = in_package and (file.parent / "__init__.py").is_file()
    name, folder = _name_in_package(file) if in_package else (file.stem, file.parent)
    if not in_package and is_installed(file.stem):
        raise ImportError(
            f"Python or an installed package has a module `{file.stem}`: rename {file}"
        )
    folders = [folder]
    while True:
        try:
            return _import(name, file, folders)
        except ImportError as error:
            above = _find_above(error, file, roots)
            if name == file.stem and _knows_its_package(error, file):
                name, folder = _name_in_package(file)
                folders = [folder]
            elif above and above not in folders:
                folders.append(above)
            else:
                raise


def _import(name: str, file: Path, folders: Sequence[Path]) -> ModuleType:
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(_plug_in(folder))
        module = importlib.import_module(name)
        if (found := _find_place(module)) != file:
            raise ImportError(f"`{name}` is {found} here, not {file}: rename one of them")
    return module


def _name_in_package(file: Path) -> tuple[str, Path]:
    """Return its name as a module of its package, and the folder that the package lies in."""
    parts, folder = [file.stem, file.parent.name], file.parent.parent
    while (folder / "__init__.py").is_file():
        parts.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(parts)), folder


def _knows_its_package(error: ImportError, file: Path) -> bool:
    """Tell whether it missed the package that it lies in."""
    if "no known parent package" in str(error):
        return True
    package = _name_in_package(file)[0].partition(".")[0]
    return (file.parent / "__init__.py").is_file() and _name_missing(error) == package


def _name_missing(error: ImportError) -> str:
    """Return the package or module that was not found; empty: it was something else."""
    is_missing = isinstance(error, ModuleNotFoundError)
    return (error.name or "").partition(".")[0] if is_missing else ""


def _find_above(error: ImportError, file: Path, roots: Sequence[Path]) -> Path | None:
    """Return the nearest folder, from the file's up to a root, that has what was not found."""
    missing = _name_missing(error)
    folders: list[Path] = [file.parent]
    for root in roots:
        folders += [one for one in file.parents if one.is_relative_to(root)]
    if not missing:
        return None
    return next((one for one in (*folders, *roots) if _find(missing, one)), None)


class _Neighbours(MetaPathFinder):
    """Finds modules that lie in the folders of entries. What is installed is not its business."""

    folders: tuple[Path, ...] = ()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None:
            return None  # within a package, which knows where its modules are
        found = [spec for folder in self.folders if (spec := _find(fullname, folder))]
        if not found or is_installed(fullname):
            return None
        if len(found) > 1:
            raise _build_refusal(fullname, _place_of(found[0]), _place_of(found[1]))
        return found[0]

    def check_apart(self) -> None:
        """Raise ImportError when a loaded module is another one in the folder of an entry.

        Whoever imports it there would get the wrong one.
        """
        for name in tuple(sys.modules):
            if "." in name or name in _NOT_TO_IMPORT:
                continue
            for folder in self.folders:
                spec = _find(name, folder)
                if spec is None or is_installed(name):
                    continue
                loaded, beside = _find_place(sys.modules[name]), _place_of(spec)
                if loaded is not None and loaded != beside:
                    raise _build_refusal(name, loaded, beside)


def _build_refusal(name: str, one: Path, other: Path) -> ImportError:
    """Two files are modules of one name, and a process has only one."""
    return ImportError(
        f"`{name}` is both {one} and {other}: rename one of them,"
        " or give each agent a server of its own",
        name=name,
    )


@contextmanager
def _plug_in(folder: Path) -> Generator[None]:
    """Make its modules importable, from now on if the block succeeds."""
    neighbours = _find_neighbours()
    before = neighbours.folders
    neighbours.folders = tuple(dict.fromkeys((*before, folder)))
    importlib.invalidate_caches()  # a file may have been written just now
    try:
        neighbours.check_apart()
        yield
        neighbours.check_apart()
    except BaseException:
        neighbours.folders = before
        raise
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # for the processes that an agent starts


def _find_neighbours() -> _Neighbours:
    """Return the one of this process. It stands before the finder that searches sys.path."""
    for finder in sys.meta_path:
        if isinstance(finder, _Neighbours):
            return finder
    finder = _Neighbours()
    sys.meta_path.insert(0, finder)
    return finder


def _find(name: str, folder: Path) -> ModuleSpec | None:
    spec = PathFinder.find_spec(name, [str(folder)])
    if spec and spec.submodule_search_locations is not None:
        # as a plain list: a package without __init__.py would else look at sys.path again
        spec.submodule_search_locations = list(spec.submodule_search_locations)
    return spec


def _place_of(spec: ModuleSpec) -> Path:
    """Return its file; of a package without `__init__.py` its folder."""
    if spec.origin is not None:
        return Path(spec.origin).resolve()
    return Path((spec.submodule_search_locations or [""])[0]).resolve()


def _find_place(module: ModuleType) -> Path | None:
    """Return the same of a module that is loaded; None if it came from no file."""
    if file := getattr(module, "__file__", None):
        return Path(file).resolve()
    folders = list[str](getattr(module, "__path__", ()))
    return Path(folders[0]).resolve() if folders else None


def is_installed(name: str) -> bool:
    """Tell whether Python or an installed package has a module of that name."""
    if name in sys.stdlib_module_names:
        return True
    return PathFinder.find_spec(name, _list_installed_folders()) is not None


@cache
def _list_installed_folders() -> list[str]:
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return list(dict.fromkeys(folders))


def _explain_hidden(folder: Path, reason: str) -> str:
    """Say which modules that the reason speaks of lie beside the file and are not found."""
    hidden = [
        module.name
        for module in iter_modules([str(folder)])
        if module.name in reason and is_installed(module.name)
    ]
    if not hidden:
        return ""
    return (
        f" (beside the file lies a module {', '.join(hidden)}; it is not found,"
        " for Python or an installed package has one of that name)"
    )
