"""What needs no key: made once, and with few places."""

import httpx

from hitl_orchestrator.server.limits import OpenPlaces
from tests.api.calls import API_KEY


async def test_the_description_is_made_once(api: httpx.AsyncClient) -> None:
    first, second = await api.get("/openapi.json"), await api.get("/openapi.json")
    assert first.headers["Content-Type"] == "application/json"
    assert first.content == second.content
    assert (await api.get("/docs")).content == (await api.get("/docs")).content
    assert API_KEY not in first.text


def test_a_path_has_only_so_many_places_for_who_has_no_key() -> None:
    places = OpenPlaces(1)
    with places.taken_for("/docs") as first, places.taken_for("/docs") as second:
        assert (first, second) == (True, False)
        with places.taken_for("/readyz") as other:
            assert other
    with places.taken_for("/docs") as again:
        assert again
