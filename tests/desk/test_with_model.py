"""The desk with a model: better texts where they fit, else the offline ones."""

import json

import pytest
from langchain_openai import ChatOpenAI

from tests.desk.acme import (
    CHANGELOG,
    brief,
    denied,
    desk,
    drafts,
    picked,
    run,
    task,
    text_of,
    told,
)
from tests.openai_stub import OpenAIStub


class TestWithModel:
    async def test_the_strategist_thinks_after_it_was_answered_and_once(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        thoughts = {
            "angle": "Speed.",
            "keyPoints": [
                {"number": 3, "text": "Uploads take 40 % less time."},
                {"number": 0, "text": "It is out."},
            ],
        }
        stub.script.append(json.dumps(thoughts))
        made, _ = await run(
            desk(model)["strategist"], task({"source": CHANGELOG}), picked("developers")
        )

        assert len(stub.requests) == 1
        assert stub.data()["audience"] == "developers"
        assert (made["brief"]["angle"], made["brief"]["madeBy"]) == ("Speed.", "model stub-1")
        assert [(point["kind"], point["text"]) for point in made["brief"]["keyPoints"]] == [
            ("new", "Uploads take 40 % less time."),
            ("other", "It is out."),
        ]

    async def test_figures_the_source_does_not_have_are_refused(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.extend(
            [
                json.dumps(
                    {"angle": "70 % faster", "keyPoints": [{"number": 1, "text": "It is out."}]}
                )
            ]
            * 2
        )
        made, _ = await run(
            desk(model)["strategist"], task({"source": CHANGELOG, "audience": "all"})
        )
        assert made["brief"]["madeBy"] == "offline rules"
        why = "the model's answer did not fit, twice: these figures are not in the source: 70"
        assert made["warnings"] == [f"The brief was made by offline rules: {why}."]

    async def test_the_writer_gives_the_guidance_to_the_model(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.append(
            json.dumps(
                {"posts": [{"channel": "x", "subject": "none", "text": "Acme 2 is out, friends."}]}
            )
        )
        facets = {"brief": brief(), "channels": ["x"]}
        made, _ = await run(desk(model)["writer"], task(facets, context=[told("Friendlier")]))
        assert stub.data()["guidance"] == ["Friendlier"]
        assert made["drafts"] == {
            "posts": [{"channel": "x", "text": "Acme 2 is out, friends.", "subject": None}],
            "guidance": ["Friendlier"],
            "madeBy": "model stub-1",
        }

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a" * 281, "x: the text has 281 characters, 280 are allowed; x: “Free.” is missing"),
            ("Out.", "x: “Free.” is missing"),
            ("", "x: text: String should have at least 1 character"),
        ],
    )
    async def test_drafts_that_do_not_fit_are_written_by_rules(
        self, model: ChatOpenAI, stub: OpenAIStub, text: str, problem: str
    ) -> None:
        stub.script.extend(
            [json.dumps({"posts": [{"channel": "x", "subject": None, "text": text}]})] * 2
        )
        made, _ = await run(
            desk(model)["writer"], task({"brief": brief(mustInclude=["Free."]), "channels": ["x"]})
        )
        assert text_of(made, "x") == "Acme 2.0.0 is out.\n\nFree.\n\n#Acme"
        assert problem in made["warnings"][0]

    async def test_the_reviewer_adds_the_claims_it_can_quote(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        claims = [
            {"channel": "x", "quote": "loved by all", "why": "No source says so."},
            {"channel": "x", "quote": "not there", "why": "Invented."},
        ]
        stub.script.append(json.dumps({"unsupported": claims}))
        facets = {
            "drafts": drafts(x="Acme is loved by all"),
            "brief": brief(keyPoints=[{"text": "A"}]),
            "source": CHANGELOG,
        }
        made, _ = await run(desk(model)["reviewer"], task(facets), denied("no"))

        assert len(stub.requests) == 1
        assert [issue["message"] for issue in made["review"]["issues"]] == [
            "“loved by all”: No source says so."
        ]
        assert made["review"]["madeBy"] == "model stub-1"

    async def test_a_reviewer_without_an_answer_keeps_to_its_rules(
        self, model: ChatOpenAI, stub: OpenAIStub
    ) -> None:
        stub.script.append(401)
        facets = {
            "drafts": drafts(x="Acme"),
            "brief": brief(keyPoints=[{"text": "A"}]),
            "source": CHANGELOG,
        }
        made, _ = await run(desk(model)["reviewer"], task(facets))
        assert made["review"]["madeBy"] == "offline rules"
        assert made["warnings"] == [
            "The claims were checked by offline rules alone: the model gave no answer "
            "(OpenAIAuthenticationError)."
        ]
