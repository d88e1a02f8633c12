"""The API against its own description."""

from contextlib import suppress
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance  # pyright: ignore[reportUnknownVariableType]

from tests.processes import API_KEY, Running

EXAMPLES = 25  # of each operation, good and bad ones


def test_the_api_is_as_described(live_server: Running) -> None:
    spec: Any = schemathesis.openapi.from_url(f"{live_server.url}/openapi.json")
    for found in spec.exclude(path_regex="events$").get_all_operations():  # those have no end
        for mode in GenerationMode:
            with suppress(Unsatisfiable):  # bad ones of an operation that takes nothing
                check(found.ok().as_strategy(generation_mode=mode))


def check(cases: Any) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
        ],
    )
    @given(cases)
    def is_as_described(case: Any) -> None:
        if case.headers:
            case.headers.pop("Idempotency-Key", None)  # a replay would not be of this case
            case.headers.pop("Host", None)  # without the key, what is not for us is 421
        # What fits its schema can still be refused: a facet that nobody makes, an answer that
        # contradicts itself, a NUL.
        case.call_and_validate(
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=60,
            excluded_checks=[positive_data_acceptance],
        )

    is_as_described()
