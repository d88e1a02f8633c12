"""Slack shows questions with buttons, takes what is clicked, and is told how they ended.

Against a stub of its Web API; signatures and limits of blocks are slack_sdk's own.
"""

import json
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

import httpx
import psycopg
import pytest
from slack_sdk.signature import SignatureVerifier

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.resolutions import Resolution
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.protocols.slack_blocks import SlackQuestion
from hitl_orchestrator.server.settings import Settings, load_settings
from tests.api.calls import QUESTIONS, Json, answer, paused, start, started
from tests.clients.queue import SEND, THREE
from tests.clients.slack_workspace import (
    ADA,
    CHANNEL,
    CUT,
    GRACE,
    SECRET,
    STRANGER,
    TOKEN,
    Person,
    Workspace,
    check_blocks,
    find_buttons,
    read_texts,
    sign,
    workspace,
)
from tests.processes import API_KEY, serving
from tests.temporary import temporary_database
from tests.test_fitting import asked

LINK = "https://ops.example.com/inbox/q/q"
MANY = [{"id": f"o{number}", "label": f"Option {number}"} for number in range(25)]
RESPOND = {**SEND, "action": {**SEND["action"], "allowedDecisions": ["respond"]}}
FORM: Json = {
    **QUESTIONS["form"],
    "responseSchema": {
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer", "maximum": 9},
            "ok": {"type": "boolean"},
            "size": {"enum": ["S", "M"]},
            "note": {"type": "string", "maxLength": 5},
        },
    },
}
UNTOLD = "SELECT count(*) FROM webhook_endpoints w, run_events e WHERE e.queue_seq > w.cursor"
FAILED = "SELECT coalesce(last_error, '') FROM webhook_endpoints"
OPEN: Json = {"amount": 4200}


@pytest.fixture(scope="module")
def slack() -> Generator[Workspace]:
    with workspace() as found:
        yield found


@pytest.fixture(scope="module")
async def api(postgres: str, slack: Workspace) -> AsyncGenerator[httpx.AsyncClient]:
    async with (
        temporary_database(postgres) as url,
        started(url, **slack.settings, max_requests=9) as client,
    ):
        yield client


def person(slack: Workspace, api: httpx.AsyncClient, user: str = ADA) -> Person:
    """Somebody without a key."""
    transport = api._transport  # pyright: ignore[reportPrivateUsage]
    return Person(slack, httpx.AsyncClient(transport=transport, base_url="http://localhost"), user)


async def ask(slack: Workspace, api: httpx.AsyncClient, question: Any) -> tuple[Json, Json]:
    """Return a run that asks, and its question's message."""
    run = await paused(api, question)
    return run, await slack.read_message(run["pendingRequestId"])


async def read_request(api: httpx.AsyncClient, run: Json) -> Json:
    return (await api.get(f"/api/runs/{run['runId']}")).json()["requests"][0]


def execute(database_url: str, statement: str) -> list[Any]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        done = conn.execute(statement.encode())
        return [row[0] for row in done.fetchall()] if done.description else []


@pytest.mark.parametrize(
    ("question", "pressed", "filled", "given", "ended"),
    [
        (SEND, "approve", None, {"approved": True}, "ada approved this"),
        (
            SEND,
            "edit",
            {"field_to": "one"},
            {"approved": True, "editedArguments": {"to": "one", "copies": 9}},
            "ada approved this with changes",
        ),
        (
            SEND,
            "reject",
            {"text": "not now"},
            {"approved": False, "freeformText": "not now"},
            "ada rejected this",
        ),
        (SEND, "reject", {}, {"approved": False, "freeformText": None}, "ada rejected this"),
        (RESPOND, "respond", {"text": "why?"}, {"freeformText": "why?"}, "ada answered"),
        (QUESTIONS["choice"], "choose:1", None, {"selectedOptionId": "b"}, "ada chose “B”"),
        (
            {**QUESTIONS["choice"], "options": MANY},
            "choose",
            None,
            {"selectedOptionId": "o21"},
            "ada chose “Option 21”",
        ),
        (
            {**QUESTIONS["choice"], "allowFreeForm": True},
            "answer",
            {"text": "both"},
            {"freeformText": "both"},
            "ada answered",
        ),
        (QUESTIONS["freeform"], "answer", {"text": "left"}, {"freeformText": "left"}, "answered"),
        (
            FORM,
            "answer",
            {"field_n": "7", "field_ok": "true", "field_size": "M"},
            {"data": {"n": 7, "ok": True, "size": "M"}},
            "ada filled in the form",
        ),
        (OPEN, "approve", None, {"approved": True}, "ada said yes"),
        (OPEN, "answer", {"json": "false"}, {"data": False}, "ada said no"),
        (OPEN, "reject", {}, {"approved": False}, "ada refused this"),
    ],
)
async def test_each_kind_is_shown_answered_and_rewritten(
    slack: Workspace,
    api: httpx.AsyncClient,
    question: Json,
    pressed: str,
    filled: dict[str, str] | None,
    given: Json,
    ended: str,
) -> None:
    ada = person(slack, api)
    run, message = await ask(slack, api, question)
    if filled is None:
        option = "o21" if pressed == "choose" else ""
        taken = await ada.click(message, pressed, option)
    else:
        taken = await ada.submit(await ada.open(message, pressed), **filled)
    assert (taken.status_code, taken.content) == (200, b"")
    shown = await slack.read_ended(run["pendingRequestId"])
    assert ended in shown
    (response,) = (await read_request(api, run))["responses"]
    assert {name: response[name] for name in given} == given
    assert (response["responderId"], response["metadata"]) == ("ada", {"via": "slack"})
    audit = (await api.get(f"/api/runs/{run['runId']}")).json()["metadata"]["auditLog"]
    (entry,) = [one for one in audit if one["action"] == "resume"]
    assert (entry["operator"]["id"], entry["note"]) == ("ada", f"by slack, {ADA}")


async def test_who_comes_second_decides_nothing_and_hears_who_was_first(
    slack: Workspace, api: httpx.AsyncClient
) -> None:
    ada, grace = person(slack, api), person(slack, api, GRACE)
    run, message = await ask(slack, api, SEND)
    view = await grace.open(message, "reject")
    assert (await ada.click(message, "approve")).status_code == 200
    await slack.read_ended(run["pendingRequestId"])
    slack.messages[message["ts"]] = message  # a second post of it, that nobody knows
    before = len(slack.list_said("chat.postEphemeral"))
    for number, pressed in enumerate(("approve", "edit")):
        assert (await grace.click(message, pressed)).status_code == 200
        (told,) = slack.list_said("chat.postEphemeral")[before + number :]
        assert (told["user"], told["channel"]) == (GRACE, CHANNEL)
        assert "ada approved this" in told["text"]
        assert find_buttons(slack.messages[message["ts"]]) == {}
    late = (await grace.submit(view, text="no")).json()
    assert late["response_action"] == "errors"
    assert "ada approved this" in late["errors"]["text"]
    assert len((await read_request(api, run))["responses"]) == 1


async def test_a_click_that_comes_again_is_answered_as_it_was(
    slack: Workspace, api: httpx.AsyncClient
) -> None:
    ada = person(slack, api)
    ada.trigger = "13345224609.738474920.8088930838"
    _, message = await ask(slack, api, SEND)
    before = len(slack.list_said("chat.postEphemeral"))
    for _ in range(2):
        assert (await ada.click(message, "approve")).status_code == 200
    assert len(slack.list_said("chat.postEphemeral")) == before


async def test_an_old_messages_button_means_its_own_question_alone(
    slack: Workspace, api: httpx.AsyncClient
) -> None:
    """Three wait side by side; what is clicked is what was asked there, whatever came since."""
    run = await start(api, THREE)
    ids = [one["requestId"] for one in run["requests"] if one["status"] == "pending"]
    messages = {each: await slack.read_message(each) for each in ids}
    assert len({message["ts"] for message in messages.values()}) == len(ids) == 3
    ada = person(slack, api)
    view = await ada.open(messages[ids[1]], "answer")
    assert (await ada.submit(view, text="noon")).content == b""
    requests = (await api.get(f"/api/runs/{run['runId']}?wait=5")).json()["requests"]
    assert {one["requestId"] for one in requests if one["responses"]} == {ids[1]}


async def test_who_is_no_operator_decides_nothing(slack: Workspace, api: httpx.AsyncClient) -> None:
    eve = person(slack, api, STRANGER)
    run, message = await ask(slack, api, SEND)
    view = await person(slack, api).open(message, "edit")
    for pressed in ("approve", "edit"):
        assert (await eve.click(message, pressed)).status_code == 200
        told = slack.list_said("chat.postEphemeral")[-1]
        assert (told["user"], "none of the operators" in told["text"]) == (STRANGER, True)
    refused = (await eve.submit(view)).json()
    assert "none of the operators" in refused["errors"]["field_to"]
    assert (await read_request(api, run))["status"] == "pending"
    assert slack.list_said("views.open")[-1]["view"] == view, "no other was opened"


async def test_what_slack_did_not_sign_is_refused(slack: Workspace, api: httpx.AsyncClient) -> None:
    server = person(slack, api).server
    body, right = "payload=%7B%7D", sign("payload=%7B%7D")
    wrong = SignatureVerifier("another").generate_signature(
        timestamp=right["X-Slack-Request-Timestamp"], body=body
    )
    for headers in (
        {},
        {**right, "X-Slack-Signature": wrong or ""},
        sign("payload=%7B%22%22%7D"),
        sign(body, time() - 301),
        sign(body, time() + 301),
        {**right, "X-Slack-Request-Timestamp": "now"},
        {**right, "X-Slack-Signature": "v0=\xe9"},
    ):
        encoded = httpx.Headers(headers, encoding="latin-1")
        refused = await server.post("/slack", content=body, headers=encoded)
        assert refused.status_code == 401, headers
    assert (await server.post("/slack", content=b"\xff", headers=right)).status_code == 401
    assert (await server.post("/slack", content=body, headers=right)).status_code == 200
    large = "payload=" + "x" * 2**20
    assert (await server.post("/slack", content=large, headers=sign(large))).status_code == 413
    for odd in ("payload=no", "other=1", "payload=%7B%22type%22%3A%22block_actions%22%7D"):
        assert (await server.post("/slack", content=odd, headers=sign(odd))).status_code == 422


async def test_what_does_not_fit_is_told_at_its_box_and_decides_nothing(
    slack: Workspace, api: httpx.AsyncClient
) -> None:
    ada = person(slack, api)
    run, message = await ask(slack, api, FORM)
    view = await ada.open(message, "answer")
    for box, filled in (
        ("field_n", {"field_n": "many"}),
        ("field_n", {"field_n": "70"}),
        ("field_note", {"field_n": "7", "field_note": "too long"}),
    ):
        refused = (await ada.submit(view, **filled)).json()
        assert refused["response_action"] == "errors"
        assert refused["errors"].keys() == {box}
        assert (await read_request(api, run))["status"] == "pending"
    assert (await ada.submit(view, field_n="7")).content == b""


async def test_however_it_ended_its_message_says_so(
    slack: Workspace, api: httpx.AsyncClient
) -> None:
    ada = person(slack, api)
    run, _ = await ask(slack, api, QUESTIONS["freeform"])
    await answer(api, run, freeformText="a secret", responderId="grace")
    told = await slack.read_ended(run["pendingRequestId"])
    assert ("grace answered" in told, "a secret" in told) == (True, False)
    operator = {"operator": {"id": "grace"}, "reason": "not now"}
    for way, words in (("deny", "grace denied this"), ("remove", "grace cancelled the run")):
        run, message = await ask(slack, api, SEND)
        call = {"runId": run["runId"], "requestId": run["pendingRequestId"], **operator}
        assert (await api.post(f"/api/hitl/{way}", json=call)).is_success
        assert words in await slack.read_ended(run["pendingRequestId"])
        slack.messages[message["ts"]] = message
        assert (await ada.click(message, "approve")).status_code == 200
        assert words in slack.list_said("chat.postEphemeral")[-1]["text"]
        assert find_buttons(slack.messages[message["ts"]]) == {}
    run, _ = await ask(slack, api, SEND)
    assert (await api.post(f"/api/runs/{run['runId']}/cancel", json=operator)).is_success
    assert "grace cancelled the run" in await slack.read_ended(run["pendingRequestId"])


async def test_what_takes_too_long_is_not_said_to_be_done(
    slack: Workspace, database_url: str
) -> None:
    async with started(database_url, **slack.settings) as api:
        ada = person(slack, api)
        _, message = await ask(slack, api, SEND)
        view = await ada.open(message, "edit")
        with psycopg.connect(database_url) as conn:
            conn.execute("SELECT FROM orchestrator_runs FOR UPDATE")
            assert (await ada.click(message, "approve")).status_code == 503
            assert "too long" in (await ada.submit(view)).json()["errors"]["field_to"]
        assert (await ada.click(message, "approve")).status_code == 200
        assert "ada approved this" in await slack.read_ended(find_name(message))


def find_name(message: Json) -> str:
    return next(one["block_id"] for one in message["blocks"] if one["type"] == "actions")


async def test_several_servers_post_once_and_what_slack_refuses_is_tried_again(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(10)
    with workspace() as slack:
        settings = slack.settings
        limited = {"ok": False, "error": "ratelimited"}
        slack.replies["chat.postMessage"] = [(CUT, {}), (429, limited)]
        async with started(database_url, **settings), started(database_url, **settings) as api:
            first = await paused(api, SEND)
            for number, why in enumerate(("Disconnected", ": ratelimited"), 1):
                await slack.wait(lambda end=why: execute(database_url, FAILED)[0].endswith(end))
                assert len(slack.calls) == number, "no try but the listener's"
                execute(database_url, "UPDATE webhook_endpoints SET next_try_at = now()")
            for _ in range(3):
                run = await paused(api, SEND)
                await slack.read_message(run["pendingRequestId"])
            # as after a kill behind the note of it
            execute(database_url, "UPDATE webhook_endpoints SET cursor = 0")
            await answer(api, first, approved=True)
            await slack.read_ended(first["pendingRequestId"])
            await slack.wait(lambda: execute(database_url, UNTOLD) == [0])
        assert len(slack.messages) == 4
        assert len(slack.list_said("chat.postMessage")) == 6
    assert not [record for record in caplog.records if record.name.startswith("slack_sdk")]
    for secret in (TOKEN, SECRET):
        assert secret not in caplog.text


async def test_after_a_kill_in_a_post_it_may_come_twice_and_each_is_its_own_question(
    database_url: str,
) -> None:
    with workspace() as slack:
        with serving(database_url, "asks.py:agent", **slack.environment) as server:
            slack.posted = server.kill
            with server.client() as client:
                body = {"objective": "Ask", "inputs": {"question": SEND}, "outputs": ["answer"]}
                client.post("/api/runs", json=body)
            await slack.wait(lambda: slack.messages)
            server.process.wait()
        slack.posted = lambda: None
        execute(database_url, "UPDATE webhook_endpoints SET leased_until = NULL")
        with serving(database_url, "asks.py:agent", **slack.environment) as server:
            await slack.wait(lambda: execute(database_url, "SELECT ts FROM slack_messages"))
            lost, kept = ({**said, "ts": ts} for ts, said in slack.messages.items())
            async with httpx.AsyncClient(base_url=server.url) as client:
                ada = Person(slack, client)
                assert (await ada.click(lost, "approve")).status_code == 200
                await slack.wait(lambda: find_buttons(slack.messages[kept["ts"]]) == {})
                await ada.click(lost, "approve")
            assert find_buttons(slack.messages[lost["ts"]]) == {}


async def test_what_slack_finds_too_large_comes_as_a_link(database_url: str) -> None:
    too_large = (200, {"ok": False, "error": "invalid_blocks"})
    with workspace() as slack:
        slack.replies["chat.postMessage"] = [too_large]
        async with started(database_url, **slack.settings) as api:
            run, message = await ask(slack, api, SEND)
            assert find_buttons(message) == {}
            slack.replies["chat.update"] = [too_large]
            await answer(api, run, approved=True)
            await slack.wait(lambda: "approved this" in read_texts(slack.messages[message["ts"]]))
            assert "copies" not in json.dumps(slack.messages[message["ts"]])


async def test_a_message_that_cannot_be_rewritten_is_let_be_and_trouble_is_not(
    database_url: str,
) -> None:
    with workspace() as slack:
        async with started(database_url, **slack.settings) as api:
            run, message = await ask(slack, api, SEND)
            assert find_buttons(message).keys() == {"approve", "edit", "reject"}
            # somebody has deleted it; whatever follows is told
            slack.replies["chat.update"] = [(200, {"ok": False, "error": "message_not_found"})] * 2
            await answer(api, run, approved=True)
            await slack.wait(lambda: len(slack.list_said("chat.update")) == 2)
            await slack.wait(lambda: execute(database_url, UNTOLD) == [0])
            assert len(slack.list_said("chat.update")) == 2, "whole, in short, and no more"
            run, message = await ask(slack, api, SEND)
            revoked = (200, {"ok": False, "error": "token_revoked"})
            slack.replies["chat.update"] = [revoked, (502, {})]
            await answer(api, run, approved=True)
            for why in ("token_revoked", "nothing that can be read"):
                await slack.wait(lambda end=why: execute(database_url, FAILED)[0].endswith(end))
                execute(database_url, "UPDATE webhook_endpoints SET next_try_at = now()")
            await slack.read_ended(run["pendingRequestId"])


def show(**question: Any) -> tuple[list[Json], str]:
    """Return a question's blocks, as Slack takes them, and the words of it."""
    blocks = SlackQuestion(asked(**question), LINK).blocks
    check_blocks({"blocks": blocks})
    return blocks, read_texts({"blocks": blocks})


@pytest.mark.parametrize(
    "more",
    [
        {"action": {"name": "send", "arguments": {"to": "x" * 2990}}},
        {"additionalContext": "x" * 3001},
        {"action": {"name": "send", "arguments": {"to": "<" * 800}}},
        {"question": "?" * 3001},
    ],
)
def test_what_does_not_fit_whole_has_no_button_but_the_link(more: Json) -> None:
    blocks, words = show(**{"kind": "approval", **more})
    assert find_buttons({"blocks": blocks}) == {}
    assert f"<{LINK}|It is more than fits in here" in words
    for ended in SlackQuestion(asked(kind="approval", **more), LINK).tell_end(ENDED):
        check_blocks({"blocks": ended})


ENDED = Resolution("ada", "chose “" + "x" * 5000, at=datetime(2026, 11, 28, tzinfo=UTC))


def test_what_is_approved_is_what_is_seen() -> None:
    arguments = {"to": "a\u200bb", "fence": "``` & <!channel>", "bidi\u202e": 1}
    question = "Pay *all* <!here> :smile: \u202egnp?"
    blocks, words = show(
        kind="approval", question=question, action={"name": "send", "arguments": arguments}
    )
    assert "Pay *all* <!here> :smile: ⟨U+202E⟩gnp?" in words
    assert blocks[0]["text"] == {**blocks[0]["text"], "type": "plain_text", "emoji": False}
    (code,) = [one for one in words.split("\n\n") if one.startswith("```")]
    written = code.removeprefix("```").removesuffix("```")
    assert "`" not in written
    assert "<" not in written
    assert "\\u200b" in written
    unescaped = written.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert json.loads(unescaped) == arguments
    buttons = find_buttons({"blocks": blocks})
    assert buttons.keys() == {"approve", "reject"}, "a box would not show what is unseen"
    assert SlackQuestion(asked(question="<!channel>"), LINK).summary.count("<") == 0


def test_what_is_grave_is_asked_again() -> None:
    action = {"name": "send", "arguments": {"to": "all"}}
    for urgency, is_asked in (("high", True), ("normal", False)):
        blocks, _ = show(kind="approval", urgency=urgency, action=action)
        assert ("confirm" in find_buttons({"blocks": blocks})["approve"]) is is_asked
    blocks, _ = show(kind="choice", options=MANY)
    assert "confirm" in find_buttons({"blocks": blocks})["choose"]


def test_an_options_button_says_which_it_is() -> None:
    long = [{"id": "long", "label": "x" * 76}, {"id": "b", "label": "B"}]
    blocks, words = show(kind="choice", options=long)
    buttons = find_buttons({"blocks": blocks})
    assert [buttons[f"choose:{n}"]["text"]["text"] for n in range(2)] == ["long", "B"]
    assert "`long`: " + "x" * 76 in words
    blocks, _ = show(kind="choice", options=[{"id": f"{n}", "label": "x"} for n in range(101)])
    assert find_buttons({"blocks": blocks}) == {}


async def test_where_it_is_not_set_up_it_says_what_is_missing(database_url: str) -> None:
    async with started(database_url) as api:
        refused = await api.post("/slack", content="payload=x")
        assert refused.status_code == 404
        assert "hitl-orchestrator[slack]" in refused.json()["detail"]


def test_all_of_its_settings_or_none() -> None:
    given = Workspace(url="https://slack.example.com/api/").settings
    complete = {"api_key": API_KEY, **given}
    create_app(Settings.model_validate(complete))
    for name in given.keys() - {"slack_url", "public_url"}:
        with pytest.raises(ConfigurationError, match="set all, or none"):
            create_app(Settings.model_validate({**complete, name: None}))
    with pytest.raises(ConfigurationError, match="HITL_PUBLIC_URL"):
        create_app(Settings.model_validate({**complete, "public_url": None}))


@pytest.mark.parametrize("text", ["ada", "U1=", "=ada", "U1=ada,U1=grace", "@ada=ada", ","])
def test_operators_are_named_one_for_each_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HITL_SLACK_OPERATORS", " U1 = ada, W2=Grace Hopper,U3=ada,")
    operators = {"U1": "ada", "W2": "Grace Hopper", "U3": "ada"}
    assert load_settings().slack_operators == operators
    monkeypatch.setenv("HITL_SLACK_OPERATORS", text)
    with pytest.raises(ConfigurationError, match="HITL_SLACK_OPERATORS"):
        load_settings()
