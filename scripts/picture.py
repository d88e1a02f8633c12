"""The picture of the graph, drawn from the compiled graph itself.

In README.md between its markers, and alone in docs/graph.mmd.
"""

import re
from pathlib import Path

from langgraph.checkpoint.memory import InMemorySaver

from hitl_orchestrator.graph.build import Graph, build
from hitl_orchestrator.nodes.agents import load_agents
from hitl_orchestrator.server.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README, ALONE = ROOT / "README.md", ROOT / "docs" / "graph.mmd"
BETWEEN_MARKERS = re.compile(
    r"(<!-- drawn by scripts/picture -->\n).*?(<!-- end of the drawing -->)", re.DOTALL
)


def build_default() -> Graph:
    """Compile the graph over the default agents."""
    settings = Settings()
    return build(load_agents(settings.agents, settings), InMemorySaver())


def drawn() -> str:
    """Return it as Mermaid."""
    return build_default().get_graph().draw_mermaid()


def shown_in(page: str, picture: str) -> str:
    return BETWEEN_MARKERS.sub(
        lambda found: f"{found[1]}```mermaid\n{picture}```\n{found[2]}", page
    )


if __name__ == "__main__":
    picture = drawn()
    ALONE.write_text(picture, "utf-8")
    README.write_text(shown_in(README.read_text("utf-8"), picture), "utf-8")
    print(f"Drawn into {README.relative_to(ROOT)} and {ALONE.relative_to(ROOT)}.")
