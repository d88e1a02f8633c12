"""What the command line takes the API's JSON to be, against what /openapi.json says of it."""

from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pytest
from pydantic import SecretStr

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.run import ENDED as ENDED_STATUSES
from hitl_orchestrator.server.app import create_app
from hitl_orchestrator.server.settings import Settings
from hitl_orchestrator.server.terminal import wire
from tests.terminal.samples import OPTIONS

# By TypedDict: the component of /openapi.json that it reads.
COMPONENTS = {
    "OptionJson": "Option",
    "ActionJson": "Action",
    "FacetNamesJson": "FacetNames",
    "ContractSummaryJson": "ContractSummary",
    "RequestJson": "HitlRequest",
    "StepJson": "Step",
    "PlanJson": "Plan",
    "NotDoneJson": "NotDone",
    "ResultJson": "Result",
    "RunErrorJson": "RunError",
    "HeldJson": "Held",
    "RunJson": "Run",
    "RunsJson": "Runs",
    "RequestsJson": "Requests",
    "CountsJson": "QueueCounts",
    "CapabilityJson": "ShownCapability",
    "CapabilitiesJson": "Capabilities",
    "ExecutionContextJson": "ExecutionContext",
    "PausedRunJson": "PausedRun",
    "QueueJson": "Queue",
    "ResumedJson": "Resumed",
}
WITHOUT_A_COMPONENT = {"FrameJson"}  # the data of an event is text there; see below
TYPES = {name: kind for name, kind in vars(wire).items() if is_typeddict(kind)}
SCALARS = {str: "string", int: "integer", bool: "boolean"}

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def components() -> dict[str, Schema]:
    app = create_app(Settings(api_key=SecretStr("k")))
    return app.openapi()["components"]["schemas"]


class Promise:
    """What /openapi.json says about one value."""

    def __init__(self, schema: Schema, components: dict[str, Schema]) -> None:
        self.name = schema.get("$ref", "").rpartition("/")[2]
        self.schema = components[self.name] if self.name else schema
        self._components = components

    def of(self, schema: Schema) -> "Promise":
        return Promise(schema, self._components)

    @property
    def alternatives(self) -> list["Promise"]:
        return [self.of(schema) for schema in self.schema.get("anyOf", [self.schema])]

    @property
    def may_be_null(self) -> bool:
        return any(each.schema.get("type") == "null" for each in self.alternatives)

    @property
    def values(self) -> set[Any]:
        only = {self.schema["const"]} if "const" in self.schema else set[Any]()
        return only | set(self.schema.get("enum", []))

    def keeps(self, annotation: Any) -> bool:
        """Whether every such value is one of that annotation's."""
        if annotation is Any:
            return True
        if annotation in SCALARS:
            return self.schema.get("type") == SCALARS[annotation]
        if is_typeddict(annotation):
            return self.name == COMPONENTS[annotation.__name__]
        origin, inner = get_origin(annotation), get_args(annotation)
        if origin is Literal:
            return self.values == set(inner)
        if origin is list:
            is_list = self.schema.get("type") == "array"
            return is_list and self.of(self.schema["items"]).keeps(inner[0])
        if origin is dict:
            return self.schema.get("type") == "object"
        if origin in (Union, UnionType):
            return self._keeps_optional(*(kind for kind in inner if kind is not NoneType))
        raise AssertionError(f"{annotation} is not a type that JSON on the wire has")

    def _keeps_optional(self, annotation: Any) -> bool:
        others = [each for each in self.alternatives if each.schema.get("type") != "null"]
        return self.may_be_null and all(each.keeps(annotation) for each in others)


def test_every_type_of_the_wire_is_compared_with_something() -> None:
    assert set(TYPES) == set(COMPONENTS) | WITHOUT_A_COMPONENT


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_api_keeps_what_the_command_line_relies_on(
    name: str, components: dict[str, Schema]
) -> None:
    component = components[COMPONENTS[name]]
    for key, annotation in get_type_hints(TYPES[name], include_extras=True).items():
        assert key in component["properties"], f"{name}.{key}"
        promise = Promise(component["properties"][key], components)
        if get_origin(annotation) is NotRequired:
            (annotation,) = get_args(annotation)
        else:
            assert key in component["required"], f"{name}.{key} may be left out"
        assert promise.keeps(annotation), f"{name}.{key}: {annotation} is not {promise.schema}"


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "integer"}),
        (str, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (str | None, {"type": "string"}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}),
        (list[str], {"type": "array", "items": {"type": "integer"}}),
        (list[str], {"type": "string"}),
        (dict[str, Any], {"type": "array", "items": {}}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b", "c"]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a"]}),
        (Literal["a", "b"], {"type": "string"}),
        (wire.PlanJson, {"$ref": "#/components/schemas/Step"}),
    ],
)
def test_a_promise_that_changes_is_noticed(annotation: Any, schema: Schema) -> None:
    assert not Promise(schema, {"Step": {"type": "object"}}).keeps(annotation)


def test_a_frame_has_one_of_the_types_that_the_server_sends() -> None:
    sent = {voice.frame for voice in events.VOICES.values() if voice.frame}
    assert set(get_args(get_type_hints(wire.FrameJson)["type"])) == sent


def test_client_and_server_agree_on_what_ends_a_run_and_its_stream() -> None:
    assert {status.value for status in ENDED_STATUSES} == wire.ENDED
    assert {events.VOICES[kind].frame for kind in events.LAST_FRAMES} == wire.LAST_FRAMES


def test_an_option_is_found_by_id_before_label() -> None:
    options: list[Any] = [
        *OPTIONS,
        {"id": "x", "label": "dev", "description": None},
        {"id": "y", "label": "Twice", "description": None},
        {"id": "z", "label": "twice", "description": None},
    ]
    found = [
        wire.find_option_id(options, text)
        for text in ("dev", "operators", "OPS", "Developers", "twice")
    ]
    assert found == ["dev", "ops", None, "dev", None]
