"""Ids that may be shortened to a beginning that only one has."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from hitl_orchestrator.server.terminal.errors import (
    AmbiguousId,
    BadInput,
    RefusedByServer,
    UnknownToServer,
)
from hitl_orchestrator.server.terminal.wire import RequestJson

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api

SHOWN_DIGITS = 8
LONGEST_PREFIX = 255
_WHOLE = re.compile(r"(?:hitl|run)_[0-9a-f]{32}")
_NAMED = 3  # of the ids that begin alike


def find_request(api: "Api", given: str) -> RequestJson:
    """Return the question with that id, or with the only id that begins so."""
    return api.request(complete_request_id(api, given))


def complete_request_id(api: "Api", given: str) -> str:
    """Return the whole id. Raises UnknownToServer, AmbiguousId, BadInput."""
    return _complete(given, "question", api.request_ids)


def complete_run_id(api: "Api", given: str) -> str:
    """Return the whole id. Raises UnknownToServer, AmbiguousId, BadInput."""
    return _complete(given, "run", api.run_ids)


def _complete(given: str, noun: str, look_up: Callable[[str, int], list[str]]) -> str:
    if not given:
        raise BadInput("An id cannot be empty.")
    if _WHOLE.fullmatch(given) or len(given) > LONGEST_PREFIX:
        return given
    try:
        ids = look_up(given, _NAMED + 1)
    except RefusedByServer as error:
        if error.status != 403:
            raise
        return given  # a key that may not list may still see what it started
    if given in ids:
        return given
    if not ids:
        raise UnknownToServer(404, {"detail": f"There is no {noun} {given}."})
    if len(ids) > 1:
        more = ", …" if len(ids) > _NAMED else ""
        named = ", ".join(ids[:_NAMED])
        raise AmbiguousId(f"Several ids begin with {given}: {named}{more}. Give more of it.")
    return ids[0]


def shorten_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return for each the beginning that is shown: as long as these ids need to be told apart."""
    whole = list(ids)
    digits = SHOWN_DIGITS
    while True:
        short = {each: _shorten(each, digits) for each in whole}
        if len(set(short.values())) == len(short):
            return short
        digits += 4


def _shorten(whole: str, digits: int) -> str:
    return whole[: whole.find("_") + 1 + digits]
