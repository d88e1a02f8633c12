"""A small MCP server of somebody else: one tool looks, one tool sends."""

import sys
from pathlib import Path

from mcp.server import MCPServer
from mcp_types import ToolAnnotations


def build(log: Path) -> MCPServer:
    server = MCPServer("post office")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def look() -> str:
        """Look what was sent."""
        return log.read_text() if log.exists() else ""

    @server.tool()
    def send(to: str, copies: int = 1) -> str:
        """Send a letter."""
        with log.open("a") as lines:
            lines.write(f"{to} {copies}\n")
        return f"sent to {to}"

    assert callable(look)
    assert callable(send)
    return server


if __name__ == "__main__":
    build(Path(sys.argv[1])).run("stdio")
