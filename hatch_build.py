"""Put the top-level folders into the wheel under their import root.

An editable install finds them by the links in `src/hitl_orchestrator` instead.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("domain", "nodes", "desk", "graph", "checkpoints", "server")


class TopLevelFolders(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"] |= {name: f"hitl_orchestrator/{name}" for name in FOLDERS}
            build_data["force_include"]["elsewhere/hitl_agent"] = "hitl_agent"
