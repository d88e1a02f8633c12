"""The command line: `hitl-agent [--url URL] [--key KEY] [--home FOLDER] [--at-once N] ENTRY…`."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from hitl_agent import __version__
from hitl_agent.describing import Agent
from hitl_agent.home import CHECKPOINTS, STORE, HomeTaken, open_home
from hitl_agent.loading import CannotLoad, load_agents
from hitl_agent.saver import LocalSaver
from hitl_agent.server import Refused, Server
from hitl_agent.serving import serve
from hitl_agent.store import LocalStore
from hitl_agent.workroom import Workroom

ENDED, REFUSED, WRONG = 0, 1, 2

_HELP = """
ENTRY is path/graph.py:graph, package.module:name or langgraph.json:NAME: a LangGraph graph, or a
mapping that describes an agent. It works here and is known to the server at URL.
"""
_CODES = "Ends with 0 by SIGTERM or ctrl-c, 1 if the server refuses, 2 if it cannot begin."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the agents that the command line names. Ends the process."""
    given = _read_arguments(arguments)
    try:
        agents = load_agents(given.entries)
        with open_home(given.home) as home:
            code = asyncio.run(_run(agents, given, home))
    except (CannotLoad, HomeTaken, OSError) as error:
        tell(str(error))
        code = WRONG
    except KeyboardInterrupt:  # where signals cannot be handled otherwise
        code = ENDED
    sys.exit(code)


def tell(line: str) -> None:
    """Say to the person who started it what happens."""
    print(f"hitl-agent: {line}", file=sys.stderr, flush=True)  # noqa: T201


async def _run(agents: Sequence[Agent], given: argparse.Namespace, home: str) -> int:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # of Windows
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    workroom = Workroom()
    saver, store = LocalSaver(given.home / CHECKPOINTS), LocalStore(given.home / STORE)
    server = Server(given.url, given.key, tell)
    code = ENDED
    try:
        at_once: int = given.at_once
        await serve(agents, server, saver, workroom, home, tell, ended, at_once, store)
    except Refused as refused:
        tell(f"the server refuses: {refused}")
        code = REFUSED
    finally:
        is_left = await workroom.close()
        await server.close()
        saver.close()
        store.close()
    if is_left:
        tell("an agent that cannot be stopped is still at work, and is cut off")
        sys.stderr.flush()
        os._exit(code)  # a thread cannot be stopped otherwise
    return code


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("hitl-agent", description=_HELP, epilog=_CODES)
    parser.add_argument("entries", metavar="ENTRY", nargs="+", help="an agent")
    url, key = os.environ.get("HITL_URL"), os.environ.get("HITL_KEY") or os.environ.get("API_KEY")
    parser.add_argument("--url", default=url, help="of the server; else HITL_URL")
    parser.add_argument("--key", help="of the scope `work`; else HITL_KEY, or API_KEY")
    home = Path(".hitl-agent")
    parser.add_argument("--home", type=Path, default=home, help=f"for its checkpoints ({home})")
    parser.add_argument("--at-once", type=int, default=10, help="steps of each agent (10)")
    parser.add_argument("--version", action="version", version=f"hitl-agent {__version__}")
    given = parser.parse_args(arguments)
    given.key = given.key or key
    if not _is_address(given.url or ""):
        parser.error("the address of the server is needed: --url http://… or HITL_URL")
    if not given.key or not given.key.isascii() or not given.key.isprintable():
        parser.error("a key is needed: --key, HITL_KEY or API_KEY; `hitl keys add` makes one")
    if given.at_once < 1:
        parser.error("--at-once must be 1 or more")
    return given


def _is_address(url: str) -> bool:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return address.scheme in ("http", "https") and bool(address.host)
