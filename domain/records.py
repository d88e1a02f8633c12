"""What the records of the domain have in common: one shape in the graph's state, in rows and on the
wire.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, JsonValue

Json = JsonValue
JsonObject = dict[str, JsonValue]


class Record(BaseModel):
    """Immutable. Fields carry the wire's names, so that `json()` is what an API client sees and
    what a checkpoint keeps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def json_object(self) -> JsonObject:
        return self.model_dump(mode="json")

    def but(self, **changes: Any) -> Self:
        """The same with some fields changed. The values are trusted to be of their fields'
        types.
        """
        return self.model_copy(update=changes)
