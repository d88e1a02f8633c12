"""Who calls: the gate finds it out, whoever is behind it asks here."""

from starlette.types import Scope

from hitl_orchestrator.domain.keys import Caller

CALLER = "hitl.caller"  # of a scope


def find_caller(scope: Scope) -> Caller:
    """Return who calls, behind the gate."""
    return scope[CALLER]
