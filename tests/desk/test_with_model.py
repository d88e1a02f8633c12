"""The desk with a model: its text is checked as any other, and is written by rules if it fails."""

import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from tests.desk.acme import (
    CHANGELOG,
    desk,
    drafts,
    picked,
    run,
    said,
    task,
    text_of,
    told,
)
from tests.openai_stub import OpenAIStub

SOURCE = """# Acme

## 2.0.0

### Security

- Tokens are no longer logged.

### Added

- A theme
"""
GOOD = "Acme 2.0.0 is out, friends. It has a theme.\n\nTokens are no longer logged."


def posts(text: str, channel: str = "x") -> str:
    return json.dumps({"posts": [{"channel": channel, "subject": None, "text": text}]})


async def write(model: ChatOpenAI, *context: Any) -> dict[str, Any]:
    facets = {"source": SOURCE, "audience": "everyone", "channels": ["x"]}
    read, _ = await run(desk(model)["strategist"], task(facets))
    made, _ = await run(desk(model)["writer"], task(facets | read, context=context))
    return made


async def test_the_writer_gets_the_brief_and_what_an_editor_said(
    model: ChatOpenAI, stub: OpenAIStub
) -> None:
    stub.script.append(posts(GOOD))
    made = await write(model, told("Friendlier"))
    assert len(stub.requests) == 1
    assert stub.data()["guidance"] == ["Friendlier"]
    assert stub.data()["mustInclude"] == ["Tokens are no longer logged."]
    assert stub.data()["channels"] == [{"channel": "x", "limit": 280}]
    assert stub.data()["brief"]["version"] == "2.0.0"
    assert made["drafts"] == {
        "posts": [{"channel": "x", "text": GOOD, "subject": None}],
        "guidance": ["Friendlier"],
        "madeBy": "model stub-1",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD + "a" * 281, "the text has"),
        (GOOD.replace("2.0.0", "2.1.0"), "It does not name 2.0.0.; x: 2.1.0 is not in this"),
        (GOOD.replace("Acme", "Bolt"), "It does not name Acme."),
        (GOOD + " It is 70 % faster.", "70 is not in this release’s text."),
        (GOOD + " https://acme.example.com", "https://acme.example.com is not in this"),
        (GOOD.replace("no longer ", ""), "Of what is security, this is missing: “Tokens are no"),
        (GOOD + " **Really.**", "“**” is left of the source’s markup."),
        (GOOD + " And then…", "is cut off."),
        ("", "`text`: String should have at least 1 character"),
    ],
)
async def test_a_text_with_an_error_is_asked_for_again_and_then_written_by_rules(
    model: ChatOpenAI, stub: OpenAIStub, text: str, problem: str
) -> None:
    stub.script.extend([posts(text)] * 2)
    made = await write(model)
    assert problem.casefold() in stub.requests[1]["messages"][-1]["content"].casefold()
    assert made["drafts"]["madeBy"] == "offline rules"
    assert text_of(made, "x").startswith("Acme 2.0.0\n\nSecurity\n• Tokens are no longer logged.")
    assert made["warnings"][0].startswith("The drafts were made by offline rules: ")


async def test_a_post_for_another_channel_does_not_fit(model: ChatOpenAI, stub: OpenAIStub) -> None:
    stub.script.extend([posts(GOOD, "email"), posts(GOOD)])
    assert text_of(await write(model), "x") == GOOD
    assert "one post for each of x" in stub.requests[1]["messages"][-1]["content"]


async def test_the_reviewer_checks_a_models_text_by_the_same_rules_and_calls_nobody(
    model: ChatOpenAI, stub: OpenAIStub
) -> None:
    facets = {"source": SOURCE, "audience": "everyone"}
    read, _ = await run(desk(model)["strategist"], task(facets))
    facets |= read | {"drafts": drafts(x=GOOD + " It is 70 % faster.") | {"madeBy": "model m"}}
    made, [question] = await run(desk(model)["reviewer"], task(facets), said("Without the figure"))
    assert [issue["rule"] for issue in made["review"]["issues"]] == ["figures"]
    assert (made["review"]["passed"], made["review"]["why"]) == (False, "A person gave guidance.")
    assert (question["kind"], question["allowFreeForm"], stub.requests) == ("choice", True, [])


async def test_a_changelog_of_all_kinds_is_asked_about_as_without_a_model(
    model: ChatOpenAI, stub: OpenAIStub
) -> None:
    made, [question] = await run(
        desk(model)["strategist"], task({"source": CHANGELOG}), picked("existing")
    )
    assert question["question"] == "Whom should the announcement of Acme CLI 2.4.0 address?"
    assert (made["brief"]["audience"], stub.requests) == ("People who already use it", [])
