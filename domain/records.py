"""What the records of the domain have in common.

They have one shape in the graph's state, in rows and on the wire.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, GetPydanticSchema, JsonValue, ValidationError
from pydantic_core import core_schema

from hitl_orchestrator.domain.errors import Unreadable

Json = JsonValue
JsonObject = dict[str, JsonValue]


def _look_no_deeper(_source: object, _handler: object) -> core_schema.CoreSchema:
    return core_schema.dict_schema()


# made here of JSON: to look through it once more would take longer than the rest
KnownJsonObject = Annotated[JsonObject, GetPydanticSchema(_look_no_deeper)]

_set = object.__setattr__  # records are frozen


class Record(BaseModel):
    """Immutable. Fields carry the wire's names.

    So what `json_object` returns is what an API client sees and what a checkpoint keeps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, kept: object) -> Self:
        """Return what was kept as a record. Fields that a newer program added are left out.

        A rolling update has two versions on one database. What callers send is validated instead.
        Raise Unreadable: more is different than that.
        """
        with _blaming_a_newer_program():
            return cls.model_validate(kept, extra="ignore")

    @classmethod
    def read_json(cls, kept: bytes) -> Self:
        """Do as `read` does, from JSON."""
        with _blaming_a_newer_program():
            return cls.model_validate_json(kept, extra="ignore")

    def json_object(self) -> JsonObject:
        return self.__pydantic_serializer__.to_python(self, mode="json")

    def json_to_keep(self) -> JsonObject:
        """Return it without the fields that are None, which reading gives back.

        For records of which all such fields may be left out.
        """
        return self.__pydantic_serializer__.to_python(self, mode="json", exclude_none=True)

    def write_json(self) -> bytes:
        """Return the same as bytes, without making the object."""
        return self.__pydantic_serializer__.to_json(self)

    def but(self, **changes: Any) -> Self:
        """Return the same with some fields changed.

        The values are trusted to be of their fields' types. `model_fields_set` stays as it was.
        """
        # as model_copy does, which looks for private attributes and extras besides: there are none
        new = self.__class__.__new__(self.__class__)
        _set(new, "__dict__", {**self.__dict__, **changes})
        _set(new, "__pydantic_fields_set__", self.__pydantic_fields_set__)
        _set(new, "__pydantic_extra__", None)
        _set(new, "__pydantic_private__", None)
        return new


@contextmanager
def _blaming_a_newer_program() -> Generator[None]:
    try:
        yield
    except ValidationError as error:
        raise Unreadable(
            "A newer version of the program wrote this, and this server cannot read it"
            f" ({describe_misfit(error)}). Nothing was changed; a server of that version can."
        ) from error


def describe_misfit(error: ValidationError, *within: str) -> str:
    """Return the first thing that does not fit, as “`path`: why”; `within` stands before the path.

    Without a path, because the whole does not fit, it is only why.
    """
    first = error.errors()[0]
    path = ".".join(map(str, (*within, *first["loc"])))
    why = first["msg"].removeprefix("Value error, ")
    return f"`{path}`: {why}" if path else why
