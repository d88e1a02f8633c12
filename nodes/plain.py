"""What agents hand over, as JSON that can be stored."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic_core import to_jsonable_python

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.json_values import Unstorable, check_storable
from hitl_orchestrator.domain.records import Json


def make_plain(what: str, value: object) -> Json:
    """Return it as JSON that can be stored. Raise Invalid.

    What is typed (Pydantic, dataclasses, dates) becomes what it is written as.
    """
    try:
        plain = to_jsonable_python(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{what} is not plain JSON: {error}") from error
    try:
        check_storable(plain)
    except Unstorable as error:
        raise Invalid(f"{what} {error}") from error
    return plain


def list_said(state: Mapping[str, Any]) -> list[Json]:
    """Return the structured response and the text of the last message, as far as there are any."""
    last = (state.get("messages") or [None])[-1]
    text = last.text if isinstance(last, BaseMessage) else None
    said = (state.get("structured_response"), text)
    return [make_plain("What it said", each) for each in said if each is not None]
