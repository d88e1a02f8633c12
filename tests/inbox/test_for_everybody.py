"""Everybody can use every page: axe finds nothing, nothing scrolls sideways, nothing runs."""

from typing import Any

import pytest

from tests.api.calls import Json, answering
from tests.inbox.axe import find_violations
from tests.inbox.browser import DESK, PHONE, Inbox, Window, approval
from tests.inbox.test_deciding import QUESTIONS

UNSEEN = "\u202e\u200b\u3164\u115f\u2800\ufe0f\u00ad\U000e0041"
HOSTILE = (
    f"<script>window.ran = 1</script><img src=//evil.example/x onerror='window.ran = 2'>{UNSEEN}"
    "<svg onload='window.ran = 3'><a href='javascript:window.ran = 4'>x</a> ![x](//evil.example/y)"
    " [x](javascript:window.ran=5) </textarea><style>body { display: none }</style> {{ 7 * 7 }}"
)
LONG = "W" * 5000
HOSTILE_QUESTIONS: dict[str, Json] = {
    "approval": {
        "question": HOSTILE,
        "kind": "approval",
        "additionalContext": HOSTILE + "\n\n" + HOSTILE,
        "action": {
            "name": HOSTILE[:200],
            "arguments": {HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE, {LONG: LONG}]}},
        },
    },
    "choice": {
        "question": HOSTILE,
        "kind": "choice",
        "allowFreeForm": True,
        "options": [
            {"id": HOSTILE[:100], "label": HOSTILE, "description": LONG},
            {"id": "b", "label": LONG},
        ],
    },
    "form": {
        "question": HOSTILE,
        "kind": "form",
        "responseSchema": {
            "type": "object",
            "required": [HOSTILE],
            "properties": {
                HOSTILE: {"type": "string", "title": HOSTILE, "description": HOSTILE},
                "e": {"enum": [HOSTILE, LONG]},
                "d": {"type": "string", "default": HOSTILE, "maxLength": 900},
            },
        },
    },
    "open": {"prompt": HOSTILE, HOSTILE: [HOSTILE, LONG]},
}
SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["1280", "375"])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


async def check(window: Window) -> None:
    """Fail with what axe finds, and with what is wider than the screen."""
    await window.page.wait_for_timeout(150)
    assert await find_violations(window.page) == []
    await check_width(window)


async def check_width(window: Window) -> None:
    beyond = await window.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert beyond <= 0, f"{beyond} px scroll sideways"


async def ask_all(inbox: Inbox) -> dict[str, Json]:
    return {kind: await inbox.ask(question) for kind, question in QUESTIONS.items()}


@SCHEMES
@SIZES
async def test_axe_finds_nothing_on_any_page(
    inbox: Inbox, size: tuple[int, int], scheme: Any
) -> None:
    runs = await ask_all(inbox)
    done = await inbox.ask(approval("Done"))
    body = answering(done, approved=True, editedArguments={"order": "B", "amount_eur": 16})
    grace = {"operator": {"id": "grace", "displayName": "Grace Hopper"}}
    await inbox.api.post("/api/hitl/resume?wait=10", json={**body, **grace})
    several: Json = {
        "action_requests": [{"name": "a", "args": {}}, {"name": "b", "args": {"n": [1]}}]
    }
    configs = [{"action_name": n, "allowed_decisions": ["approve", "reject"]} for n in "ab"]
    several_run = await inbox.ask({**several, "review_configs": configs})
    paths = [
        "/inbox",
        *[f"/inbox/q/{run['pendingRequestId']}" for run in runs.values()],
        f"/inbox/q/{runs['approval']['pendingRequestId']}?edit=1",
        f"/inbox/q/{several_run['pendingRequestId']}",
        f"/inbox/q/{done['pendingRequestId']}",
        "/inbox?text=nothing+of+the+kind",
        "/inbox/runs",
        "/inbox/runs?status=failed",
        f"/inbox/runs/{done['runId']}",
        f"/inbox/runs/{runs['form']['runId']}",
        "/inbox/decided",
        "/inbox/q/nobody",
    ]
    async with inbox.open(size=size, color_scheme=scheme) as window:
        for path in paths:
            await window.page.goto(path)
            await check(window)


@SCHEMES
@SIZES
async def test_axe_finds_nothing_in_any_state(
    inbox: Inbox, size: tuple[int, int], scheme: Any
) -> None:
    high = await inbox.ask(approval("High", urgency="high", expiresInSeconds=900))
    runs = await ask_all(inbox)
    async with inbox.open(size=size, color_scheme=scheme) as window:
        await window.page.goto(f"/inbox/q/{high['pendingRequestId']}")
        await window.settle()
        await window.page.click("[value=approve]")  # armed
        await check(window)
        await window.page.click("[value=reject]")
        await check(window)
        await window.settle()
        await window.page.click("[data-mode='']:visible")
        await window.settle()
        await window.page.click("[data-mode=note]")
        await window.page.wait_for_selector("#note")
        await check(window)
        await window.page.goto(f"/inbox/q/{runs['form']['pendingRequestId']}")
        await window.settle()
        await window.page.click("[value=form]")  # errors
        await window.page.wait_for_selector("text=fields need")
        await check(window)
        await window.page.click("[name=more]")
        await window.page.wait_for_selector("[name=less]")
        await check(window)
        await window.page.goto(f"/inbox/q/{runs['approval']['pendingRequestId']}")
        await window.settle()
        await window.page.click("[data-mode=cancel]")
        await check(window)
        await window.settle()
        await window.page.click("[data-mode='']:visible")
        await window.settle()
        await window.page.click("[value=approve]")  # held back
        await window.page.wait_for_selector("#receipt >> text=Approving")
        await check(window)
        await window.context.set_offline(True)
        await window.page.click("#receipt button")
        await window.page.wait_for_timeout(300)
        await check(window)
        await window.context.set_offline(False)
        await window.page.goto("/inbox")
        await window.page.evaluate("document.getElementById('keys').showModal()")
        await check(window)


@SCHEMES
@SIZES
async def test_axe_finds_nothing_at_the_door_and_when_all_is_done(
    inbox: Inbox, size: tuple[int, int], scheme: Any
) -> None:
    async with inbox.open(size=size, color_scheme=scheme) as window:
        await window.page.wait_for_selector("text=Nothing is waiting for you")
        await check(window)
    async with inbox.open(size=size, color_scheme=scheme, key=None) as window:
        await check(window)
        await window.page.fill("#key", "wrong")
        await window.press("Enter")
        await window.page.wait_for_selector("text=not accepted")
        await check(window)


@SIZES
@pytest.mark.parametrize("kind", HOSTILE_QUESTIONS)
async def test_a_hostile_question_runs_nothing_and_hides_nothing(
    inbox: Inbox, kind: str, size: tuple[int, int]
) -> None:
    run = await inbox.ask(HOSTILE_QUESTIONS[kind], objective=HOSTILE)
    pages = [f"/inbox/q/{run['pendingRequestId']}", "/inbox", "/inbox/runs"]
    pages += [f"/inbox/runs/{run['runId']}"]
    if kind == "approval":
        pages.append(f"/inbox/q/{run['pendingRequestId']}?edit=1")
    async with inbox.open(size=size) as window:
        for path in pages:
            await window.page.goto(path)
            await check_width(window)
            assert await window.page.evaluate("window.ran") is None
            assert "{{ 7 * 7 }}" in await window.page.content()
        await window.page.goto(pages[0])
        title = await window.title()
        for mark in ("U+202E", "U+200B", "U+3164", "U+115F", "U+2800", "U+FE0F", "U+00AD"):
            assert mark in title
        assert "U+E0041" in title
        assert "<script>" in title


async def test_a_large_argument_is_whole_and_breaks_nothing(inbox: Inbox) -> None:
    lines = "\n".join(f"line {number} " + "x" * 90 for number in range(2000))
    action = {"name": "send", "arguments": {"text": lines, "word": LONG}}
    run = await inbox.ask({"question": "Send it?", "kind": "approval", "action": action})
    async with inbox.open(f"/inbox/q/{run['pendingRequestId']}", size=PHONE) as window:
        shown = await window.page.inner_text(".action")
        assert lines in shown
        assert LONG in shown
        assert await window.page.is_visible("text=Part of what would run is further down")
        await check_width(window)


async def test_texts_that_look_like_other_values_are_told_apart(inbox: Inbox) -> None:
    payload: Json = {
        "prompt": "?",
        "number": 15,
        "text": "15",
        "none": None,
        "null": "null",
        "empty": "",
        "list": [],
        "object": {},
        "yes": True,
        "true": "true",
    }
    await inbox.ask(payload)
    async with inbox.open() as window:
        rows = await window.page.locator(".action .arguments > div").all_inner_texts()
        assert [" ".join(row.split()) for row in rows] == [
            "prompt ?",
            "number 15",
            "text 15 text",
            "none null",
            "null null text",
            "empty empty text",
            "list empty list",
            "object empty object",
            "yes true",
            "true true text",
        ]


async def test_ten_rows_are_on_a_screen(inbox: Inbox) -> None:
    for number in range(12):
        name = f"Refund the {number}. order of November although its thirty days are over"
        await inbox.ask(approval(name if number % 2 else f"Refund {number}"))
    async with inbox.open() as window:
        seen = await window.page.evaluate(
            "[...document.querySelectorAll('.row')]"
            ".filter(row => row.getBoundingClientRect().bottom <= innerHeight).length"
        )
        assert seen >= 10


async def test_buttons_are_large_enough_for_a_thumb(inbox: Inbox) -> None:
    run = await inbox.ask(QUESTIONS["approval"])
    async with inbox.open(f"/inbox/q/{run['pendingRequestId']}", size=PHONE) as window:
        heights = await window.page.evaluate(
            "[...document.querySelectorAll('#decide button, #decide a, .top a, .back')]"
            ".filter(one => one.checkVisibility())"
            ".map(one => [one.innerText, one.getBoundingClientRect().height])"
        )
        assert [one for one in heights if one[1] < 44] == []
