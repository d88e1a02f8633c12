"""What happens is on every page at once, by one stream for all tabs of a browser."""

import asyncio

import httpx
from playwright.async_api import Browser, Route

from tests.api.calls import answering
from tests.inbox.browser import Inbox, approval, until
from tests.inbox.conftest import serving_inbox
from tests.processes import find_free_port, serving

TABS = 8  # two more than the connections that a browser opens to one server


async def test_questions_come_and_go_by_themselves(inbox: Inbox) -> None:
    async with inbox.open() as window:
        await window.page.wait_for_selector("#live >> text=Live")
        run = await inbox.ask(approval("New"))
        await window.page.wait_for_selector("#rows .row >> text=New?")
        await window.page.wait_for_function("() => document.title.startsWith('(1) ')")
        assert await window.read("#counts") == "1 waiting · oldest 0 s"
        await inbox.api.post("/api/hitl/resume", json=answering(run, approved=True))
        await window.page.wait_for_selector("text=Nothing is waiting.")
        await window.page.wait_for_function("() => document.title.startsWith('Inbox')")


async def test_eight_tabs_share_one_stream(inbox: Inbox) -> None:
    async with inbox.open() as window:
        pages = [window.page]
        for _ in range(TABS - 1):
            page = await window.context.new_page()
            await page.goto("/inbox")  # the seventh would hang
            pages.append(page)
        await inbox.ask(approval("For all"))
        for page in pages:
            await page.wait_for_selector("#rows .row >> text=For all?")
            await page.wait_for_selector("#live >> text=Live")
        # and when the one that listens is closed, another does
        await pages[0].close()
        await inbox.ask(approval("For the others"))
        for page in pages[1:]:
            await page.wait_for_selector("#rows .row >> text=For the others?")


async def test_what_came_while_a_tab_was_being_opened_is_on_it(inbox: Inbox) -> None:
    async with inbox.open() as window:
        await window.page.wait_for_selector("#live >> text=Live")
        page = await window.context.new_page()

        async def ask_first(route: Route) -> None:
            await inbox.ask(approval("Between"))
            await window.page.wait_for_selector("#rows .row >> text=Between?")
            await route.continue_()

        await page.route("**/inbox.js", ask_first)
        await page.goto("/inbox")
        await page.wait_for_selector("#rows .row >> text=Between?")


async def test_a_steady_stream_still_refreshes_the_list(inbox: Inbox) -> None:
    async with inbox.open() as window:
        await window.page.wait_for_selector("#live >> text=Live")
        lists: list[str] = []
        window.page.on(
            "request", lambda request: lists.append(request.url) if "/list" in request.url else None
        )
        seconds = 3.0
        end = asyncio.get_running_loop().time() + seconds
        number = 0
        while asyncio.get_running_loop().time() < end:
            body = {
                "objective": f"S{number}",
                "inputs": {"question": approval(f"S{number}")},
                "outputs": ["answer"],
            }
            await inbox.api.post("/api/runs", json=body)
            await asyncio.sleep(0.05)
            number += 1
        assert len(await window.page.query_selector_all("#rows .row")) > 5, "meanwhile"
        assert len(lists) <= seconds * 2 + 2
        await window.page.wait_for_selector(f"#counts >> text={number} waiting")


async def test_what_was_missed_is_asked_for(browser: Browser, database_url: str) -> None:
    port = str(find_free_port())
    with serving(database_url, "asks.py:agent", PORT=port) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            client.headers["Authorization"] = f"Bearer {server.api_key}"
            inbox = Inbox(server, client, browser)
            first = await inbox.ask(approval("First"))
            async with inbox.open() as window:
                await window.page.wait_for_selector("#live >> text=Live")
                window.allow("net::ERR_")
                server.kill()
                await window.page.wait_for_selector("#live >> text=Reconnecting")
                with serving(database_url, "asks.py:agent", PORT=port):
                    await client.post("/api/hitl/resume", json=answering(first, approved=True))
                    await inbox.ask(approval("Second"))
                    await window.page.wait_for_selector("#rows .row >> text=Second?")
                    await window.page.wait_for_selector("#decide >> text=approved this")
                    await window.page.wait_for_selector("#live >> text=Live")


async def test_a_stream_that_comes_back_after_the_session_ended_says_so(
    browser: Browser, database_url: str
) -> None:
    port = str(find_free_port())
    async with (
        serving_inbox(database_url, browser, PORT=port) as inbox,
        inbox.open() as window,
    ):
        window.allow("401 Unauthorized: GET", "ERR_")
        await window.page.wait_for_selector("#live >> text=Live")
        await window.context.clear_cookies()
        inbox.server.kill()
        with serving(database_url, PORT=port):
            await window.page.wait_for_selector("#live >> text=Signed out")


async def test_a_run_is_followed_until_it_ends(inbox: Inbox) -> None:
    run = await inbox.ask(approval("Last"))
    async with inbox.open(f"/inbox/runs/{run['runId']}") as window:
        await window.page.wait_for_selector(".status >> text=Awaiting an answer")
        await inbox.api.post("/api/hitl/resume", json=answering(run, approved=True))
        await window.page.wait_for_selector(".status >> text=Completed")
        assert "chain verified" in await window.read("#run")
        assert "Somebody approved this" in await window.read("#run")


async def test_a_run_is_cancelled_on_its_page(inbox: Inbox) -> None:
    run = await inbox.ask(approval("Stop"))
    async with inbox.open(f"/inbox/runs/{run['runId']}") as window:
        await window.page.click("text=Cancel this run")
        await window.page.fill("#reason", "Not needed")
        await window.page.click("text=Cancel the run")
        await window.page.wait_for_selector(".status >> text=Cancelled")
        assert "Ada Lovelace cancelled the run: “Not needed”" in await window.read("#run")
        await window.page.goto("/inbox/decided?by=me")
        assert "Stop?" in await window.read("main")

        async def is_cancelled() -> bool:
            return (await inbox.read(run))["status"] == "cancelled"

        await until(is_cancelled)


async def test_the_queue_is_searched_and_filtered_by_its_address(inbox: Inbox) -> None:
    await inbox.ask(approval("Apples", urgency="high"))
    await inbox.ask(approval("Pears"), objective="Of autumn")
    async with inbox.open() as window:
        await window.press("/")
        await window.write("AUTUMN")
        await window.page.wait_for_function(
            "() => document.querySelectorAll('#rows .row').length === 1"
        )
        assert "Pears?" in await window.read("#rows")
        await window.page.goto("/inbox?urgency=high")
        assert "Apples?" in await window.read("#rows")
        await window.page.goto("/inbox?text=melons")
        assert "Nothing waiting fits this filter." in await window.read("#rows")
        await window.page.click("#rows a")
        assert await window.page.locator("#rows .row").count() == 2


async def test_a_long_queue_is_read_page_by_page(inbox: Inbox) -> None:
    await asyncio.gather(*(inbox.ask(approval(f"N{number}")) for number in range(60)))
    async with inbox.open(java_script_enabled=False) as window:
        seen = await window.page.locator(".row-question").all_inner_texts()
        await window.page.click("text=Next page")
        seen += await window.page.locator(".row-question").all_inner_texts()
        assert sorted(seen) == sorted(f"N{number}?" for number in range(60))
    async with inbox.open() as window:
        await window.page.click("text=Show more")
        await window.page.wait_for_function(
            "() => document.querySelectorAll('#rows .row').length === 60"
        )
        await inbox.ask(approval("One more"))
        await window.page.wait_for_function(
            "() => document.querySelectorAll('#rows .row').length === 61"
        )
