"""Debian's nginx in front of a server, with the very configuration that the runbook shows."""

import os
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.processes import find_free_port
from tests.repository import ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
PREFIX, HOST = "/hitl", "ops.example.com"  # as the runbook has them
PROXY = "127.0.0.1"  # where nginx calls the server from
# What the runbook tells to start the server with.
BEHIND_NGINX = {
    "HITL_ROOT_PATH": PREFIX,
    "HITL_ALLOWED_HOSTS": HOST,
    "HITL_TRUSTED_PROXIES": PROXY,
}
WITH_SIGN_IN = {**BEHIND_NGINX, "HITL_TRUSTED_USER_HEADER": "X-Forwarded-User"}
START_SECONDS = 10.0


@dataclass
class Nginx:
    """`url`: where the server is for who comes through it, with the prefix and no slash behind."""

    url: str
    certificate: Path

    def client(self, address: str = "127.0.0.1", **headers: str) -> httpx.Client:
        """Return a client that calls from that address of loopback, by the name of the runbook."""
        return httpx.Client(
            base_url=self.url,
            headers={"Host": HOST, **headers},
            transport=httpx.HTTPTransport(verify=self.trust(), local_address=address),
            timeout=30,
        )

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


@contextmanager
def nginx(server_url: str, user: str | None = None) -> Generator[Nginx]:
    """Run nginx in front of that server until the block is left.

    `user`: whom the proxy signs in, whoever calls; empty: nobody, and pages are refused. None: the
    proxy signs nobody in, and pages ask for a key.
    """
    with TemporaryDirectory() as made, _signing_in(user) as sign_in_url:
        folder = Path(made)
        certificate, key = _make_certificate(folder)
        port = find_free_port()
        block = fill_in(
            read_block(signs_in=user is not None),
            {
                "listen 443 ": f"listen 127.0.0.1:{port} ",
                "/etc/ssl/certs/ops.example.com.pem": str(certificate),
                "/etc/ssl/private/ops.example.com.key": str(key),
                "http://127.0.0.1:8080": server_url,
                **({"http://127.0.0.1:4180": sign_in_url} if sign_in_url else {}),
            },
        )
        configuration = folder / "nginx.conf"
        configuration.write_text(_write_configuration(folder, block))
        with _running(configuration, port):
            yield Nginx(f"https://127.0.0.1:{port}{PREFIX}", certificate)


def read_block(*, signs_in: bool) -> str:
    """Return the server block of the runbook; there are two."""
    blocks = re.findall(r"^```nginx\n(.*?)^```", RUNBOOK.read_text("utf-8"), re.DOTALL | re.M)
    found = [block for block in blocks if ("auth_request" in block) is signs_in]
    assert len(found) == 1, f"{len(found)} blocks of nginx for signs_in={signs_in}"
    return found[0]


def fill_in(block: str, places: Mapping[str, str]) -> str:
    """Put this machine's addresses and files into the runbook's block, which has to have each."""
    for shown, here in places.items():
        assert shown in block, f"the runbook's block has no {shown!r}"
        block = block.replace(shown, here)
    return block


@contextmanager
def answering(app: ASGIApp) -> Generator[str]:
    """Let an app answer on a free port, in a thread; yield its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_level="critical",
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            ws="none",
        )
        server = uvicorn.Server(config)
        listening.listen()  # from here on a call waits, and is not refused
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _signing_in(user: str | None) -> Generator[str | None]:
    """Answer nginx's question who calls: always that user."""

    async def sign_in(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/oauth2/sign_in":
            response = PlainTextResponse("Sign in.")
        elif user:
            response = PlainTextResponse("", headers={"X-Auth-Request-User": user})
        else:
            response = PlainTextResponse("", 401)
        await response(scope, receive, send)

    with nullcontext() if user is None else answering(sign_in) as url:
        yield url


def _make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that signs itself, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    arguments = (
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
        f" -subj /CN={HOST} -addext subjectAltName=DNS:{HOST},DNS:localhost,IP:127.0.0.1"
    )
    subprocess.run(
        [_find_program("openssl"), *arguments.split(), "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    return certificate, key


def _write_configuration(folder: Path, block: str) -> str:
    """Write the least around the block that lets nginx run in a folder, by whoever runs it."""
    temporary = "\n".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
user {pwd.getpwuid(os.geteuid()).pw_name};
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors;
events {{ }}
http {{
access_log {folder}/calls;
{temporary}
{block}
}}
"""


@contextmanager
def _running(configuration: Path, port: int) -> Generator[None]:
    errors = configuration.with_name("errors")
    command = [_find_program("nginx"), "-e", errors, "-c", configuration]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while not _is_listening(port):
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"nginx did not come up:\n{errors.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _find_program(name: str) -> str:
    """Return where it is; an ordinary user's PATH may lack the folder of nginx."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed here: install it, on Debian with `apt install {name}`."
    return found


def _is_listening(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0
