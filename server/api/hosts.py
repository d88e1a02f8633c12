"""By which names a server on loopback may be called.

A page of the web can let its own name lead to 127.0.0.1 (DNS rebinding): its scripts then reach a
server here as if it were theirs. What such a call cannot hide is its Host.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from hitl_orchestrator.server.settings import is_loopback


class KnownHosts:
    """`listens_on`: where the server listens. `allowed`: names beside those of loopback."""

    def __init__(self, listens_on: str, allowed: Sequence[str] = ()) -> None:
        self._checks = is_loopback(listens_on)
        self._allowed = {_normalize(name) for name in allowed}

    def has(self, scope: Scope) -> bool:
        """Return whether the call names a host of ours; beyond loopback any may."""
        named = Headers(scope=scope).get("Host", "")
        if not self._checks or not named:  # a browser always names one
            return True
        host = _normalize(_drop_port(named))
        return is_loopback(host) or host.endswith(".localhost") or host in self._allowed


def _drop_port(named: str) -> str:
    host, colon, port = named.rpartition(":")
    return host if colon and (port.isdigit() or not port) else named


def _normalize(host: str) -> str:
    return host.strip().lower().removesuffix(".")
