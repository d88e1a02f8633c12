from collections.abc import Generator

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from hitl_orchestrator.nodes.model import build_chat_model
from tests.desk.acme import (
    KEY,
)
from tests.openai_stub import OpenAIStub, openai_stub


@pytest.fixture(scope="module")
def server() -> Generator[OpenAIStub]:
    with openai_stub() as stub:
        yield stub


@pytest.fixture
def stub(server: OpenAIStub) -> OpenAIStub:
    server.script.clear()
    server.requests.clear()
    return server


@pytest.fixture
def model(stub: OpenAIStub) -> ChatOpenAI:
    model = build_chat_model(SecretStr(KEY), "stub-1", stub.base_url)
    assert model is not None
    return model
