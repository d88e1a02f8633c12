"""The command line, as `python -m hitl_agent`."""

from hitl_agent.main import main

main()
