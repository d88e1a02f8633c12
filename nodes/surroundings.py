"""What an agent is run with besides its input: its context, its config, and the run's metadata."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel
from typing_extensions import is_typeddict

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.nodes.plain import make_plain
from hitl_orchestrator.nodes.run_kinds import AgentGraph, AgentRun

_OURS = {"thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map"}  # of `configurable`
_CONFIG_KEYS = RunnableConfig.__annotations__.keys()

Build = Callable[[JsonObject], Any]  # from a task


def find_needed_context(run: AgentRun) -> list[str]:
    """Return the fields without which the graph's context cannot be made."""
    schema = getattr(run, "context_schema", None)
    return list_required(cast("type[Any]", schema)) if isinstance(schema, type) else []


def list_required(schema: type[Any]) -> list[str]:
    """Return the fields that have no default."""
    if is_typeddict(schema):
        return sorted(getattr(schema, "__required_keys__", ()))
    if issubclass(schema, BaseModel):
        return [name for name, field in schema.model_fields.items() if field.is_required()]
    if is_dataclass(schema):
        return [
            one.name
            for one in fields(schema)
            if one.init and one.default is MISSING and one.default_factory is MISSING
        ]
    return []


def build_remote(context: Build | None, config: Build | None, task: JsonObject) -> JsonObject:
    """Return the `context` and the `config` that a graph behind an API is run with. Raise Invalid.

    Only what the mapping says: such a server takes `configurable` or a context, not both.
    """
    given: dict[str, Any] = {}
    if context is not None:
        given["context"] = _call("context", context, task)
    if config is not None:
        given["config"] = _read_config(config, task)
    return cast(JsonObject, make_plain("What it is run with", given))


def build_context(build: Build | None, graph: AgentGraph, task: JsonObject) -> Any:
    """Return the runtime context; of a graph whose context has defaults only, those."""
    if build is not None:
        return _call("context", build, task)
    return {} if isinstance(graph.context_schema, type) else None


def add_config(build: Build | None, task: JsonObject, config: RunnableConfig) -> RunnableConfig:
    """Return the config with the agent's own in it. Raise Invalid.

    `configurable.metadata` is the run's. What says where the thread is kept is ours.
    """
    own = _read_config(build, task) if build else dict[str, Any]()
    ours = config.get("configurable", {})
    own["configurable"] = {"metadata": task["metadata"], **(own.get("configurable") or {}), **ours}
    own["metadata"] = {**(own.get("metadata") or {}), **config.get("metadata", {})}
    own["callbacks"] = own.get("callbacks", config.get("callbacks"))
    return cast(RunnableConfig, {**config, **own})


def _read_config(build: Build, task: JsonObject) -> dict[str, Any]:
    given: object = _call("config", build, task)
    if not isinstance(given, Mapping):
        raise Invalid(f"The mapping's `config` returned {type(given).__name__}, not a mapping")
    own: dict[str, Any] = {**cast(Mapping[str, Any], given)}
    if unknown := [str(key) for key in own if key not in _CONFIG_KEYS]:
        raise Invalid(
            f"The mapping's `config` has {', '.join(unknown)}, which is no key of a RunnableConfig;"
            " an agent's own values stand in `configurable`"
        )
    configurable = cast("dict[str, Any]", own.get("configurable") or {})
    if taken := [key for key in configurable if key in _OURS or key.startswith("__")]:
        raise Invalid(f"The mapping's `config` may not set {', '.join(taken)}")
    return own


def _call(key: str, build: Build, task: JsonObject) -> Any:
    try:
        return build(task)
    except Exception as error:  # foreign code: what it raises is the reason
        raise Invalid(f"The mapping's `{key}` raised {type(error).__name__}: {error}") from error
