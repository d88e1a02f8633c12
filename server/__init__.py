"""Mouth and ears: REST, streams, the command line; and the wiring of everything."""

import os

# Read when LangGraph is imported, by whatever of ours comes first: a checkpoint holds data, and
# calls nothing.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
