"""Each kind of question, decided with and without script: what arrives is what was pressed."""

from typing import Any

import pytest

from tests.api.calls import Json
from tests.inbox.browser import Inbox, Window, approval, until

FORM: Json = {
    "type": "object",
    "required": ["traveller", "seats", "departure"],
    "$defs": {"place": {"type": "string", "minLength": 2}},
    "properties": {
        "traveller": {"type": "string", "description": "As in the passport."},
        "departure": {"type": "string", "format": "date"},
        "class": {"enum": ["Second", "First"], "default": "Second"},
        "seats": {"type": "integer", "minimum": 1, "default": 1},
        "bike": {"type": "boolean", "default": True},
        "stops": {"type": "array", "items": {"$ref": "#/$defs/place"}},
        "invoice": {
            "type": "object",
            "required": ["company"],
            "properties": {
                "company": {"type": "string"},
                "costCentre": {"type": "string", "pattern": "^[0-9]{4}$"},
            },
        },
        "seat": {"oneOf": [{"const": 1, "title": "Window"}, {"const": 2, "title": "Aisle"}]},
        "remark": {"type": ["string", "null"], "maxLength": 500},
    },
}
QUESTIONS: dict[str, Json] = {
    "approval": approval("Pay"),
    "choice": {
        "question": "Which?",
        "kind": "choice",
        "allowFreeForm": True,
        "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B", "description": "Bee"}],
    },
    "freeform": {"question": "What?", "kind": "freeform"},
    "form": {"question": "How?", "kind": "form", "responseSchema": FORM},
    "open": {"prompt": "May I?", "files": ["a", "b"]},
}
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])


async def decided(inbox: Inbox, run: Json) -> Json:
    """Return the response, once it is there."""

    async def has_response() -> bool:
        return bool((await inbox.read(run))["responses"])

    await until(has_response)
    (response,) = (await inbox.read(run))["responses"]
    assert response["metadata"]["via"] == "inbox"
    assert 0 <= response["metadata"]["shownMs"] < 60_000
    assert (response["responderId"], response["responderDisplayName"]) == ("ada", "Ada Lovelace")
    unsaid = {"metadata", "responderId", "responderDisplayName", "requestId", "createdAt"}
    return {name: one for name, one in response.items() if name not in unsaid and one is not None}


async def choose_button(window: Window, decision: str) -> None:
    await window.settle()
    await window.page.click(f"#decide [value={decision}]:visible")


@SCRIPT
@pytest.mark.parametrize(
    ("kind", "steps", "comes"),
    [
        ("approval", ["approve"], {"responseType": "approval", "approved": True}),
        ("choice", ["#b", "choose"], {"responseType": "option", "selectedOptionId": "b"}),
        ("choice", ["=mine", "write"], {"responseType": "freeform", "freeformText": "mine"}),
        (
            "freeform",
            ["=two\nlines", "write"],
            {"responseType": "freeform", "freeformText": "two\nlines"},
        ),
        ("open", ["approve"], {"responseType": "approval", "approved": True}),
        ("open", ["no"], {"responseType": "form", "data": False}),
        ("open", ["=why", "write"], {"responseType": "freeform", "freeformText": "why"}),
        ("open", ['={"n": 1}', "as_json", "write"], {"responseType": "form", "data": {"n": 1}}),
    ],
)
async def test_each_answer(
    inbox: Inbox, kind: str, steps: list[str], comes: Json, script: bool
) -> None:
    run = await inbox.ask(QUESTIONS[kind])
    async with inbox.open(java_script_enabled=script) as window:
        for step in steps:
            if step.startswith("#"):
                await window.page.check(f"[name=option][value={step[1:]}]")
            elif step.startswith("="):
                await window.page.fill("#text-answer", step[1:])
            elif step == "as_json":
                await window.page.check("[name=as_json]")
            else:
                await choose_button(window, step)
        assert await decided(inbox, run) == comes
        await window.page.wait_for_selector("text=Nothing is waiting for you")


@SCRIPT
@pytest.mark.parametrize("kind", QUESTIONS)
async def test_each_kind_can_be_rejected_with_a_reason(
    inbox: Inbox, kind: str, script: bool
) -> None:
    run = await inbox.ask(QUESTIONS[kind])
    async with inbox.open(java_script_enabled=script) as window:
        if script:
            await choose_button(window, "reject")
        await window.page.fill("#reason", "Too dear")
        await window.page.fill("#note", "Said by the board") if not script else None
        await choose_button(window, "reject")
        comes = {"responseType": "rejection", "approved": False, "freeformText": "Too dear"}
        assert await decided(inbox, run) == comes
    if not script:
        audit = (await inbox.read(run))["metadata"]["auditLog"]
        assert [one["note"] for one in audit if one["action"] == "resume"] == ["Said by the board"]


@SCRIPT
async def test_a_form_with_everything(inbox: Inbox, script: bool) -> None:
    run = await inbox.ask(QUESTIONS["form"])
    async with inbox.open(java_script_enabled=script) as window:
        page = window.page
        await page.fill("[name='/invoice/costCentre']", "12")
        await page.fill("[name='/seats']", "none")
        await choose_button(window, "form")
        await page.wait_for_selector("text=fields need another look")
        assert await page.locator(".fields .error:not(.summary)").all_inner_texts() == [
            "This is needed.",
            "This is needed.",
            "This is not a number.",
            "This is needed.",
            "Not in the form that is asked for: ^[0-9]{4}$",
        ]
        if script:
            assert await window.focused() == "f/traveller"
        assert await page.input_value("[name='/seats']") == "none"
        await page.fill("[name='/traveller']", "Grace")
        await page.fill("[name='/departure']", "2026-12-01")
        await page.fill("[name='/seats']", "2")
        await page.fill("[name='/invoice/company']", "ACME")
        await page.fill("[name='/invoice/costCentre']", "1234")
        await page.uncheck("[name='/bike']")
        await page.select_option("[name='/seat']", label="Aisle")
        for number, stop in enumerate(("Linz", "wrong", "Graz")):
            await page.click("[name=more][value='/stops']")
            await page.fill(f"[name='/stops/{number}']", stop)
        await page.click("[name=less][value='/stops/1']")
        await page.wait_for_function("() => document.getElementsByName('/stops/2').length === 0")
        assert await page.input_value("[name='/stops/1']") == "Graz"
        await choose_button(window, "form")
        assert (await decided(inbox, run))["data"] == {
            "traveller": "Grace",
            "departure": "2026-12-01",
            "class": "Second",
            "seats": 2,
            "bike": False,
            "stops": ["Linz", "Graz"],
            "invoice": {"company": "ACME", "costCentre": "1234"},
            "seat": 2,
        }


@SCRIPT
async def test_arguments_are_edited_and_the_difference_is_shown(inbox: Inbox, script: bool) -> None:
    arguments: Json = {
        "to": "ann@example.com",
        "text": "Dear Ann,\n\nwe come on Friday.",
        "copies": 15,
        "empty": "",
        "none": None,
        "yes": True,
        "posts": [{"channel": "x", "tags": ["a", "b"]}, {"channel": "y", "tags": []}],
    }
    action = {"name": "send", "arguments": arguments}
    run = await inbox.ask({"question": "Send it?", "kind": "approval", "action": action})
    async with inbox.open(java_script_enabled=script) as window:
        await window.settle()
        await window.page.click("#decide a >> text=Edit")
        await window.page.fill("[name='/text']", "Dear Ann,\n\nwe come on Sunday.")
        await window.page.fill("[name='/copies']", "16")
        if script:
            await window.page.wait_for_selector("#changes >> text=2 changes")
            assert await window.page.locator("#changes del").all_inner_texts() == ["Friday", "15"]
            assert await window.page.locator("#changes ins").all_inner_texts() == ["Sunday", "16"]
        await choose_button(window, "edit")
        edited = {**arguments, "text": "Dear Ann,\n\nwe come on Sunday.", "copies": 16}
        comes = {"responseType": "approval", "approved": True, "editedArguments": edited}
        assert await decided(inbox, run) == comes


@SCRIPT
async def test_an_answer_in_place_of_the_action(inbox: Inbox, script: bool) -> None:
    decisions = ["approve", "respond"]
    action: Json = {"name": "send", "arguments": {}, "allowedDecisions": decisions}
    run = await inbox.ask({"question": "Send it?", "kind": "approval", "action": action})
    async with inbox.open(java_script_enabled=script) as window:
        assert await window.page.locator("#decide [value=reject]").count() == 0
        if script:
            await window.settle()
            await window.press("w")
        await window.page.fill("#text-answer", "It was sent by hand")
        await choose_button(window, "write")
        comes = {"responseType": "freeform", "freeformText": "It was sent by hand"}
        assert await decided(inbox, run) == comes


async def test_without_script_what_is_grave_is_asked_twice(inbox: Inbox) -> None:
    grave, stopped = (
        await inbox.ask(approval("Now", urgency="high")),
        await inbox.ask(approval("B")),
    )
    async with inbox.open(java_script_enabled=False) as window:
        await window.page.fill("#note", "seen")
        await choose_button(window, "approve")
        assert "Approve really?" in await window.read("main")
        assert (await inbox.read(grave))["responses"] == []
        await window.page.click("main button")
        assert (await decided(inbox, grave))["approved"] is True
        assert "Ada Lovelace approved this" in await window.read("#receipt")
        assert await window.title() == "B?"
        await choose_button(window, "cancel")
        await window.page.fill("#reason", "Nobody wants it")
        await window.page.click("main button")
        assert (await inbox.read(stopped))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (["choose"], "Choose one of the options."),
        (["write"], "Write an answer first."),
    ],
)
@SCRIPT
async def test_what_is_missing_is_said_at_its_field(
    inbox: Inbox, steps: list[str], says: str, script: bool
) -> None:
    await inbox.ask(QUESTIONS["choice"])
    async with inbox.open(java_script_enabled=script) as window:
        for step in steps:
            await choose_button(window, step)
        await window.page.wait_for_selector(f".fields >> text={says}")


async def test_several_of_one_run_in_its_order(inbox: Inbox) -> None:
    actions: list[Any] = [
        {"name": name, "args": {"n": number}, "description": f"{name} it?"}
        for number, name in enumerate(("delete", "merge", "report"))
    ]
    allowed = ["approve", "edit", "reject"]
    configs = [{"action_name": one["name"], "allowed_decisions": allowed} for one in actions]
    run = await inbox.ask({"action_requests": actions, "review_configs": configs})
    async with inbox.open() as window:
        rows = await window.page.locator(".row-question").all_inner_texts()
        assert rows == ["delete it?", "merge it?", "report it?"]
        assert "2 of 3 in its run" in await window.page.locator(".row >> nth=1").inner_text()
        await window.page.click(".siblings >> text=3")
        await window.until_title("report it?")
        await window.settle()
        await window.press("r")
        await window.write("later")
        await window.press("Control+Enter")
        await window.until_title("delete it?")
        assert (await inbox.read(run))["status"] == "awaiting_hitl"


async def test_by_keyboard_alone(inbox: Inbox) -> None:
    """Choice, text, form and edit: no key that is not ours is swallowed."""
    choice, text = await inbox.ask(QUESTIONS["choice"]), await inbox.ask(QUESTIONS["freeform"])
    edit = await inbox.ask(approval("Edit"))
    async with inbox.open() as window:
        await window.settle()
        await window.press("2", "2")
        await window.until_title("What?")
        await window.settle()
        await window.press("Enter")
        await window.write("words with a and r in them")
        await window.press("Control+Enter")
        await window.until_title("Edit?")
        await window.settle()
        await window.press("e")
        await window.page.wait_for_selector("[data-back]")
        await window.settle()
        await window.press("Enter", "Control+a")
        await window.write("other")
        await window.press("Control+Enter")
        await window.until_title("Nothing is waiting for you")
        assert (await decided(inbox, edit))["editedArguments"]["order"] == "other"
        assert (await decided(inbox, text))["freeformText"] == "words with a and r in them"
        assert (await decided(inbox, choice))["selectedOptionId"] == "b"
        await window.press("?")
        assert await window.page.locator("dialog[open]").count() == 1
        await window.press("Escape", "/")
        assert await window.focused() == "text"


async def test_tab_reaches_everything_and_nothing_keeps_it(inbox: Inbox) -> None:
    await inbox.ask(QUESTIONS["form"])
    async with inbox.open() as window:
        seen: list[str] = []
        for _ in range(60):
            await window.press("Tab")
            seen.append(
                await window.page.evaluate(
                    "document.activeElement.name || document.activeElement.value"
                    " || document.activeElement.innerText || document.activeElement.tagName"
                )
            )
        wanted = ["text", "agent", "urgency", "/traveller", "/seats", "more", "decision"]
        assert [one for one in wanted if one not in seen] == []
        assert "BODY" in seen or seen.count(seen[0]) > 1  # it comes round
