"""What can be stored: JSON that a row of Postgres and a checkpoint both give back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel, ValidationError

from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.json_values import Unstorable, check_storable, write_json
from hitl_orchestrator.domain.records import Json, describe_misfit
from hitl_orchestrator.server.body import parse_body

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "is not plain JSON"),
        (object(), "is not plain JSON"),
        ({"text": "\ud800"}, "holds a lone surrogate"),
        ([[{"text": "a\0b"}]], "holds a NUL character"),
        ({"a\0": 1}, "holds a NUL character"),
        ([2**64], "holds a whole number of more than 64 bits"),
        ({"a": [-(2**63) - 1]}, "holds a whole number of more than 64 bits"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_reason(value: object, why: str) -> None:
    with pytest.raises(Unstorable) as refused:
        check_storable(value)
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize("value", ["\\u0000", {"n": 2**64 - 1}, [-(2**63)], 1e300, True, "😀"])
def test_what_only_looks_so_can_be(value: Json) -> None:
    assert check_storable(value) == len(json.dumps(value, ensure_ascii=False).encode())


@given(JSON)
def test_what_is_let_through_a_checkpoint_gives_back(value: Json) -> None:
    try:
        check_storable(value)
    except Unstorable:
        return
    serializer = JsonPlusSerializer()
    assert serializer.loads_typed(serializer.dumps_typed(value)) == value


@given(JSON)
def test_what_an_agent_may_propose_a_body_may_hold(value: Json) -> None:
    try:
        check_storable(value)
    except Unstorable:
        return
    sent = json.dumps({"editedArguments": value}).encode()
    assert parse_body("application/json", sent) == {"editedArguments": value}


@given(JSON)
def test_what_can_be_stored_is_written_as_it_is(value: Json) -> None:
    try:
        check_storable(value)
    except Unstorable:
        return
    assert json.loads(write_json(value)) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a\0": "b\0\ud800"}, {"a\ufffd": "b\ufffd?"}),
        ({"a": "b\0", "c": "\\u0000"}, {"a": "b\ufffd", "c": "\\u0000"}),
        ({"a": "ü😀"}, {"a": "ü😀"}),
    ],
)
def test_what_cannot_be_stored_is_replaced_where_it_is_shown(value: Json, written: Json) -> None:
    assert json.loads(write_json(value)) == written


@pytest.mark.parametrize("said", ["Ann", "Ann\0", "Ann\ud800"])
def test_records_are_written_as_the_wire_has_them(said: str) -> None:
    person = Person.model_construct(id=said)
    written = json.loads(write_json({"by": person, "none": None}))
    assert written == json.loads(write_json({"by": person.json_object(), "none": None}))


def test_what_is_nested_deeply_is_written_too() -> None:
    value: Json = "deep"
    for _ in range(400):
        value = [value]
    assert json.loads(write_json(value)) == value


class Inner(BaseModel):
    size: int


class Outer(BaseModel):
    inner: Inner


@pytest.mark.parametrize(
    ("value", "within", "said"),
    [
        ({"inner": {"size": "x"}}, (), "`inner.size`: Input should be a valid integer"),
        ({}, ("facets",), "`facets.inner`: Field required"),
        (5, (), "Input should be a valid dictionary"),
    ],
)
def test_the_first_misfit_is_said_with_its_path(
    value: object, within: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate(value)
    assert describe_misfit(refused.value, *within).startswith(said)
