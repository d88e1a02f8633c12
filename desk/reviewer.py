"""Checks the drafts against the source, whoever wrote them; asks a person about every error."""

import re
from collections.abc import Iterator, Set
from typing import NamedTuple

from hitl_orchestrator.desk.agent import DeskAnswer, DeskTask, ask, source_of, words_of
from hitl_orchestrator.desk.changelog import PRERELEASE, Changelog, Release, read_changelog
from hitl_orchestrator.desk.channels import channel
from hitl_orchestrator.desk.facets import Brief, Drafts, Issue, KeyPoint, Post, Review, Rule
from hitl_orchestrator.desk.language import addresses, figures, phrases_of, sentences
from hitl_orchestrator.desk.meaning import find_meaning
from hitl_orchestrator.desk.points import read_links, read_points
from hitl_orchestrator.domain.records import Json, JsonObject

REVIEWER, AS_THEY_ARE, LEAVE_OUT = "announcement.reviewer", "as-they-are", "leave-out"
_MARKUP = re.compile(
    r"\]\(|\]\[|\*\*|`|~~|(?<!\w)__\w|^#{1,6} |^\s*[-*+] \[[ xX]\]|^\|.*\|$|\{#|^\.\. |<!--|&#?\w+;"
    r"|</?(?:a|b|br|code|details|div|em|h[1-6]|hr|i|img|li|ol|p|pre|s|span|strong|sub|summary|sup"
    r"|table|td|th|tr|ul)\b[^>]*>|[\ue000-\ue002]"
)
_CODE = re.compile(r"(?<!`)`{1,2}([^`]+)`{1,2}(?!`)")
_LITTLE = 20  # letters
Errors = Iterator[tuple[Rule, int | None, str]]  # rule, line, message


class Evidence(NamedTuple):
    """What there is to check a post by.

    `told`: what may be told, flat, a sentence in each line, with its `figures` and `links`; `code`:
    what looks like markup there and is none; `wrong`: what the brief says against the source.
    """

    brief: Brief
    points: tuple[KeyPoint, ...]
    told: str
    figures: Set[str]
    links: Set[str]
    code: list[str]
    wrong: str


def review_drafts(has_model: bool, task: DeskTask) -> dict[str, JsonObject]:
    """Ask once: what came of the question is in the context of every later visit."""
    drafts = Drafts.model_validate(task["facets"]["drafts"])
    evidence = gather_evidence(task, Brief.model_validate(task["facets"]["brief"]))
    issues = tuple(issue for post in drafts.posts for issue in find_errors(post, evidence))
    review, earlier = Review(passed=not issues, issues=issues), reviewed_before(task)
    if issues and earlier:
        why = _why(earlier[-1], "There are errors even with a person's guidance.")
        review = review.but(why=why)
    elif issues:
        review = _decide(review, ask(_question(review, drafts, has_model)))
    return {"review": review.json_object()}


def _question(review: Review, drafts: Drafts, has_model: bool) -> JsonObject:
    """Ask what becomes of drafts with errors. What is said in words only a model can follow."""
    wrong = ", ".join(review.wrong)
    right = [post.channel for post in drafts.posts if post.channel not in review.wrong]
    next_ = "The approval comes next: it shows the errors, and the posts can be edited there."
    options: list[Json] = [{"id": AS_THEY_ARE, "label": "Go on with them", "description": next_}]
    if right:
        rest = f"{', '.join(right)}: no error was found."
        options.append({"id": LEAVE_OUT, "label": f"Leave out {wrong}", "description": rest})
    shown = ["\n".join(map(str, review.issues))]
    for post in drafts.posts:
        if post.channel in review.wrong:
            # two blanks at the end keep a line from running into the next
            lines = [f"> {line}  " if line else ">" for line in post.content.splitlines()]
            shown.append("\n".join([f"**{post.channel}**", "", *lines]))
    words = " Or say what the writer should do differently." if has_model else ""
    return {
        "question": f"There are errors in the drafts for {wrong}. What now?{words}",
        "kind": "choice",
        "options": options,
        "allowFreeForm": has_model,
        "additionalContext": "\n\n".join(shown),
    }


def _decide(review: Review, answer: DeskAnswer) -> Review:
    """Return the review with what a person decided; it passes if no error is left."""
    if answer.get("selectedOptionId") == LEAVE_OUT:
        why = f"A person left out {', '.join(review.wrong)}."
        return review.but(passed=True, leaveOut=review.wrong, why=why)
    if answer.get("selectedOptionId") == AS_THEY_ARE:
        return review.but(why="A person goes on with these errors.")
    return review.but(why=_why(answer, "A person gave guidance."))


def _why(said: DeskAnswer, answered: str) -> str:
    is_denied = said["status"] == "denied"
    return f"Nobody decided: {said.get('reason') or 'Rejected'}" if is_denied else answered


def reviewed_before(task: DeskTask) -> list[DeskAnswer]:
    """Return what came of the reviewer's questions so far, in their order."""
    return [said for said in task["context"] if said.get("originAgent") == REVIEWER]


def guidance_of(task: DeskTask) -> list[str]:
    """Return what people answered to the reviewer in words."""
    return [*filter(None, (words_of(said.get("answer")) for said in reviewed_before(task)))]


def gather_evidence(task: DeskTask, brief: Brief) -> Evidence:
    """Read the source anew; without one the brief is it."""
    said = [task["objective"], brief.audience, *guidance_of(task), brief.headline]
    points, links, code, wrong = brief.keyPoints, [*brief.links], list[str](), ""
    if source := source_of(task):
        changelog = read_changelog(source)
        release, wrong = _find_release(brief, task["objective"], changelog)
        points, links = read_points(changelog, release), read_links(changelog, release)
        code = [" ".join(found.split()) for found in _CODE.findall(release.body)]
        said.append(release.heading)
    urls = [link.url for link in links] + addresses("\n".join(said))
    told = [*said, *urls, *(text for one in points for text in (one.section or "", one.text))]
    lines = [_flat(one) for text in told for one in sentences(" ".join(text.split()))]
    return Evidence(
        brief,
        points,
        "\n".join(["", *lines, ""]),
        {*figures("\n".join(told))},
        {url.rstrip("/") for url in urls},
        sorted({*code}, key=len, reverse=True),
        wrong,
    )


def _find_release(brief: Brief, objective: str, changelog: Changelog) -> tuple[Release, str]:
    """Return the brief's release and what the objective has against it, unless a person chose."""
    meaning = find_meaning(objective, changelog)
    known, meant = [*meaning.releases, *changelog.releases], meaning.releases[0].label
    fits = [one for one in known if brief.version in (one.version, one.heading or None)]
    wrong = f"The objective means {meant}, the brief {brief.headline}."
    if not fits:
        return Release(), f"The source has no release {brief.version}."
    if brief.releaseFrom == "person" or (not meaning.unclear and meant == brief.headline):
        wrong = ""
    elif meaning.unclear:
        wrong = f"{meaning.unclear} Nobody was asked."
    return max(fits, key=lambda one: one.name == brief.product), wrong


def find_errors(post: Post, evidence: Evidence) -> list[Issue]:
    """Return what is wrong with a post; nothing is a matter of degree."""
    text = _without_ours(post.text, evidence)
    lines = [(None, post.subject or ""), *enumerate(text.split("\n"), start=1)]
    checks = [_check_release(post, evidence), _check_completeness(text, evidence)]
    checks += [_check_line(number, line, evidence) for number, line in lines]
    return [
        Issue(channel=post.channel, rule=rule, message=why, line=line)
        for errors in checks
        for rule, line, why in errors
    ]


def _without_ours(text: str, evidence: Evidence) -> str:
    """Return a text without our own words on how much was left out, if that can be true."""
    extract, more, _ = phrases_of(evidence.brief.language)
    count = re.escape(more).replace(re.escape("{}"), r"(\d+)")
    ours, most = re.compile(rf"^(?:{count}|{re.escape(extract)})", re.M), len(evidence.points)
    return ours.sub(lambda found: "" if int(found[1] or 0) <= most else found[0], text)


def _check_release(post: Post, evidence: Evidence) -> Errors:
    brief = evidence.brief
    if evidence.wrong:
        yield "release", None, evidence.wrong
    for problem in channel(post.channel).problems(post):
        yield "length", None, f"{problem[0].upper()}{problem[1:]}."
    if brief.product and _flat(brief.product) not in _flat(post.content):
        yield "product", None, f"It does not name {brief.product}."
    version = re.escape(brief.version or "")
    if version and not re.search(rf"(?<![\w.])v?{version}(?![-.+]?\w)", post.content):
        yield "version", None, f"It does not name {brief.version}."
    called = phrases_of(brief.language)[2]
    if brief.prerelease and called not in post.content and not PRERELEASE.search(post.content):
        yield "version", None, "It does not say that this comes before the release."


def _check_line(number: int | None, line: str, evidence: Evidence) -> Errors:
    """Find figures, links, markup, and what ends where no sentence of the source does."""
    for figure in figures(line):
        is_begun = "." in figure and any(one.startswith(f"{figure}.") for one in evidence.figures)
        if figure not in evidence.figures and not is_begun:
            yield "figures", number, f"{figure} is not in this release’s text."
    for url in addresses(line):
        if url.rstrip("/") not in evidence.links:
            yield "links", number, f"{url} is not in this release’s text."
    text, told = line, evidence.told
    for literal in evidence.code:
        text = text.replace(literal, "x")
    if found := _MARKUP.search(text):
        yield "markup", number, f"“{found[0]}” is left of the source’s markup."
    for part in sentences(line):
        said = _flat(part.removeprefix("• "))
        if re.search(r"(?:…|\.\.\.)\W*$", part) and said.split()[-1] not in told:
            yield "sentences", number, f"“{part[-60:]}” is cut off."
        elif len(said) >= _LITTLE and f"\n{said}" in told and f"\n{said}\n" not in told:
            yield "sentences", number, f"“{part[-60:]}” ends in the middle of a sentence."


def _check_completeness(text: str, evidence: Evidence) -> Errors:
    points, brief, told = evidence.points, evidence.brief, _flat(text)
    for point in points:
        if point.is_urgent and _flat(point.text) not in told:
            yield "left-out", None, f"Of what is {point.kind}, this is missing: “{point.text}”"
    repairs = [point for point in points if point.kind in ("fixed", "security")]
    if repairs and not any(_is_told(point, told) for point in repairs):
        yield "left-out", None, f"Of {len(repairs)} fixed and security items none is in it."
    has_points, said = any(_is_told(point, told) for point in points), told
    for name in (brief.headline, brief.product or "", brief.version or ""):
        said = said.replace(_flat(name), "")
    if not has_points and len(re.findall(r"[^\W\d_]", said)) < _LITTLE:
        yield "empty", None, "It says nothing but what it is about."


def _is_told(point: KeyPoint, text: str) -> bool:
    """Say whether a flat text has a point, or half of its longer words."""
    words = set(re.findall(r"\w{4,}", _flat(point.text)))
    is_alike = bool(words) and 2 * sum(word in text for word in words) >= len(words)
    return is_alike or _flat(point.text) in text


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold().removesuffix(".")
