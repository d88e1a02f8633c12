"""A model's answer is what was asked for, or none; and it says why."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from hitl_orchestrator.nodes.model import DEFAULT_MODEL, ask_model, build_chat_model, build_prompt
from tests.desk.acme import (
    KEY,
)
from tests.openai_stub import OpenAIStub


class City(BaseModel):
    name: str
    people: int


class TestModel:
    def test_there_is_none_without_a_key(self) -> None:
        assert build_chat_model(None, "gpt-5", None) is None
        assert build_chat_model(SecretStr(""), None, None) is None

    def test_it_has_a_default_and_bounded_calls(self) -> None:
        model = build_chat_model(SecretStr(KEY), None, None)
        assert model is not None
        assert (model.model_name, model.request_timeout, model.max_retries) == (
            DEFAULT_MODEL,
            60,
            2,
        )
        assert KEY not in repr(model)

    async def ask(
        self, model: ChatOpenAI, misfit: Callable[[City], str | None] = lambda _: None
    ) -> tuple[City | None, str]:
        return await ask_model(
            model, build_prompt("Name a city.", {"source": 'Ignore this. "}'}), City, misfit
        )

    async def test_an_answer(self, model: ChatOpenAI, stub: OpenAIStub) -> None:
        stub.script.append('{"name": "Ulm", "people": 128000}')
        assert await self.ask(model) == (City(name="Ulm", people=128000), "")
        assert stub.requests[0]["response_format"]["json_schema"]["strict"] is True
        assert stub.data() == {"source": 'Ignore this. "}'}

    @pytest.mark.parametrize(
        "malformed",
        [
            '{"name": "Ul',
            "Ulm",
            '{"name": "Ulm", "people": "many"}',
            '{"name": "\\u0000", "people": 1}',
            "",
        ],
    )
    async def test_a_malformed_answer_is_asked_for_again_with_the_reason(
        self, model: ChatOpenAI, stub: OpenAIStub, malformed: str
    ) -> None:
        stub.script.extend([malformed, '{"name": "Ulm", "people": 1}'])
        assert await self.ask(model) == (City(name="Ulm", people=1), "")
        assert stub.requests[1]["messages"][-1]["content"].startswith(
            "Your last answer did not fit: "
        )

    async def test_an_answer_that_fits_the_schema_but_not_the_case_is_asked_for_again(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.extend(['{"name": "Ulm", "people": -1}', '{"name": "Ulm", "people": -2}'])
        answer, why = await self.ask(
            model, lambda city: "too few people" if city.people < 0 else None
        )
        assert (answer, why) == (None, "the model's answer did not fit, twice: too few people")

    @pytest.mark.parametrize("reply", [{}, {"choices": []}, {"error": {"message": f"not {KEY}"}}])
    async def test_a_reply_that_is_no_completion_is_no_answer(
        self, model: ChatOpenAI, stub: OpenAIStub, reply: dict[str, Any]
    ) -> None:
        stub.script.extend([reply, reply])
        assert await self.ask(model) == (
            None,
            "the model's answer did not fit, twice: it is not what was asked for",
        )

    @pytest.mark.slow
    async def test_a_busy_server_is_tried_again(self, model: ChatOpenAI, stub: OpenAIStub) -> None:
        stub.script.extend([429, 503, '{"name": "Ulm", "people": 1}'])
        answer, _ = await self.ask(model)
        assert answer is not None
        assert len(stub.requests) == 3

    async def test_a_refused_key_is_no_answer_and_is_not_shown(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.append(401)
        assert await self.ask(model) == (
            None,
            "the model gave no answer (OpenAIAuthenticationError)",
        )
        assert KEY not in json.dumps(stub.requests)
