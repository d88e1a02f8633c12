"""What stops a client command.

ClientError                 one line for a person; `exit_code` is the command's
├── BadInput                a file or a setting that cannot be used: wrong usage
├── NoServer                nothing says where a server is
├── NoAnswer                no server answers, or something else than our server does
└── RefusedByServer         the server said no
    └── UnknownToServer     the server knows no such thing
"""

from typing import Any


class ClientError(Exception):
    """`detail` is one line for a person."""

    exit_code = 1

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadInput(ClientError):
    exit_code = 2


class NoServer(ClientError):
    pass


class NoAnswer(ClientError):
    pass


class RefusedByServer(ClientError):
    """`status` is HTTP's, `problem` the body."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        said = problem.get("detail") or problem.get("title")
        super().__init__(str(said or f"The server answered {status}."))
        self.status = status
        self.problem = problem


class UnknownToServer(RefusedByServer):
    pass
