"""The thinking: planner, guard, and the node around every specialist. Knows no database and no
server.
"""
