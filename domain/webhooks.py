"""Notices to other programs: what is told of a frame of the queue, to whom, and how often tried.

An endpoint is a cursor over the queue's numbered frames: it is told of them in their order, each at
least once. Signed as Standard Webhooks has it (https://www.standardwebhooks.com).
"""

import ipaddress
from base64 import b64decode
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.records import Json, JsonObject

# Seconds until the next try, after each one in vain; after the last a dead letter, and on.
PAUSES = (5, 300, 1800, 7200, 18000, 36000, 36000)
PREFIX = "whsec_"
CREATED = "hitl.request.created"
TYPES = (
    *(CREATED, "hitl.request.resolved", "hitl.request.denied"),
    *("hitl.run.completed", "hitl.run.failed", "hitl.run.cancelled", "hitl.run.retried"),
)
_OF_RUNS = {"complete": "hitl.run.completed", "error": "hitl.run.failed"}
_OF_QUESTION = ("requestId", "question", "kind", "urgency", "originAgent", "expiresAt")


class Untold(Exception):
    """A listener did not take what it was told: it is tried again. `why` is shown in lists."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Callback(NamedTuple):
    """Where the end of an outside question is told, and by which secret it is signed."""

    url: str
    secret: str


class Endpoint(NamedTuple):
    """Who is told. `run_id`: of a callback, which is told of that run's end alone.

    A listener is told by a program of a server's own: its `url` is words for lists.

    `events`: the types that it is told of, or their beginnings; empty: all.
    """

    endpoint_id: str
    url: str
    secret: str
    events: Sequence[str]
    run_id: str | None
    cursor: int
    attempts: int = 0


class KeptEndpoint(NamedTuple):
    """The same for a person. `waiting`: of the frames how many it was not told of yet."""

    endpoint_id: str
    url: str
    events: Sequence[str]
    waiting: int
    attempts: int
    next_try_at: datetime
    last_error: str | None
    disabled_at: datetime | None
    dead_letters: Sequence[int]  # their numbers


def read_events(names: Collection[str]) -> list[str]:
    """Return the types, or their beginnings, that are named. Raise Invalid: there is no such."""
    named = [name if name.startswith("hitl.") else f"hitl.{name}" for name in names]
    for name in named:
        if not any(matches(one, [name]) for one in TYPES):
            raise Invalid(f"There is no event {name}. There are: {', '.join(TYPES)}.")
    return named


def matches(type_: str, events: Collection[str]) -> bool:
    """Tell whether who wants these events is told of that type."""
    return not events or any(type_ == one or type_.startswith(f"{one}.") for one in events)


def find_type(frame: JsonObject) -> str | None:
    """Return the type of what a frame of the queue tells; None: of nothing that is told."""
    data = _read_object(frame.get("data"))
    if frame["type"] == "handoff":
        hitl = _read_object(data.get("hitl"))
        status = {"requested": "created", "denied": "denied"}.get(str(frame["message"]))
        return f"hitl.request.{status or hitl.get('status')}"
    if frame["type"] == "start":
        return "hitl.run.retried"
    if frame["type"] == "complete" and data.get("status") == "cancelled":
        return "hitl.run.cancelled"
    return _OF_RUNS.get(str(frame["type"]))


def find_request_id(frame: JsonObject) -> str:
    """Return which request a frame of the queue tells of; empty: of none."""
    hitl = _read_object(_read_object(frame.get("data")).get("hitl"))
    return str(hitl.get("requestId", ""))


def write_notice(frame: JsonObject, type_: str) -> JsonObject:
    """Return what is sent: who and what, no arguments and no answers."""
    hitl = _read_object(_read_object(frame.get("data")).get("hitl"))
    told: JsonObject = {name: frame[name] for name in ("seq", "runId", "threadId")}
    told |= {name: hitl[name] for name in _OF_QUESTION if name in hitl}
    if "requestId" in told:
        told["path"] = f"/inbox/q/{told['requestId']}"
    else:
        told["path"] = f"/inbox/runs/{told['runId']}"
    told["status"] = type_.rpartition(".")[2]
    return {"type": type_, "timestamp": frame["at"], "data": told}


def is_secret(text: str) -> bool:
    """Tell whether it is a secret as Standard Webhooks has them: 24 to 64 bytes."""
    try:
        return len(b64decode(text.removeprefix(PREFIX), validate=True)) in range(24, 65)
    except ValueError:
        return False


def check_address(url: str, *, may_be_private: bool) -> None:
    """Raise Invalid for what nothing is sent to, as far as it can be seen without looking."""
    try:
        address = urlsplit(url)
        host = address.hostname or ""
        _ = address.port
    except ValueError as error:
        raise Invalid(f"The address of a webhook is none: {error}.") from error
    is_plain = url.isprintable() and " " not in url
    schemes = ("https", "http") if may_be_private else ("https",)
    if address.scheme not in schemes or not host or "@" in address.netloc or not is_plain:
        raise Invalid(
            f"The address of a webhook must be {' or '.join(schemes)}://…,"
            " without a password or blanks."
        )
    if not may_be_private:
        check_host(host, [host])


def check_host(host: str, found: Sequence[str]) -> None:
    """Raise Invalid where an address among those of the host is not a public one."""
    for text in found:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue  # a name, which is looked up when something is sent
        if not address.is_global or address.is_multicast:
            raise Invalid(
                f"{host} is an address of a private network: nothing is sent there, but with"
                " HITL_WEBHOOKS_PRIVATE."
            )


def _read_object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
