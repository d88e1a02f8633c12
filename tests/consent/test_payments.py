"""Whatever is answered, killed and deployed in whatever order: a payment is made after its own yes
alone, once, and `deliver` is in the audit for what the agent heard and for nothing else.
"""

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.forked import Forked, serving

Json = dict[str, Any]
VERSIONS = ["whole", "ann_renamed", "bob_renamed", "dropped", "missing"]
HELD_SECONDS = 3.0
ENDED = ("completed", "failed", "cancelled")


class Act(NamedTuple):
    """What is said to the question that waits, if anything; then the process is killed and this
    version deployed: right after the 200, or at rest where nothing was said. None: nobody dies.
    """

    says: bool | None
    deploys: str | None


@dataclass
class Case:
    """One run, and what was decided of it with a 200, by payee."""

    database_url: str
    log: Path
    decided: dict[str, bool] = field(default_factory=dict[str, bool])
    refused: int = 0
    run: Json = field(default_factory=dict[str, Any])
    _stack: ExitStack = field(default_factory=ExitStack)
    _api: httpx.Client = field(default_factory=httpx.Client)

    def deploy(self, version: str) -> None:
        self.end()
        self._server: Forked = self._stack.enter_context(
            serving(
                self.database_url,
                f"payments.py:{version}",
                HITL_TEST_LOG=str(self.log),
                HITL_CLAIM_SECONDS="1",
            )
        )
        self._api = self._stack.enter_context(self._server.client())

    def end(self) -> None:
        """Kill the process."""
        self._stack.close()

    def start(self) -> None:
        body = {"objective": "Pay", "outputs": ["paid"], "agents": ["payments"]}
        self.run = self._call("/api/runs?wait=30", body).json()

    def answer(self, says: bool) -> None:
        name = self.run["pendingRequestId"]
        payee = self.find_payee(name)
        body = {
            "runId": self.run["runId"],
            "requestId": name,
            "responses": [{"requestId": name, "approved": says}],
        }
        response = self._call("/api/hitl/resume", body)
        if response.status_code == 200:
            assert payee not in self.decided
            self.decided[payee] = says
        else:
            assert (response.status_code, "held" in response.json()) == (409, True), response.text
            self.refused += 1

    def wait_for_rest(self) -> None:
        """Until the run waits for a person, has ended, or is held and goes on being so.

        A process that has just come may find only then that a held run fits.
        """
        begun = time.monotonic()
        held_until = begun + HELD_SECONDS
        while time.monotonic() < begun + 60:
            self.run = self._api.get(f"/api/runs/{self.run['runId']}?wait=1").json()
            is_at_rest = self.run["status"] in ("awaiting_hitl", *ENDED)
            if self.run["held"]:
                is_at_rest = time.monotonic() > held_until
            if is_at_rest:
                return
            time.sleep(0.05)
        raise AssertionError(self.run)

    def _call(self, path: str, body: Json) -> httpx.Response:
        return self._api.post(path, json=body)

    def find_payee(self, request_id: str) -> str:
        (request,) = [one for one in self.run["requests"] if one["requestId"] == request_id]
        return request["question"].split()[1].rstrip("?")


ACTS = st.builds(
    Act, st.sampled_from([True, True, False, None]), st.sampled_from([None, *VERSIONS])
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "acts",
    [
        [Act(True, "ann_renamed"), Act(False, None)],
        [Act(None, "dropped"), Act(False, None), Act(True, "missing")],
        [Act(True, "missing"), Act(None, "whole"), Act(False, "bob_renamed")],
        [Act(True, None), Act(False, "dropped")],
    ],
)
def test_after_these_deploys_a_payment_is_made_after_its_own_yes_alone_and_once(
    database_url: str, tmp_path: Path, acts: list[Act]
) -> None:
    run_through(database_url, tmp_path, acts)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts=st.lists(ACTS, min_size=1, max_size=4))
def test_whatever_is_deployed_a_payment_is_made_after_its_own_yes_alone_and_once(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, acts: list[Act]
) -> None:
    run_through(database_url, tmp_path_factory.mktemp("payments"), acts)


def run_through(database_url: str, folder: Path, acts: list[Act]) -> None:
    case = Case(database_url, folder / "log")
    try:
        case.deploy("whole")
        case.start()
        for act in acts:
            play(case, act)
        finish(case)
    finally:
        case.end()
    check(case)


def finish(case: Case) -> None:
    """Say yes to what is left, under the version that fits: which one it is depends on the acts."""
    for version in VERSIONS * 2:
        case.deploy(version)
        case.wait_for_rest()
        while case.run["status"] == "awaiting_hitl" and not case.run["held"]:
            play(case, Act(True, None))
        if case.run["status"] in ENDED:
            return


def play(case: Case, act: Act) -> None:
    go = case.log.with_name("go")
    go.unlink(missing_ok=True)
    if act.says is not None and case.run["status"] == "awaiting_hitl":
        case.answer(act.says)
    if act.deploys:
        case.deploy(act.deploys)
    go.touch()
    case.wait_for_rest()


def check(case: Case) -> None:
    assert (case.run["status"], case.run["held"]) == ("completed", None), case.run
    lines = Counter(case.log.read_text().splitlines()) if case.log.exists() else Counter[str]()
    paid = {payee for payee in ("ann", "bob") if lines[f"{payee} paid"]}
    heard = {line.split()[0] for line in lines if "heard" in line}
    said_yes = {payee for payee, yes in case.decided.items() if yes}
    assert paid == heard == said_yes
    assert all(lines[f"{payee} paid"] == 1 for payee in paid), lines
    assert not [line for line in lines if "heard" in line and not line.endswith("True")], lines
    delivered = {
        case.find_payee(entry["requestId"])
        for entry in case.run["metadata"]["auditLog"]
        if entry["action"] == "deliver"
    }
    assert delivered == said_yes
