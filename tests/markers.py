"""Which marks a test bears by itself: what it needs tells."""

import pytest

# Fixtures and names that a test file imports; whoever uses one of them needs what the mark says.
POSTGRES = {"postgres", "temporary_postgres", "EmbeddedPostgres"}
PROCESS = {"live_server", "one_server", "office", "desk", "HITL", "serving", "running", "working"}
BROWSER = {"browser", "chromium"}
FILES_WITH_PROCESSES = {
    "test_discovery.py",
    "test_docs.py",
    "test_embedded.py",
    "test_imports.py",
    "test_loading.py",
    "test_notebooks.py",
    "test_runbook.py",
}


def mark(item: pytest.Item) -> None:
    needed = {*getattr(item, "fixturenames", ()), *vars(getattr(item, "module", item))}
    if needed & POSTGRES:
        item.add_marker(pytest.mark.postgres)
    if needed & PROCESS or item.path.name in FILES_WITH_PROCESSES or "faults" in item.path.parts:
        item.add_marker(pytest.mark.process)
    if needed & BROWSER:
        item.add_marker(pytest.mark.browser)
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker(pytest.mark.slow)
