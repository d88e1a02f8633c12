"""httpx, imported without its own command line.

`import httpx` imports that too where click and rich are installed: pygments, rich and 70 ms more,
which is four tenths of the time in which `hitl answer` starts. It is hidden only while httpx is
being imported, and only where a client command runs.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import cast

__all__ = ["EventSource", "connect_sse", "httpx"]


@contextmanager
def _hide(module: str) -> Generator[None]:
    """Let `import` of that module fail, unless it is already there."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = cast(ModuleType, None)
    try:
        yield
    finally:
        del sys.modules[module]


with _hide("httpx._main"):
    import httpx
    from httpx_sse import EventSource, connect_sse
