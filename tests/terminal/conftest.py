from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.processes import DESK, Running, serving
from tests.terminal.desk import ASKING, ASKING_AGENTS, Desk


@pytest.fixture(scope="module")
def server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    """One for all tests of a file: each has runs of its own."""
    agents = tmp_path_factory.mktemp("agents") / "asking.py"
    agents.write_text(ASKING)
    entries = ",".join([*(f"{agents}:{name}" for name in ASKING_AGENTS), DESK])
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with serving(make_conninfo(postgres, dbname=name), HITL_AGENTS=entries) as running:
        yield running


@pytest.fixture
def desk(server: Running, tmp_path: Path) -> Generator[Desk]:
    desk = Desk(server, tmp_path)
    yield desk
    desk.api.close()
