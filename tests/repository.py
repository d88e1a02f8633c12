"""Where the repository is, and which of its folders are the program's."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("domain", "nodes", "desk", "graph", "checkpoints", "server")
