"""No slip of a finger decides anything, and nothing that was typed is lost."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Route

from tests.api.calls import Json, answering
from tests.inbox.browser import HOLD_MS, Inbox, Window, approval, until


async def types_of(inbox: Inbox, *runs: Json) -> list[list[str]]:
    """Of each run the types of its responses."""
    return [list_types(await inbox.read(run)) for run in runs]


def list_types(run: Json) -> list[str]:
    return [one["responseType"] for one in run["responses"]]


async def answer_elsewhere(inbox: Inbox, run: Json, **response: Any) -> None:
    body = answering(run, **(response or {"approved": True}))
    grace = {"operator": {"id": "grace", "displayName": "Grace Hopper"}}
    answered = await inbox.api.post("/api/hitl/resume?wait=5", json={**body, **grace})
    assert answered.status_code == 200, answered.text


async def ask_some(inbox: Inbox, count: int, name: str = "Q") -> list[Json]:
    return [await inbox.ask(approval(f"{name}{number}")) for number in range(count)]


async def hold(window: Window, key: str, seconds: float) -> None:
    """Hold a key as long: the browser repeats it 30 times a second."""
    for _ in range(int(seconds * 30)):
        await window.page.keyboard.down(key)
        await window.page.wait_for_timeout(33)
    await window.page.keyboard.up(key)


async def test_a_key_held_for_a_second_decides_one(inbox: Inbox) -> None:
    runs = await ask_some(inbox, 5)
    async with inbox.open() as window:
        await window.settle()
        await hold(window, "a", 1)
        await window.until_title("Q1?")
        await window.page.wait_for_timeout(HOLD_MS + 700)
        assert await types_of(inbox, *runs) == [["approval"], [], [], [], []]


async def test_a_double_click_decides_one(inbox: Inbox) -> None:
    runs = await ask_some(inbox, 3)
    async with inbox.open() as window:
        await window.settle()
        await window.page.dblclick("[value=approve]")
        await window.page.wait_for_timeout(HOLD_MS + 700)
        assert await types_of(inbox, *runs) == [["approval"], [], []]


async def test_nothing_decides_a_question_that_nobody_can_have_read(inbox: Inbox) -> None:
    runs = await ask_some(inbox, 3)
    async with inbox.open() as window:
        await window.settle()
        await window.press("j")
        await window.until_title("Q1?")
        await window.press("a")
        await window.page.wait_for_timeout(200)
        assert await window.title() == "Q1?"
        await window.settle()
        await window.press("a")
        await window.until_title("Q2?")
        await until(lambda: _is_answered(inbox, runs[1]))
        assert await types_of(inbox, runs[0], runs[2]) == [[], []]


async def _is_answered(inbox: Inbox, run: Json) -> bool:
    return bool((await inbox.read(run))["responses"])


AT_ONCE = """([within, pressed]) => {
    window.isSamePage = true
    new MutationObserver(() => document.querySelector(pressed)?.click())
        .observe(document.querySelector(within), {childList: true})
}"""


@pytest.mark.parametrize(
    ("within", "pressed"), [(".desk", "#decide [value=approve]"), ("#rows", "#rows .row")]
)
async def test_what_is_pressed_in_the_moment_in_which_it_appears(
    inbox: Inbox, within: str, pressed: str
) -> None:
    """Nothing is there that the script does not know yet: a form would be sent past it."""
    runs = await ask_some(inbox, 3)
    async with inbox.open() as window:
        await window.settle()
        await window.page.evaluate(AT_ONCE, [within, pressed])
        await window.press("j")
        await inbox.ask(approval("Another"))
        await window.page.wait_for_timeout(1500)
        assert await types_of(inbox, *runs) == [[], [], []]
        assert await window.page.evaluate("window.isSamePage")


async def test_what_is_held_back_can_be_taken_back(inbox: Inbox) -> None:
    first, second = await ask_some(inbox, 2)
    async with inbox.open() as window:
        await window.settle()
        await window.press("a")
        await window.until_title("Q1?")
        assert "Approving: Q0?" in await window.read("#receipt")
        await window.press("z")
        await window.until_title("Q0?")
        assert "Nothing was sent" in await window.read("#receipt")
        await window.page.wait_for_timeout(HOLD_MS + 500)
        assert await types_of(inbox, first, second) == [[], []]
        # and once it is not taken back, the server's word is what is said
        await window.press("a")
        await window.until_title("Q1?")
        assert "approved" not in await window.read("#receipt")
        await until(lambda: _says(window, "#receipt", "Ada Lovelace approved this"))
        assert await types_of(inbox, first, second) == [["approval"], []]


async def _says(window: Window, selector: str, words: str) -> bool:
    return words in await window.read(selector)


async def test_what_was_not_taken_is_said_while_another_is_held_back(inbox: Inbox) -> None:
    """Two decisions in a row: that the first came second must not be lost behind the other."""
    first, second, _ = await ask_some(inbox, 3)
    async with inbox.open() as window:
        await window.settle()
        await window.press("a")
        await window.until_title("Q1?")
        await answer_elsewhere(inbox, first, approved=False)
        await window.settle()
        await window.press("a")
        await window.until_title("Q2?")
        await until(lambda: _says(window, "#receipt", "Not taken. Grace Hopper rejected this"))
        assert "Approving: Q1?" in await window.read("#receipt")
        await window.press("z")
        await window.until_title("Q1?")
        assert "Not taken. Grace Hopper" in await window.read("#receipt"), "until it is closed"
        await window.page.wait_for_timeout(HOLD_MS + 300)
        assert await types_of(inbox, first, second) == [["rejection"], []]
        await window.page.click("#receipt .not-taken button")
        assert "Not taken" not in await window.read("#receipt")


async def test_what_the_server_refuses_of_what_was_held_back_is_decided_again(
    inbox: Inbox,
) -> None:
    first, _ = await ask_some(inbox, 2)
    async with inbox.open() as window:
        window.allow("413 ")
        await window.page.evaluate(
            "document.querySelector('#note').removeAttribute('maxlength');"
            "document.querySelector('#note').value = 'x'.repeat(2 ** 20)"
        )
        await window.settle()
        await window.press("a")
        await window.until_title("Q1?")
        await until(lambda: _says(window, "#receipt", "Not sent: the server answered 413"))
        await window.page.wait_for_selector("#rows .row >> text=Q0?")
        assert await types_of(inbox, first) == [[]]


async def test_leaving_the_page_sends_what_is_held_back(inbox: Inbox) -> None:
    first, _ = await ask_some(inbox, 2)
    async with inbox.open() as window:
        await window.settle()
        await window.press("a")
        await window.until_title("Q1?")
        await window.page.goto("/inbox/runs")
        await until(lambda: _is_answered(inbox, first), 3)


async def test_nothing_decides_the_question_that_is_being_left(inbox: Inbox) -> None:
    first, second, _ = await ask_some(inbox, 3)
    async with inbox.open() as window:
        await window.page.route("**/inbox/q/*", _answer_late)
        await window.settle()
        await window.press("j", "j", "a")
        await window.until_title("Q2?")
        assert await types_of(inbox, first, second) == [[], []]
        await window.page.unroute("**/inbox/q/*")
        window.allow("net::ERR_")
        await window.page.route("**/inbox/q/*", lambda route: route.abort())
        await window.settle()
        await window.press("k")
        await until(lambda: _says(window, "#receipt", "The server cannot be reached."))
        await window.page.unroute("**/inbox/q/*")
        await window.press("e", "a", "r", "Control+Enter")  # the one that is still open
        await until(lambda: _says(window, "#receipt", "The server cannot be reached."))


async def test_what_was_typed_for_a_question_that_was_left_is_there_again(inbox: Inbox) -> None:
    first, second, _ = await ask_some(inbox, 3)
    async with inbox.open() as window:
        await window.settle()
        await window.press("r")
        await window.write("because it")
        await window.page.click("#rows .row >> text=Q1?")
        await window.until_title("Q1?")
        assert not await window.page.is_visible("#reason")
        await window.page.click("#rows .row >> text=Q0?")
        await window.until_title("Q0?")
        assert await window.focused() == "title"
        assert await window.page.input_value("#reason") == "because it"
        await window.settle()
        await window.press("Escape", "e")
        await window.page.wait_for_selector("text=Approve with changes")
        assert not await window.page.is_visible("#reason")
        await window.settle()
        await window.press("Escape")
        await window.page.wait_for_selector("[value=approve]")
        await window.settle()
        await window.press("r")
        await window.write("because it")
        await window.press("End")
        await window.write(" is late")
        await window.press("Control+Enter")
        await window.until_title("Q1?")
        assert await types_of(inbox, first, second) == [["rejection"], []]
        [response] = (await inbox.read(first))["responses"]
        assert response["freeformText"] == "because it is late"


async def test_an_edit_that_was_left_is_there_again_however_often_it_is_left(inbox: Inbox) -> None:
    await inbox.ask(approval("Edited") | {"action": {"name": "pay", "arguments": {"to": "A"}}})
    await ask_some(inbox, 1)
    async with inbox.open() as window:
        await window.press("e")
        await window.page.fill(".fields input[name='/to']", "B")
        for _ in range(2):
            await window.page.click("#rows .row >> text=Q0?")
            await window.until_title("Q0?")
            await window.page.click("#rows .row >> text=Edited?")
            await window.until_title("Edited?")
        await window.press("e")
        assert await window.page.input_value(".fields input[name='/to']") == "B"


async def _answer_late(route: Route) -> None:
    await asyncio.sleep(0.3)
    await route.continue_()


async def test_an_urgent_one_that_came_meanwhile_is_next_once(inbox: Inbox) -> None:
    await ask_some(inbox, 3)
    await inbox.ask(approval("Passed by", urgency="high"))
    async with inbox.open() as window:
        await window.until_title("Passed by?")
        await window.settle()
        await window.press("j")
        await window.until_title("Q0?")
        await inbox.ask(approval("Urgent", urgency="high"))
        await window.page.wait_for_selector("#rows .row >> text=Urgent?")
        await window.settle()
        await window.press("a")
        await window.until_title("Urgent?")
        await window.settle()
        await window.press("j", "j")
        await window.until_title("Q2?")
        await window.settle()
        await window.press("k")
        await window.until_title("Q1?")
        await window.settle()
        await window.press("r", "Control+Enter")
        await window.until_title("Q2?")


async def test_waking_from_sleep_sends_nothing(inbox: Inbox) -> None:
    first, _ = await ask_some(inbox, 2)
    async with inbox.open() as window:
        await window.settle()
        await window.press("a")
        await window.until_title("Q1?")
        await window.page.evaluate("const now = Date.now; Date.now = () => now() + 60_000")
        await until(lambda: _says(window, "#receipt", "Not sent: this computer was asleep"))
        assert await types_of(inbox, first) == [[]]
        await window.page.wait_for_selector("#rows .row >> text=Q0?")


async def test_the_last_question_is_not_held_back(inbox: Inbox) -> None:
    (only,) = await ask_some(inbox, 1)
    async with inbox.open() as window:
        await window.settle()
        await window.press("a")
        await window.until_title("Nothing is waiting for you")
        assert await types_of(inbox, only) == [["approval"]]
        assert "Ada Lovelace approved this" in await window.read("#receipt")


async def test_high_urgency_takes_the_key_twice(inbox: Inbox) -> None:
    run = await inbox.ask(approval("Now", urgency="high"))
    async with inbox.open() as window:
        await window.settle()
        await window.press("a", "a")
        await window.page.wait_for_timeout(300)
        assert "Approve really?" in await window.read("[value=approve]")
        assert await types_of(inbox, run) == [[]]
        await window.settle()
        await window.press("a")
        await until(lambda: _is_answered(inbox, run))


async def test_cancelling_a_run_takes_two_presses_and_a_reason(inbox: Inbox) -> None:
    run = await inbox.ask(approval("Stop"))
    async with inbox.open() as window:
        await window.settle()
        await window.page.dblclick("[data-mode=cancel]")
        await window.page.wait_for_timeout(300)
        assert (await inbox.read(run))["status"] == "awaiting_hitl"
        await window.write("Nobody wants it")
        await window.settle()
        await window.page.click("[data-confirmed]")
        await until(lambda: _is_cancelled(inbox, run))
        (entry,) = [
            one
            for one in (await inbox.read(run))["metadata"]["auditLog"]
            if one["action"] == "remove"
        ]
        assert (entry["reason"], entry["operator"]["id"]) == ("Nobody wants it", "ada")


async def _is_cancelled(inbox: Inbox, run: Json) -> bool:
    return (await inbox.read(run))["status"] == "cancelled"


async def test_enter_and_escape_decide_nothing(inbox: Inbox) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    asking = {"question": "How many?", "kind": "form", "responseSchema": schema}
    form, gate = await inbox.ask(asking), await inbox.ask(approval("Gate"))
    async with inbox.open() as window:
        await window.settle()
        await window.press("Enter")
        await window.write("5")
        await window.press("Enter", "Escape", "Escape")
        await window.page.goto(f"/inbox/q/{gate['pendingRequestId']}")
        await window.settle()
        await window.press("Enter", "Escape", "Space", "ArrowDown")
        await window.page.wait_for_timeout(500)
        assert await types_of(inbox, form, gate) == [[], []]


async def test_an_arrival_moves_nothing(inbox: Inbox) -> None:
    await ask_some(inbox, 2)
    async with inbox.open() as window:
        await window.settle()
        await window.press("r")
        await window.write("because it")
        await inbox.ask(approval("Urgent", urgency="high"))
        await window.page.wait_for_selector("#rows .row >> text=Urgent?")
        await window.write(" is late")
        assert await window.page.input_value("#reason") == "because it is late"
        assert (await window.title(), await window.focused()) == ("Q0?", "reason")
        await window.press("Control+Enter")
        await window.until_title("Urgent?")
        assert await window.focused() == "title"


async def test_answered_meanwhile_says_who_and_keeps_what_was_typed(inbox: Inbox) -> None:
    first, second = await ask_some(inbox, 2)
    async with inbox.open() as window:
        await window.settle()
        await window.press("r")
        await window.write("my reason")
        await answer_elsewhere(inbox, first)
        await until(lambda: _says(window, "#decide", "Grace Hopper approved this"), 3)
        assert await window.title() == "Q0?"
        assert await window.page.input_value("[aria-label='What you had written'] textarea") == (
            "my reason"
        )
        await window.page.evaluate("document.activeElement.blur()")
        await window.press("a", "r")
        await window.page.wait_for_timeout(300)
        assert await window.title() == "Q0?"
        await window.press("j")
        await window.until_title("Q1?")
        assert await types_of(inbox, first, second) == [["approval"], []]


async def test_a_decision_that_came_second_says_who_was_first(inbox: Inbox) -> None:
    asking = {"question": "What now?", "kind": "freeform"}
    first = await inbox.ask(asking)
    async with inbox.open(java_script_enabled=False) as window:
        await window.page.fill("#text-answer", "my answer")
        await answer_elsewhere(inbox, first, freeformText="hers")
        await window.page.click("[value=write]")
        assert "Not taken. Grace Hopper answered: “hers”" in await window.read("#decide")
        assert await window.page.input_value("[readonly]") == "my answer"


async def test_two_browsers_and_one_is_first(inbox: Inbox) -> None:
    first, _ = await ask_some(inbox, 2)
    async with (
        inbox.open() as one,
        inbox.open(operator="grace", name="Grace Hopper") as other,
    ):
        await one.settle()
        await one.press("r")
        await one.write("no")
        await asyncio.gather(one.press("Control+Enter"), other.page.wait_for_timeout(10))
        await one.until_title("Q1?")
        await until(lambda: _says(other, "#decide", "Ada Lovelace rejected this: “no”"), 3)
        assert await other.title() == "Q0?"
        assert await types_of(inbox, first) == [["rejection"]]


async def test_out_of_reach_loses_nothing_and_the_same_key_tries_again(inbox: Inbox) -> None:
    run = await inbox.ask({"question": "Offline?", "kind": "freeform"})
    async with inbox.open() as window:
        await window.page.fill("#text-answer", "my long answer")
        await window.context.set_offline(True)
        await window.settle()
        await window.press("Control+Enter")
        await until(lambda: _says(window, "#receipt", "Not sent"), 3)
        assert await window.page.input_value("#text-answer") == "my long answer"
        await window.context.set_offline(False)
        await window.press("Control+Enter")
        await until(lambda: _is_answered(inbox, run))
        assert (await inbox.read(run))["responses"][0]["freeformText"] == "my long answer"


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_that_fails_loses_nothing(inbox: Inbox, status: int) -> None:
    run = await inbox.ask({"question": "Failing?", "kind": "freeform"})
    async with inbox.open() as window:
        window.allow(f"{status} ")
        await window.page.route(
            "**/inbox/q/*",
            lambda route: route.fulfill(status=status, body="away"),
        )
        await window.page.fill("#text-answer", "my long answer")
        await window.settle()
        await window.press("Control+Enter")
        await until(lambda: _says(window, "#receipt", f"Not sent: the server answered {status}"), 3)
        assert await window.page.input_value("#text-answer") == "my long answer"
        await window.page.unroute("**/inbox/q/*")
        await window.press("Control+Enter")
        await until(lambda: _is_answered(inbox, run))


async def test_a_question_opened_after_the_session_ended_is_there_after_the_sign_in(
    inbox: Inbox,
) -> None:
    await inbox.ask({"question": "First?"})
    await inbox.ask({"question": "Second?"})
    async with inbox.open() as window:
        window.allow("401 Unauthorized: GET")
        await window.context.clear_cookies()
        await window.press("j")
        await window.page.wait_for_selector("#key")
        await window.sign_in()
        await window.page.wait_for_selector("#title >> text=Second?")
        await window.press("k")
        await window.page.wait_for_selector("#title >> text=First?")


@pytest.mark.parametrize("script", [True, False])
async def test_a_session_that_ended_loses_nothing(inbox: Inbox, script: bool) -> None:
    run = await inbox.ask({"question": "Still here?", "kind": "freeform"})
    async with inbox.open(java_script_enabled=script) as window:
        await window.page.fill("#text-answer", "typed before\nit ended")
        await window.page.wait_for_timeout(500)
        await window.context.clear_cookies()
        await window.page.click("[value=write]")
        await window.page.wait_for_selector("text=Your session has ended")
        assert (await inbox.read(run))["responses"] == []
        await window.page.fill("#key", inbox.server.api_key)
        await window.page.fill("#operator", "ada")
        await window.page.click("text=Sign in >> nth=-1")
        await window.page.wait_for_selector("text=Nothing was sent")
        assert await window.title() == "Still here?"
        assert await window.page.input_value("#text-answer") == "typed before\nit ended"
        await window.page.wait_for_timeout(500)
        await window.page.click("[value=write]")
        await until(lambda: _is_answered(inbox, run))
