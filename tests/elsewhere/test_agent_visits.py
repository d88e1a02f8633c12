"""What a visit comes to: by its thread, by the answers, and by where a process died."""

from pathlib import Path

import pytest

from tests.elsewhere.visits import CASES, GRAPHS, Case, check_deaths


@pytest.mark.filterwarnings("ignore:NodeInterrupt is deprecated")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test(case: Case, tmp_path: Path) -> None:
    await case(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
async def test_whenever_it_dies_each_question_gets_its_own_answer(
    name: str, tmp_path: Path
) -> None:
    await check_deaths(name, tmp_path)
