"""What mkdocs does not do by itself: pages that lie beside `docs/`, and links that lead out of it.

Links are written for GitHub. Those to another page of the site lead there, those to any other file
of the repository to its source. One that leads to no file is left alone, and mkdocs refuses it.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: Any) -> Files:
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    source = find_source(page.file.src_uri)
    tree = config.extra["source"]
    return LINK.sub(lambda link: f"{link[1]}{lead(source, link[2], tree)}{link[3]}", markdown)


def find_source(page: str) -> str:
    """Return the file of the repository that is this page of the site."""
    return next((source for source, name in PAGES.items() if name == page), f"docs/{page}")


def lead(source: str, link: str, tree: str) -> str:
    """Return where a link in that file leads on the site."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target not in PAGES and not is_of_site(target):
        return f"{tree}/{target}" if (ROOT / target).exists() else link
    here = PAGES.get(source, source.removeprefix("docs/"))
    there = PAGES.get(target, target.removeprefix("docs/"))
    return posixpath.relpath(there, posixpath.dirname(here) or ".")


def is_of_site(target: str) -> bool:
    return target.startswith("docs/") and target.endswith((".md", ".png"))
