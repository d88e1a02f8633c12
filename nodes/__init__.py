"""The thinking: planner, guard, the node around every specialist, and how agents are plugged in.

It knows no database and no server.
"""
