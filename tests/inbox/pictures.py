"""Pictures of every page and state of the inbox, from the seeded story: `scripts/pictures`."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.inbox.browser import DESK, PHONE, Inbox, Window, chromium
from tests.inbox.conftest import serving_inbox
from tests.inbox.story import (
    AGENTS_OF_STORY,
    GRACE,
    Story,
    answer,
    seed_ended,
    seed_held,
    seed_waiting,
)
from tests.repository import ROOT
from tests.temporary import temporary_database, temporary_postgres

FOLDER = ROOT / "docs" / "pictures"
LOOKS: Mapping[str, dict[str, Any]] = {
    "light": {"size": DESK, "color_scheme": "light"},
    "dark": {"size": DESK, "color_scheme": "dark"},
    "phone": {"size": PHONE, "color_scheme": "light"},
}
REACTION_MS = 500  # nobody decides sooner


class Picture(NamedTuple):
    """Where, and what is done there before it is taken.

    `path`: `@name` is a question of the story. A step is a key, `.` and a selector to click, or
    `=` and a text to type.
    """

    path: str
    steps: tuple[str, ...] = ()
    is_signed_in: bool = True
    is_whole: bool = False


PICTURES: Mapping[str, Picture] = {
    "sign-in": Picture("/inbox", is_signed_in=False),
    "queue": Picture("/inbox"),
    "approval": Picture("@mail"),
    "choice": Picture("@rollout", ("2",)),
    "freeform": Picture("@press"),
    "form": Picture("@journey"),
    "open": Picture("@schedule"),
    "several": Picture("@cleanup_2"),
    "publish": Picture("@publish"),
    "edit": Picture("@refund", ("e", ".#f\\/amount_eur", "Control+a", "=150")),
    "reject": Picture("@refund", ("r", "=Thirty days are over")),
    "armed": Picture("@deploy", ("a",)),
    "holding": Picture("@refund", ("a",)),
    "errors": Picture("@journey", (".[value=form]",)),
    "ended": Picture("@edited"),
    "expired": Picture("@expired"),
    "held": Picture("@held"),
    "keys": Picture("/inbox", ("?",)),
    "nothing": Picture("/inbox?text=nothing+of+the+kind"),
    "run": Picture("#publish", is_whole=True),
    "runs": Picture("/inbox/runs"),
    "decided": Picture("/inbox/decided"),
    "offline": Picture("@press"),
    "meanwhile": Picture("@mail"),
    "empty": Picture("/inbox"),  # the last: nothing waits behind it
}


async def main(*names: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    async with _opening() as (inbox, story):
        for name in names or PICTURES:
            for look, options in LOOKS.items():
                target = str(FOLDER / f"{name}-{look}.png")
                await _take(inbox, story, name, target, options)
            print(f"docs/pictures/{name}-*.png")  # noqa: T201


@asynccontextmanager
async def _opening() -> AsyncGenerator[tuple[Inbox, Story]]:
    with temporary_postgres() as postgres:
        async with temporary_database(postgres.start()) as url, chromium() as browser:
            held = await seed_held(url)
            async with serving_inbox(url, browser, HITL_AGENTS=AGENTS_OF_STORY) as inbox:
                story = Story(held.runs, held.questions)
                await seed_ended(inbox.api, story)
                await seed_waiting(inbox.api, story)
                yield inbox, story


async def _take(
    inbox: Inbox, story: Story, name: str, target: str, options: dict[str, Any]
) -> None:
    if name == "empty":
        await inbox.clear()
    picture = PICTURES[name]
    key: dict[str, Any] = {} if picture.is_signed_in else {"key": None}
    async with inbox.open(_find_path(picture.path, story), **options, **key) as window:
        window.allow("422", "ERR_")
        await window.page.wait_for_timeout(REACTION_MS)
        await _act(window, story, name, picture)
        await window.page.wait_for_timeout(REACTION_MS)
        await window.page.screenshot(path=target, full_page=picture.is_whole)
        if name == "holding":
            await window.press("z")  # the story goes on


def _find_path(path: str, story: Story) -> str:
    if path.startswith("@"):
        return f"/inbox/q/{story.questions[path[1:]]}"
    return f"/inbox/runs/{story.runs[path[1:]]}" if path.startswith("#") else path


async def _act(window: Window, story: Story, name: str, picture: Picture) -> None:
    for step in picture.steps:
        if step.startswith("."):
            await window.page.click(step[1:])
        elif step.startswith("="):
            await window.write(step[1:])
        else:
            await window.press(step)
        await window.page.wait_for_timeout(REACTION_MS)
    if name == "offline":
        await window.page.fill("#text-answer", "Forty-one minutes; nobody lost anything.")
        await window.context.set_offline(True)
        await window.page.click("[value=write]")
    if name == "meanwhile" and await window.page.is_visible("[value=approve]"):
        request_id = await window.page.get_attribute("#question", "data-id")
        decision = {"approved": True}
        await answer(window.inbox.api, str(request_id), decision, by=GRACE)
        await window.page.wait_for_selector(".over")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
