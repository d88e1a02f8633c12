"""Which scope a call needs, in one table."""

import re
from collections.abc import Awaitable, Callable

from hitl_orchestrator.domain.keys import Caller, Scope
from hitl_orchestrator.server.orchestrator import Orchestrator

GETS = frozenset({"GET", "HEAD"})
POSTS = {
    "/api/runs": Scope.ASK,
    "/api/hitl/requests": Scope.ASK,
    "/api/hitl/resume": Scope.DECIDE,
    "/api/hitl/remove": Scope.DECIDE,
    "/api/hitl/deny": Scope.DECIDE,
}
# What a call needs, its body says: they ask for it themselves.
PROTOCOLS = ("/agui", "/a2a", "/langgraph", "/mcp")
OPEN = frozenset({"/langgraph/ok", "/langgraph/info"})
AGENTS = "/api/agents/"  # whatever the method: of agents in processes of their own
# What a key that may only ask sees: what it started.
OWN: dict[re.Pattern[str], Callable[[Orchestrator, Caller, str], Awaitable[bool]]] = {
    re.compile(r"/api/runs/([^/\x00]+)(?:/events)?"): Orchestrator.has_started,
    re.compile(r"/api/hitl/requests/([^/\x00]+)"): Orchestrator.has_asked,
}


def find_scope(method: str, path: str) -> Scope:
    """Return what the call needs. What is in no table needs a key that may do everything."""
    if path.startswith(AGENTS):
        return Scope.WORK
    return Scope.READ if method in GETS else POSTS.get(path, Scope.ADMIN)


async def is_covered(hitl: Orchestrator, caller: Caller, method: str, path: str) -> bool:
    """Return whether the caller's key covers the call."""
    if is_of_protocol(path):
        return True
    if caller.may(find_scope(method, path)):
        return True
    if method in GETS and caller.may(Scope.ASK):
        for pattern, is_own in OWN.items():
            if found := pattern.fullmatch(path):
                return await is_own(hitl, caller, found[1])
    return False


def is_of_protocol(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in PROTOCOLS)
