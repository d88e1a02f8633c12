import sys
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def process_as_it_was(tmp_path: Path) -> Generator[None]:
    """Forget which folders were plugged in, and the modules of the test's own folders."""
    finders, path = list(sys.meta_path), list(sys.path)
    sys.meta_path[:] = [finder for finder in finders if type(finder).__module__ != LOADING]
    yield
    sys.meta_path[:], sys.path[:] = finders, path
    for name, module in tuple(sys.modules.items()):
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        if any(place and Path(place).is_relative_to(tmp_path) for place in places):
            del sys.modules[name]


LOADING = "hitl_orchestrator.nodes.loading"
