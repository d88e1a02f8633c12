"""The graph for tools that read langgraph.json, such as `langgraph dev`.

The agents of the settings, in memory, without our server.
"""

from functools import cache

from langgraph.checkpoint.memory import InMemorySaver

from hitl_orchestrator.graph.build import Graph, build
from hitl_orchestrator.nodes.model import build_chat_model
from hitl_orchestrator.nodes.proposal import build_proposer
from hitl_orchestrator.server.services import agents_of
from hitl_orchestrator.server.settings import load_settings


@cache  # such tools call it for each run, and plugged-in graphs keep their threads in its saver
def orchestrator() -> Graph:
    settings = load_settings()
    model = build_chat_model(
        settings.openai_api_key, settings.openai_model, settings.openai_base_url
    )
    return build(agents_of(settings), InMemorySaver(), build_proposer(model) if model else None)
