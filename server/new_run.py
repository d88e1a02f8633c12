"""What a caller says of a new run, whatever it came by."""

from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    model_validator,
)

from hitl_orchestrator.domain.capability import OBJECTIVE, CapabilityId, FacetName
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import NewRun

MOST_ITEMS = 100

# No control, format, line-separating or private-use characters; spelled so that every dialect of
# regular expressions reads it alike.
_PRINTABLE = (
    r"^[^\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ufeff\ufff9-\ufffb\ue000-\uf8ff]+$"
)
Id = Annotated[str, Field(min_length=1, max_length=255, pattern=_PRINTABLE)]


def _whole(value: object) -> object:
    """3.0 is the whole number 3 in JSON; true is none, and "3" is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[StrictInt, BeforeValidator(_whole)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartRun(Body):
    objective: Annotated[str, Field(min_length=1, max_length=10_000)]
    inputs: dict[FacetName, Json] = Field(
        default_factory=dict[str, Json], json_schema_extra={"additionalProperties": False}
    )
    outputs: Annotated[list[FacetName], Field(max_length=MOST_ITEMS)] = Field(
        default_factory=list[str]
    )
    agents: Annotated[list[CapabilityId], Field(max_length=MOST_ITEMS)] | None = None
    threadId: Id | None = None
    maxHitlRequests: Annotated[WholeNumber, Field(ge=0, le=1000)] | None = None
    metadata: JsonObject = Field(default_factory=dict)

    @model_validator(mode="after")
    def _leaves_our_names_alone(self) -> Self:
        if OBJECTIVE in self.inputs:
            raise ValueError(
                f"`inputs` cannot have `{OBJECTIVE}`: that facet is the objective itself"
            )
        if "auditLog" in self.metadata:
            raise ValueError(
                "`metadata` cannot have `auditLog`: the run's own audit log is shown there"
            )
        return self

    def read(self) -> NewRun:
        return NewRun(
            objective=self.objective,
            inputs=self.inputs,
            outputs=tuple(self.outputs),
            agents=None if self.agents is None else tuple(self.agents),
            threadId=self.threadId,
            maxHitlRequests=self.maxHitlRequests,
            metadata=self.metadata,
        )
