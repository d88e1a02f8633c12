"""Ten paused runs, then ten thousand: what a start, a look at the queue and a resume take, and what
the process holds.

python -m tests.bench.paused
"""

import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psycopg

from tests.processes import Running, serving
from tests.temporary import temporary_postgres

FEW, MANY = 10, 10_000
STARTS, LOOKS, RESUMES = 3, 50, 9
TABLES = (
    "orchestrator_runs",
    "hitl_requests",
    "audit_entries",
    "run_events",
    "checkpoints",
    "checkpoint_blobs",
    "checkpoint_writes",
)

Json = dict[str, Any]


def served(database_url: str, log: Path) -> AbstractContextManager[Running]:
    return serving(database_url, "counting.py:left", HITL_TEST_LOG=str(log))


def paused_run(database_url: str, log: Path) -> Json:
    with served(database_url, log) as server, server.client() as client:
        run = client.post(
            "/api/runs?wait=30", json={"objective": "Count", "outputs": ["left"]}
        ).json()
        assert run["status"] == "awaiting_hitl", run
        return run


def copy(database_url: str, run: Json, first: int, last: int) -> None:
    """Whole rows with other ids in them, also in what is stored as bytes: runs that can be
    resumed.
    """
    ids = [
        name.partition("_")[2] for name in (run["runId"], run["threadId"], run["pendingRequestId"])
    ]
    row, other = "row_to_json(original)::text", "md5(n::text)"
    for one in ids:
        replaced = f"replace({row}, '{one}', {other})"
        row = f"replace({replaced}, '{one.encode().hex()}', encode({other}::bytea, 'hex'))"
    with psycopg.connect(database_url, autocommit=True) as conn:
        for table in TABLES:
            key = "run_id" if table in ("audit_entries", "run_events") else "thread_id"
            made = f"json_populate_record(NULL::{table}, {row}::json)"
            copies = f"generate_series({first}, {last}) n, {made} made"
            query = f"INSERT INTO {table} SELECT made.* FROM {table} original, {copies}"  # noqa: S608
            conn.execute(
                f"{query} WHERE original.{key} LIKE '%{ids[key == 'thread_id']}%'".encode()
            )
        conn.execute("VACUUM ANALYZE")


def measured(database_url: str, log: Path) -> dict[str, float]:
    starts, looks, resumes, ends, held = [list[float]() for _ in range(5)]
    for start in range(STARTS):
        began = time.monotonic()
        with served(database_url, log) as server, server.client() as client:
            starts.append(time.monotonic() - began)
            looks += [
                seconds(lambda: client.get("/api/hitl/pending?limit=5").raise_for_status())
                for _ in range(LOOKS)
            ]
            if start == STARTS - 1:
                found: list[Json] = client.get(f"/api/hitl/pending?limit={RESUMES}").json()["runs"]
                for run in found:
                    resumes.append(seconds(partial(answer, client, run)))
                    ends.append(seconds(partial(end, client, run)))
            held.append(resident_megabytes(server.process.pid))
    return {
        "start-up of the process, s": median(starts),
        "`GET /api/hitl/pending?limit=5`, ms": median(looks) * 1000,
        "a resume until its 200, ms": median(resumes[1:]) * 1000,  # the first one warms up
        "then until its run has ended, ms": median(ends[1:]) * 1000,
        "memory of the process, MB": median(held),
    }


def answer(client: httpx.Client, run: Json) -> None:
    responses = [{"requestId": run["pendingRequestId"], "freeformText": "yes"}]
    client.post(
        "/api/hitl/resume",
        json={"runId": run["runId"], "requestId": run["pendingRequestId"], "responses": responses},
    ).raise_for_status()


def end(client: httpx.Client, run: Json) -> None:
    ended = client.get(f"/api/runs/{run['runId']}?wait=30").json()
    assert (ended["status"], ended["result"]["outputs"]) == ("completed", {"left": "yes"}), ended


def seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def resident_megabytes(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0


def main() -> None:
    with temporary_postgres() as postgres:
        database_url, log = postgres.start(), postgres.folder / "work.log"
        run = paused_run(database_url, log)
        copy(database_url, run, 2, FEW)
        few = measured(database_url, log)
        copy(database_url, paused_run(database_url, log), FEW + 1, MANY + RESUMES)
        many = measured(database_url, log)
    lines = [
        f"| | {FEW} paused runs | {MANY:,} paused runs | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {what} | {few[what]:.3g} | {many[what]:.3g} | {many[what] / few[what]:.2f} |"
        for what in few
    ]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
