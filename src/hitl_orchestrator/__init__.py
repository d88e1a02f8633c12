"""The place where LangGraph agents ask people, and people answer.

The folders beside this file are links to the top-level ones, so that nobody's `graph` meets ours.
"""
