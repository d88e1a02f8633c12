"""Sources in every dialect that we know, a few lines each, and what the desk has to see there."""

from typing import NamedTuple

REPO = "https://github.com/acme/acme"


class Case(NamedTuple):
    """`asks`: the options of the question, where product or version are not certain."""

    name: str
    source: str
    objective: str = "Announce this release"
    product: str = "Acme"
    version: str | None = "1.2.0"
    points: tuple[str, ...] = ()
    link: str | None = None
    urgent: tuple[str, ...] = ()
    prerelease: bool = False
    asks: tuple[str, ...] | None = None


def release(body: str, title: str = "# Acme changelog", heading: str = "## 1.2.0") -> str:
    return f"{title}\n\n{heading}\n\n{body}\n\n## 1.1.0\n\n- An older thing\n"


NAMES_AND_NUMBERS = [
    Case("the newest release", release("- One\n- Two"), points=("One", "Two")),
    Case(
        "an older one that the objective names",
        release("- One"),
        "Announce acme 1.1.0",
        version="1.1.0",
        points=("An older thing",),
    ),
    Case("a number alone", release("- One"), "v1.1.0", version="1.1.0", points=("An older thing",)),
    Case(
        "a number in brackets of a sentence",
        release("- One"),
        "Tell people about the release (1.1.0), please",
        version="1.1.0",
        points=("An older thing",),
    ),
    Case(
        "letters around the number",
        release("- One", "# Changes", "## acme-core@v1.2.0"),
        "Announce acme-core@1.2.0",
        product="acme-core",
        points=("One",),
    ),
    Case(
        "a lower-case name in the heading",
        release("- One", "# History", "## acme-cli 1.2.0 / 2026-10-01"),
        product="acme-cli",
        points=("One",),
    ),
    Case(
        "a lower-case name in the objective",
        release("- One", "# Changelog"),
        "announce acme 1.2.0",
        product="acme",
        points=("One",),
    ),
    Case(
        "a name of two words behind a verb of another language",
        release("- Acme Tools starts faster.", "# Changelog"),
        "Kündige Acme Tools 1.2.0 an",
        product="Acme Tools",
        points=("Acme Tools starts faster.",),
    ),
    Case(
        "a shorter number that fits one release",
        release("- One"),
        "Announce Acme 1.2",
        points=("One",),
    ),
    Case(
        "a shorter number that fits two",
        "# Acme\n\n## 1.2.1\n\n- B\n\n## 1.2.0\n\n- A\n\n## 1.1.0\n\n- Z\n",
        "Announce Acme 1.2",
        asks=("Acme 1.2.1", "Acme 1.2.0"),
    ),
    Case(
        "a number that the source does not have",
        release("- One"),
        "Announce Acme 1.3.0",
        asks=("Acme 1.2.0", "Acme 1.1.0"),
    ),
    Case(
        "two numbers that it has",
        release("- One"),
        "Announce Acme 1.2.0 and 1.1.0",
        asks=("Acme 1.2.0", "Acme 1.1.0"),
    ),
    Case(
        "numbers that are no version",
        release("- One"),
        "Write 5 posts for 24.12.2026 about this release, 20 % shorter",
        points=("One",),
    ),
    Case(
        "another product than the objective's",
        release("- One"),
        "Announce Bolt 1.2.0",
        asks=("Bolt 1.2.0", "Acme 1.2.0"),
    ),
    Case(
        "no product but in addresses",
        release(f"- One ([#7]({REPO}/pull/7))", "# Changelog"),
        asks=("acme 1.2.0",),
    ),
    Case("no product anywhere", release("- One", "# Release History"), asks=()),
    Case(
        "no title at all",
        "## 1.2.0\n\n- One\n",
        "Announce Acme 1.2.0",
        points=("One",),
    ),
    Case(
        "dates as titles",
        "# Acme release notes\n\n## 2026-10-02\n\n- One\n\n## 2026-09-01\n\n- Zero\n",
        version="2026-10-02",
        points=("One",),
    ),
    Case(
        "a date before the number",
        release("- One", "# Acme ChangeLog", "## 2026-10-01, Version 1.2.0 (Current), @jo"),
        points=("One",),
    ),
    Case(
        "dates in words",
        "# Acme\n\n## 2nd October 2026\n\n- One\n\n## September 12, 2026\n\n- Zero\n\n"
        "## August 20, 2026\n\n- Older\n",
        version="2nd October 2026",
        points=("One",),
    ),
    Case(
        "signs behind a heading, too",
        "# Acme #\n\n## 1.2.0 ##\n\n- One\n\n## 1.1.0 ##\n\n- Zero\n",
        points=("One",),
    ),
    Case(
        "numbers that are years and months",
        "# Acme\n\n## 2026.10.1\n\n- One\n\n## 2026.9.0\n\n- Zero\n",
        version="2026.10.1",
        points=("One",),
    ),
    Case(
        "unreleased on top",
        "# Acme\n\n## [Unreleased]\n\n- Soon\n\n## [1.2.0] - 2026-10-01\n\n- One\n",
        points=("One",),
    ),
    Case(
        "a number that is not released yet",
        "# Acme\n\n## 1.3.0 (unreleased)\n\n- Soon\n\n## 1.2.0\n\n- One\n",
        points=("One",),
    ),
    Case(
        "nothing but unreleased", "# Acme\n\n## Unreleased\n\n- Soon\n", asks=("Acme Unreleased",)
    ),
    Case(
        "the newest is yanked",
        release("- One", heading="## [1.2.0] - 2026-10-01 [YANKED]"),
        asks=("Acme 1.2.0", "Acme 1.1.0"),
    ),
    Case(
        "the one that is named is yanked",
        release("- One", heading="## 1.2.0 (yanked)"),
        "Announce Acme 1.2.0",
        asks=("Acme 1.2.0", "Acme 1.1.0"),
    ),
    Case(
        "a candidate",
        release("- One", heading="## 1.2.0-rc.1 (2026-10-01)"),
        version="1.2.0-rc.1",
        prerelease=True,
        points=("One",),
    ),
    Case(
        "a beta as Python numbers it",
        release("- One", heading="## 1.2.0b2"),
        "Announce Acme 1.2.0b2",
        version="1.2.0b2",
        prerelease=True,
        points=("One",),
    ),
    Case("an empty section", release(""), asks=("Acme 1.2.0", "Acme 1.1.0")),
    Case(
        "the same heading twice",
        "# Acme\n\n## 1.2.0\n\n- One\n\n## 1.2.0\n\n- Two\n\n## 1.1.0\n\n- Zero\n",
        points=("One", "Two"),
    ),
    Case(
        "one number of two packages",
        "# Changelog\n\n## core 1.2.0\n\n- One\n\n## cli 1.2.0\n\n- Two\n",
        "Announce 1.2.0",
        asks=("core 1.2.0", "cli 1.2.0"),
    ),
    Case(
        "the one of two packages that the objective names",
        "# Changelog\n\n## core 1.2.0\n\n- One\n\n## cli 1.2.0\n\n- Two\n",
        "Announce core 1.2.0",
        product="core",
        points=("One",),
    ),
    Case(
        "the oldest first",
        "# Acme\n\n## 1.0.0\n\n- A\n\n## 1.1.0\n\n- B\n\n## 1.2.0\n\n- C\n",
        points=("C",),
    ),
    Case(
        "a series that is no release",
        "# Acme\n\n## 1.2.0\n\n- One\n\n## 1.1.x\n\nSee [elsewhere](old.md).\n",
        "Announce Acme 1.2",
        points=("One",),
    ),
    Case(
        "two of which the older stands first",
        "# Acme\n\n## 1.1.5\n\n- A\n\n## 1.2.0\n\n- B\n",
        asks=("Acme 1.1.5", "Acme 1.2.0"),
    ),
    Case(
        "what comes before a release, in brackets",
        release("- One", heading="## 1.2.0 (beta, 2026-10-01)"),
        prerelease=True,
        points=("One",),
    ),
    Case(
        "a product with digits and letters of a candidate",
        release("- One", "# Changelog", "## Alpha3.js 1.2.0"),
        "Announce Alpha3.js 1.2.0",
        product="Alpha3.js",
        points=("One",),
    ),
    Case(
        "a number that only an address has",
        f"## What's Changed\n* One by @jo in {REPO}/pull/7\n\n"
        f"**Full Changelog**: {REPO}/compare/v1.1.0...v1.2.0\n",
        "Announce Acme 1.2.0",
        points=("One",),
        link=f"{REPO}/compare/v1.1.0...v1.2.0",
    ),
    Case(
        "a heading below another's level that is no title",
        "### About\n\nWords.\n\n## 1.2.0\n\n- One\n",
        "Announce Acme 1.2.0",
        points=("One",),
    ),
    Case(
        "a heading of another's level that is no title",
        "## About\n\nWords.\n\n## 1.2.0\n\n- One\n",
        "Announce Acme 1.2.0",
        points=("One",),
    ),
    Case(
        "words above the title of a page, and of a part of it",
        "Acme 1.2.0 is here.\n\n# Acme\n\n## More\n\n- One\n",
        "Announce Acme 1.2.0",
        points=("Acme 1.2.0 is here.", "One"),
    ),
    Case(
        "whole numbers",
        "# Acme\n\n## v5 (2026-10-01)\n\n- One\n\n## v4\n\n- Zero\n",
        "Announce Acme 5",
        version="5",
        points=("One",),
    ),
    Case(
        "levels that say how large a release is",
        "# Acme changelog\n\n## [1.2.0](x) (2026-10-01)\n\n### Bug Fixes\n\n- One\n\n"
        "### 1.1.1 (2026-09-01)\n\n- Zero\n",
        points=("One",),
    ),
    Case(
        "a heading on a release that is none",
        "# Acme\n\n## Upgrading to 1.3\n\nWait.\n\n## 1.2.0\n\n- One\n\n### Python 3.12\n\n- Two\n",
        points=("One", "Two"),
    ),
    Case(
        "a heading above the releases behind them",
        "# Acme\n\n## 1.2.0\n\n- One\n\n# Who we are\n\nA few people.\n",
        points=("One",),
    ),
    Case(
        "a page that is called as all are",
        "# Release notes\n\n- One\n",
        asks=(),
    ),
    Case(
        "a name above the releases that is no first heading's level",
        "## Acme\n\n### 1.2.0\n\n- One\n\n### 1.1.0\n\n- Zero\n",
        points=("One",),
    ),
    Case(
        "Windows line ends under titles",
        "Acme\r\n====\r\n\r\n1.2.0\r\n-----\r\n\r\n- One\r\n\r\n1.1.0\r\n-----\r\n\r\n- Zero\r\n",
        points=("One",),
    ),
    Case(
        "numbers in a heading that is no release",
        release("- One\n\n### Upgrading from 1.1 to 1.2\n\n- Two"),
        points=("One", "Two"),
    ),
]

LISTS_AND_TABLES = [
    Case(
        "only a table",
        release("| Area | Change |\n|---|---|\n| Parser | It is faster |"),
        points=("Parser: It is faster",),
    ),
    Case(
        "a table of three columns",
        release(
            "| Kind | Area | Change |\n|---|---|---|\n| Breaking | API | `old()` is gone |\n"
            "| Fix | | A crash |"
        ),
        points=("Kind: Breaking; Area: API; Change: old() is gone", "Kind: Fix; Change: A crash"),
        urgent=("Kind: Breaking; Area: API; Change: old() is gone",),
    ),
    Case(
        "only a paragraph",
        release("Acme starts faster, e.g. on Windows. It takes 40 % less memory."),
        points=("Acme starts faster, e.g. on Windows.", "It takes 40 % less memory."),
    ),
    Case(
        "Windows line ends",
        release("### Added\n\n- One\n  of two lines\n- Two").replace("\n", "\r\n"),
        points=("One of two lines", "Two"),
    ),
    Case(
        "a list under names",
        release("- Parser\n  - is faster\n  - takes comments\n- Table\n  - Table is new"),
        points=("Parser: is faster", "Parser: takes comments", "Table is new"),
    ),
    Case(
        "a list under a sentence",
        release("- The settings moved to one file.\n  - **Breaking:** old files are refused."),
        points=("The settings moved to one file.", "Breaking: old files are refused."),
        urgent=("Breaking: old files are refused.",),
    ),
    Case(
        "words with a colon as headings",
        release("Security:\n\n- A token was logged\n\nFixes:\n\n- A crash"),
        points=("A token was logged", "A crash"),
        urgent=("A token was logged",),
    ),
    Case(
        "headings in bold",
        release("**Breaking changes**\n\n- Python 3.9 is gone\n\n**New**:\n\n* A theme"),
        points=("Python 3.9 is gone", "A theme"),
        urgent=("Python 3.9 is gone",),
    ),
    Case(
        "tasks, done and not done",
        release("- [x] Search finds notes\n- [ ] Search finds pictures"),
        points=("Search finds notes",),
    ),
    Case(
        "what is struck out",
        release("- ~~A plugin index~~\n- A theme"),
        points=("A theme",),
    ),
    Case(
        "marks that nobody closed",
        release("- One <s>two\n- Three <b>four\n\n<table>\n\n- Five\n"),
        points=("One", "Three four", "Five"),
    ),
    Case(
        "a title that is no name",
        release("- One", "# All that has ever changed here"),
        asks=(),
    ),
    Case(
        "code between sentences",
        release(
            "- Call it so:\n\n  ```py\n  acme()\n  ```\n- A theme\n\nLike this:\n\n```\nx\n```"
        ),
        points=("A theme",),
    ),
    Case(
        "an item of two paragraphs",
        release("- Tokens are shorter.\n\n  This is a breaking change: log in again.\n- A theme"),
        points=("Tokens are shorter.", "This is a breaking change: log in again.", "A theme"),
        urgent=("This is a breaking change: log in again.",),
    ),
    Case(
        "words that lead on to a list",
        release(
            "- These are options that are new:\n  - `--fast`\n  - `--slow`\n- A theme\n\n"
            "...and so on. More..."
        ),
        points=(
            "These are options that are new: --fast",
            "These are options that are new: --slow",
            "A theme",
        ),
    ),
    Case(
        "a verb that is no kind",
        release("- Fixed frames breaking messages\n- Breaking: `old()` is gone\n- One (breaking)"),
        points=("Fixed frames breaking messages", "Breaking: old() is gone", "One (breaking)"),
        urgent=("Breaking: old() is gone", "One (breaking)"),
    ),
    Case(
        "chores that are about security",
        release("### Internal\n\n- Words on vulnerability reports\n- Bump libx for CVE-2026-1111"),
        points=("Words on vulnerability reports", "Bump libx for CVE-2026-1111"),
        urgent=("Bump libx for CVE-2026-1111",),
    ),
    Case(
        "a danger among other things",
        release("### Fixed\n\n- A vulnerability of the parser\n- A crash"),
        points=("A vulnerability of the parser", "A crash"),
        urgent=("A vulnerability of the parser",),
    ),
    Case(
        "an item that only names what is dangerous",
        release("- Security\n  - A token was logged\n- A theme"),
        points=("Security: A token was logged", "A theme"),
        urgent=("Security: A token was logged",),
    ),
    Case(
        "a list under a rule",
        release("- One\n---\n\n1. **Two**\n\n***\n\n- Three"),
        points=("One", "Two", "Three"),
    ),
    Case(
        "sentences with a sign after a word of two letters",
        release("- It runs on Node.js 20 vs. 18. Try it!"),
        points=("It runs on Node.js 20 vs. 18. Try it!",),
    ),
]

MARKUP = [
    Case(
        "numbers of issues and names of people",
        release(
            "- One (#12)\n- Two ([#13](https://github.com/acme/acme/pull/13), thanks @jo)\n"
            "- Three, closes #14\n- Four after #15 was undone\n- Five - by [@jo](https://github.com/jo)"
        ),
        points=("One", "Two", "Three", "Four after #15 was undone", "Five"),
    ),
    Case(
        "what GitHub writes",
        release(
            f"## What's Changed\n* feat: a theme by @jo in {REPO}/pull/7\n"
            f"* fix(api)!: refuse old keys by @li in {REPO}/pull/8\n\n"
            f"## New Contributors\n* @li made their first contribution in {REPO}/pull/8\n\n"
            f"**Full Changelog**: {REPO}/compare/v1.1.0...v1.2.0"
        ),
        points=("feat: a theme", "fix(api)!: refuse old keys"),
        urgent=("fix(api)!: refuse old keys",),
        link=f"{REPO}/compare/v1.1.0...v1.2.0",
    ),
    Case(
        "a pull request's number before the name",
        release(f"* 🐛 Fix a crash. PR [#7]({REPO}/pull/7) by [@jo](https://github.com/jo)."),
        points=("🐛 Fix a crash.",),
    ),
    Case(
        "badges and pictures",
        release(
            "[![build](https://img.shields.io/b.svg)](https://ci.example.com/acme)\n\n"
            "- One ![a picture](https://example.com/p.png)\n"
        ),
        points=("One",),
    ),
    Case(
        "HTML around it",
        '<a id="v1.2.0"></a>\n# Acme\n\n<a name="x"></a>\n\n## <a id="1"></a>1.2.0\n\n'
        "<!-- hidden -->\n- One<br>\n\n<details><summary>More of it</summary>\n\n- Two\n\n"
        "</details>\n\n<ul><li>Three of <b>four</b></li></ul>\n",
        points=("One", "More of it", "Two", "Three of four"),
    ),
    Case(
        "front matter",
        "---\ntitle: Release 9.9.9\nversion: 9.9.9\n---\n\n# Acme\n\n## 1.2.0\n\n- One\n",
        points=("One",),
    ),
    Case(
        "marks of emphasis and code",
        release("- **Faster**: `acme push` sends *all* files, see [how](docs/push.md)"),
        points=("Faster: acme push sends all files, see how",),
    ),
    Case(
        "reStructuredText as towncrier writes it",
        "Acme 1.2.0 (2026-10-01)\n=======================\n\nBugfixes\n--------\n\n"
        "- Fixed ``push`` of :class:`~acme.web.File`\n  -- by :user:`jo`.\n\n\n"
        "  *Related issues:* :issue:`7`.\n\n\n"
        "Acme 1.1.0 (2026-09-01)\n=======================\n\n- Zero\n",
        points=("Fixed push of File.",),
    ),
    Case(
        "reStructuredText with lines above, links and a comment",
        "..\n   A comment\n\n.. image:: b.svg\n\n==============\nAcme changelog\n==============\n\n"
        "1.2.0\n-----\n\n* A theme, see `the guide <https://acme.example.com/guide>`_ (:pr:`7`)\n"
        "* Two of `them`_\n\n.. _them: https://acme.example.com/two\n\n1.1.0\n-----\n\n* Zero\n",
        points=("A theme, see the guide", "Two of them"),
        link="https://acme.example.com/guide",
    ),
    Case(
        "reStructuredText with a table and standards by their number",
        "Acme\n####\n\n1.2.0\n=====\n\n.. warning::\n   Log in again.\n\n"
        "====== ===========================\nArea   Change\n====== ===========================\n"
        "Parser As :rfc:`9110#section-8` says\n====== ===========================\n\n"
        "1.1.0\n=====\n\n* Zero\n",
        points=("Log in again.", "Parser: As RFC 9110 says"),
    ),
    Case(
        "lines of two kinds under titles",
        "Acme\n====\n\n1.2.0\n-----\n\n- One\n\n1.1.0\n-----\n\n- Zero\n",
        points=("One",),
    ),
    Case(
        "lines under titles",
        "1.2.0 / 2026-10-01\n==================\n\n * One\n   - deps: send@0.19.0\n\n"
        "1.1.0 / 2026-09-01\n==================\n\n * Zero\n",
        "Announce acme 1.2.0",
        product="acme",
        points=("One: deps: send@0.19.0",),
    ),
]

LINKS = [
    Case(
        "the heading's own, defined at the end",
        f"# Acme\n\n## [1.2.0] - 2026-10-01\n\n- See [it](https://acme.example.com/docs)\n\n"
        f"[1.2.0]: {REPO}/compare/v1.1.0...v1.2.0\n",
        points=("See it",),
        link=f"{REPO}/compare/v1.1.0...v1.2.0",
    ),
    Case(
        "its tag, in the text",
        release(f"- One at https://acme.example.com/one\n\n[Tag]({REPO}/releases/tag/v1.2.0)"),
        points=("One at https://acme.example.com/one",),
        link=f"{REPO}/releases/tag/v1.2.0",
    ),
    Case(
        "the first of the text that is for readers",
        release(
            "- One, thanks [Jo](https://github.com/jo) ([#1](https://github.com/acme/acme/issues/1))\n"
            "- Two, see [the guide](https://acme.example.com/guide) and "
            "[more](https://acme.example.com/more)"
        ),
        points=("One", "Two, see the guide and more"),
        link="https://acme.example.com/guide",
    ),
    Case(
        "words with links to other places",
        release(
            "It came [here](https://acme.example.com/a) and [there](https://acme.example.com/b)."
        ),
        points=("It came here and there.",),
        link="https://acme.example.com/a",
    ),
    Case(
        "words that lead into the project",
        release("- One\n\nHow it is plugged in is [here](docs/a.md), and why [there](docs/b.md)."),
        points=("One",),
    ),
    Case(
        "an item that is nothing but a link",
        release("- [A guide](https://acme.example.com/guide)\n- Two"),
        points=("A guide", "Two"),
        link="https://acme.example.com/guide",
    ),
    Case(
        "an issue's address in words",
        release(f"- One at {REPO}/issues/7 is gone, see https://semver.org"),
        points=(f"One at {REPO}/issues/7 is gone, see https://semver.org",),
    ),
    Case(
        "none of the page's beginning",
        "# Acme\n\nAs [they](https://keepachangelog.com) say.\n\n## 1.2.0\n\n- One\n",
        points=("One",),
    ),
]

LANGUAGES = [
    Case(
        "German",
        release(
            "### Sicherheit\n\n- Ein Token stand im Protokoll\n\n### Behoben\n\n- Ein Absturz",
            "# Acme Änderungsprotokoll",
        ),
        points=("Ein Token stand im Protokoll", "Ein Absturz"),
        urgent=("Ein Token stand im Protokoll",),
    ),
    Case(
        "Chinese",
        "---\ntitle: 更新日志\n---\n\n`acme` 遵循规范。\n\n## 1.2.0\n\n`2026-10-01`\n\n"
        "- 🐞 修复表格问题。[#9](https://github.com/acme/acme/pull/9) [@jo](https://github.com/jo)\n"
        "- 破坏性变更：移除旧接口。\n",
        "Announce acme 1.2.0",
        product="acme",
        points=("🐞 修复表格问题。", "破坏性变更：移除旧接口。"),
        urgent=("破坏性变更：移除旧接口。",),
    ),
    Case(
        "French",
        release(
            "### Changements incompatibles\n\n- Python 3.9 n’est plus pris en charge.",
            "# Journal des modifications d’Acme",
        ),
        "Annoncer Acme 1.2.0",
        points=("Python 3.9 n’est plus pris en charge.",),
        urgent=("Python 3.9 n’est plus pris en charge.",),
    ),
]

CASES = [*NAMES_AND_NUMBERS, *LISTS_AND_TABLES, *MARKUP, *LINKS, *LANGUAGES]
