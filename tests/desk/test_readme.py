"""The posts in the README are those that the desk makes of this project's own changelog."""

import re
from typing import Any

from tests.desk.acme import desk, picked, run, task
from tests.repository import ROOT


async def test_the_readme_has_the_posts_as_they_come_out() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    facets: dict[str, Any] = {"source": (ROOT / "CHANGELOG.md").read_text("utf-8")}
    facets |= (await run(desk()["strategist"], task(facets, OBJECTIVE), picked("operators")))[0]
    facets |= (await run(desk()["writer"], task(facets, OBJECTIVE)))[0]
    facets |= (await run(desk()["reviewer"], task(facets, OBJECTIVE)))[0]

    assert f'hitl run --objective "{OBJECTIVE}" --input source=CHANGELOG.md' in readme
    assert (facets["review"]["passed"], facets["review"]["issues"]) == (True, [])
    shown = dict(re.findall(r"\$ cat outbox/\*/\*/(\w+)\.txt\n(.*?)(?=\n\$ |\n```)", readme, re.S))
    texts = {post["channel"]: post["text"] for post in facets["drafts"]["posts"]}
    assert shown == texts | {"email": f"Subject: HITL Orchestrator 0.1.0\n\n{texts['email']}"}


OBJECTIVE = "Announce this release"
