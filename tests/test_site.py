"""The docs as a site: built as `scripts/docs` builds it, which refuses dead links and anchors."""

import re
import subprocess
from pathlib import Path

from tests.repository import ROOT

LOADED = re.compile(r'<(?:script|img|iframe|link)[^>]* (?:src|href)="(https?:[^"]*)"')


def test_it_builds_whole_and_its_pages_load_nothing_of_another_host(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts/docs", "build", "--site-dir", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.name: page.read_text("utf-8") for page in tmp_path.rglob("*.html")}
    assert {name: LOADED.findall(page) for name, page in pages.items() if LOADED.search(page)} == {}
    assert 'src="pictures/queue-light.png"' in pages["index.html"]
    assert 'id="hitl_orchestrator.testing.ask_agent"' in pages["testing.html"]
