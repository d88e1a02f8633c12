"""What stops a client command.

ClientError                 one line for a person; `exit_code` is the command's
├── BadInput                a file or a setting that cannot be used: wrong usage
│   └── AmbiguousId         several ids begin so
├── NoServer                nothing says where a server is
├── NoAnswer                no server answers, or something else than our server does
└── RefusedByServer         the server said no
    ├── AlreadyDecided      somebody was first
    └── UnknownToServer     the server knows no such thing
"""

from typing import Any

from hitl_orchestrator.server.terminal.wording import word_problem


class ClientError(Exception):
    """`detail` is one line for a person."""

    exit_code = 1

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadInput(ClientError):
    exit_code = 2


class AmbiguousId(BadInput):
    pass


class NoServer(ClientError):
    pass


class NoAnswer(ClientError):
    pass


class RefusedByServer(ClientError):
    """`status` is HTTP's, `problem` the body; `detail` says it in the command line's words."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(word_problem(status, problem))
        self.status = status
        self.problem = problem


class AlreadyDecided(RefusedByServer):
    """Somebody was first; `decided` says who, what and when."""

    def __init__(self, refused: RefusedByServer, decided: str) -> None:
        super().__init__(refused.status, refused.problem)
        if decided:
            self.detail = f"The question is decided already: {decided}."


class UnknownToServer(RefusedByServer):
    pass
