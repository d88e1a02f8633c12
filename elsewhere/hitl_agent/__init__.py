"""A LangGraph agent that works in your environment, and asks people through a HITL server."""

__version__ = "0.1.0"
