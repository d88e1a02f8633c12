"""What a proxy in front changes about a call: its path, who calls, and by which scheme.

It is undone before anything else looks at the call, so that the gate, the limits and the routes see
what they would see without a proxy. What a proxy says is believed of proxies by address alone.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from hitl_orchestrator.server.settings import Network, Settings

# Of a scope:
ROOT_PATH = "hitl.root_path"  # what links begin with
USER = "hitl.user"  # whom the proxy has signed in
MISFIT = "hitl.misfit"  # why a trusted proxy's word for a person names nobody; the gate refuses it

FORWARDED_FOR, FORWARDED_PROTO = b"x-forwarded-for", b"x-forwarded-proto"
LONGEST_USER = 255
_TRACES = {b"forwarded", b"via", b"x-real-ip"}
_SCHEMES = {"http", "https"}
_WITH_PORT = re.compile(r"\[([^]]+)\](?::\d+)?|([\d.]+):\d+")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
RawHeaders = Sequence[tuple[bytes, bytes]]
Changes = dict[str, Any]  # of a scope


class BehindProxy:
    """Gives on the call as it was before the proxies that `settings` name."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._root_path = settings.root_path
        self._trusted = settings.trusted_proxies
        self._user_header = (settings.trusted_user_header or "").lower().encode()
        self._is_idle = not (self._root_path or self._trusted or self._user_header)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_idle or scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = {**scope, **_drop_root_path(scope, self._root_path), ROOT_PATH: self._root_path}
        peer = _read_address((scope.get("client") or ("", 0))[0])
        if peer and _is_among(peer, self._trusted):
            scope |= _read_client(scope, self._trusted) | _read_scheme(scope)
            scope |= _read_user(scope["headers"], self._user_header)
        elif self._user_header:
            scope["headers"] = [one for one in scope["headers"] if one[0] != self._user_header]
        await self._app(scope, receive, send)


def find_root_path(scope: Scope) -> str:
    """Return what the addresses of links and redirects begin with, before their first slash."""
    return scope.get(ROOT_PATH, "")


def find_user(scope: Scope) -> str | None:
    """Return who the proxy says has signed in there; None: it says nobody, or is not trusted."""
    return scope.get(USER)


def is_forwarded(scope: Scope) -> bool:
    """Tell whether a proxy's traces are on the call, whoever left them.

    Such a call is nobody's on this machine, although the proxy may be.
    """
    return any(name in _TRACES or name.startswith(b"x-forwarded-") for name, _ in scope["headers"])


def _drop_root_path(scope: Scope, root_path: str) -> Changes:
    """Return both paths without the prefix, once; a proxy that has dropped it leaves nothing to do.

    Not Starlette's `root_path`: its routes would leave it out, and whoever looks at `path`, as the
    gate does, would not.
    """
    path: str = scope["path"]
    if not root_path or not f"{path}/".startswith(f"{root_path}/"):
        return {}
    path = path.removeprefix(root_path) or "/"
    raw: bytes = scope.get("raw_path") or b""
    prefix = root_path.encode()
    is_plain = (raw + b"/").startswith(prefix + b"/")  # else it came percent-encoded
    raw = raw.removeprefix(prefix) or b"/" if is_plain else quote(path).encode()
    return {"path": path, "raw_path": raw}


def _read_client(scope: Scope, trusted: Sequence[Network]) -> Changes:
    """Return the client: the last one that the proxies name and that is none of them.

    Where all are, the first. Each proxy writes its peer at the end, and what stands before is its
    peer's word. A word that is no address leaves the peer the client.
    """
    named = b",".join(_find_all(scope["headers"], FORWARDED_FOR)).decode("latin-1")
    client: Address | None = None
    for word in reversed(named.split(",")):
        client = _read_address(_drop_port(word.strip()))
        if client is None or not _is_among(client, trusted):
            break
    return {"client": (str(client), 0)} if client else {}


def _read_scheme(scope: Scope) -> Changes:
    named = b",".join(_find_all(scope["headers"], FORWARDED_PROTO)).decode("latin-1")
    scheme = named.rpartition(",")[2].strip().lower()
    return {"scheme": scheme} if scheme in _SCHEMES and scope["type"] == "http" else {}


def _read_user(headers: RawHeaders, name: bytes) -> Changes:
    """Return the person whom a trusted proxy names, or why its word names nobody."""
    values = _find_all(headers, name) if name else []
    if not values:
        return {}
    header = name.decode()
    if len(values) > 1:
        return {MISFIT: f"{header} was sent {len(values)} times: the proxy has to replace it."}
    user = values[0].decode(errors="replace").strip()
    if not 1 <= len(user) <= LONGEST_USER or not user.isprintable() or "\ufffd" in user:
        return {MISFIT: f"{header} is not 1 to {LONGEST_USER} printable characters in UTF-8."}
    return {USER: user}


def _find_all(headers: RawHeaders, name: bytes) -> list[bytes]:
    return [value for one, value in headers if one == name]


def _read_address(text: str) -> Address | None:
    """Return the address, of IPv4 where it is one in IPv6's clothes; None: it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _drop_port(text: str) -> str:
    """Return `::1` of `[::1]:80` and `[::1]`, and `192.0.2.1` of `192.0.2.1:80`."""
    found = _WITH_PORT.fullmatch(text)
    return found[1] or found[2] if found else text


def _is_among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
