"""The specialists' instructions to the model: files in `prompts/`."""

from importlib.resources import files

from langchain_core.messages import BaseMessage

from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.nodes.model import build_prompt


def instructed(name: str, **data: Json) -> list[BaseMessage]:
    """The instructions of that name, and the data they are about."""
    folder = files("hitl_orchestrator.desk") / "prompts"
    return build_prompt(
        "\n\n".join((folder / f"{part}.md").read_text("utf-8") for part in (name, "data")), data
    )
