"""The model that planner and specialists think with.

Without a key there is none, and they follow their offline rules.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import OpenAIRefusalError
from openai import OpenAIError
from pydantic import BaseModel, JsonValue, SecretStr, ValidationError

from hitl_orchestrator.domain.json_values import Unstorable, check_storable
from hitl_orchestrator.domain.records import describe_misfit

DEFAULT_MODEL = "gpt-5-mini"  # small, current, and able to answer in a JSON Schema
CALL_TIMEOUT_SECONDS = 60
# after 408, 409, 429, 5xx and lost connections, by the client itself, which honours Retry-After
CALL_RETRIES = 2
ANSWER_TIMEOUT_SECONDS = 240  # both attempts with all their retries; a step has 600 by default

T = TypeVar("T", bound=BaseModel)


def build_chat_model(
    api_key: SecretStr | None, model: str | None, base_url: str | None
) -> ChatOpenAI | None:
    """Return the model, or None without a key: then all works offline.

    It speaks chat completions, which every server behind OPENAI_BASE_URL understands.
    """
    if api_key is None or not api_key.get_secret_value():
        return None
    return ChatOpenAI(
        model=model or DEFAULT_MODEL,
        api_key=api_key,
        base_url=base_url,
        timeout=CALL_TIMEOUT_SECONDS,
        max_retries=CALL_RETRIES,
        use_responses_api=False,
    )


def build_prompt(instructions: str, data: Mapping[str, JsonValue]) -> list[BaseMessage]:
    """Say what to do, and what to do it with as one JSON object.

    No text in the data can end it and become an instruction.
    """
    return [SystemMessage(instructions), HumanMessage(json.dumps(data, ensure_ascii=False))]


async def ask_model(
    model: ChatOpenAI,
    messages: Sequence[BaseMessage],
    schema: type[T],
    misfit: Callable[[T], str | None] = lambda _: None,
) -> tuple[T | None, str]:
    """Return the model's answer, or None and why there is none.

    `misfit` says what is wrong with an answer that fits its schema. An answer that does not fit is
    asked for once more, with the reason. The reasons quote neither the answer nor the API's errors,
    which can hold parts of a key.
    """
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            answer, why = await _attempt(model, messages, schema, misfit)
            if answer is None:
                retry = HumanMessage(f"Your last answer did not fit: {why}. Answer again.")
                answer, why = await _attempt(model, [*messages, retry], schema, misfit)
    except OpenAIError as error:
        return None, f"the model gave no answer ({type(error).__name__})"
    except TimeoutError:
        return None, f"the model gave no answer within {ANSWER_TIMEOUT_SECONDS} s"
    return answer, why and f"the model's answer did not fit, twice: {why}"


async def _attempt(
    model: ChatOpenAI,
    messages: Sequence[BaseMessage],
    schema: type[T],
    misfit: Callable[[T], str | None],
) -> tuple[T | None, str]:
    try:
        asked = cast(
            "Runnable[list[BaseMessage], object]",
            model.with_structured_output(schema, method="json_schema"),
        )
        answer = await asked.ainvoke([*messages])
    except OpenAIRefusalError:
        return None, "the model refused"
    except ValidationError as error:
        return None, describe_misfit(error)
    except (ValueError, TypeError, AttributeError, LookupError):
        # how the client breaks on a reply that is no completion at all
        return None, "it is not what was asked for"
    if not isinstance(answer, schema):
        return None, "it is not what was asked for"
    try:
        check_storable(answer.model_dump(mode="json"))
    except Unstorable as error:
        return None, f"it {error}"
    why = misfit(answer)
    return (None, why) if why else (answer, "")
