"""What an objective means: which product, and which release of a source."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hitl_orchestrator.desk.changelog import Changelog
from hitl_orchestrator.desk.release import DATE, VERSION, Release

_WHOLE_IN_TEXT = re.compile(
    r"(?<![\w.,:/#-])(v|version |release )?(\d{1,4})(?![\w%.:/]|\s*%)", re.I
)
_ORDER = re.compile(
    r"an?|about|and|announc(?:e|ing|ement)|beta|big|blog|bug ?fix|communicate|compose|coming|create"
    r"|current|draft|first|for|hotfix|introduc(?:e|ing)|is|it|last|latest|launch(?:ing)?|major|make"
    r"|minor|new(?:er|est)?|next|of|older|one?|our|patch|people|please|posts?|prepare|present"
    r"|product|promote|public|publici[sz]e|publish|recent|release|second|send|share|small|spread"
    r"|stable|team|tell|that|the|their|this|to|today['’]s|upcoming|users|version|we|with|world"
    r"|write|your|",
    re.I,
)
_REPOSITORY = re.compile(
    r"https?://(?:www\.)?(?:github|gitlab|codeberg|bitbucket)\.\w+/[\w.-]+/([\w.-]+)/"
)


class Candidates(NamedTuple):
    """What an objective may mean. Certain if there is one of each, and nothing is `unclear`."""

    products: tuple[str, ...]
    releases: tuple[Release, ...]
    unclear: str = ""


def find_candidates(objective: str, changelog: Changelog) -> Candidates:
    """Return the product and the release that are meant: one each, or what there is to choose."""
    fits, number, unclear = _meant(objective, changelog)
    names = {release.name for release in fits if release.name}
    found = changelog.product if len(names) != 1 else names.pop()
    said = _name_before(objective, number, changelog.text) if number else ""
    by_name = [one for one in fits if one.name and _alike(one.name, said)]
    if len(by_name) == 1 and len(fits) > 1:
        fits, found, unclear = by_name, by_name[0].name, ""
    products = _products(said, found)
    is_numbered = any(release.version for release in fits)
    if not products and (is_numbered or not changelog.title):
        unclear = unclear or "The source names no product."
        return Candidates(_repositories(changelog), tuple(fits), unclear)
    if len(products) > 1:
        unclear = unclear or f"The objective says {products[0]}, the source {products[1]}."
    return Candidates(products, tuple(fits), unclear)


def _products(said: str, found: str) -> tuple[str, ...]:
    """Return the objective's name in the source's spelling; both, where they are two products."""
    if said and found and not _alike(said, found):
        return (said, found)
    more = len(said.split()) > len(found.split())
    return tuple(filter(None, [said if more else found or said]))


def _alike(one: str, other: str) -> bool:
    words, others = (set(re.findall(r"\w+", name.casefold())) for name in (one, other))
    return bool(words and others) and (words <= others or others <= words)


def _meant(objective: str, changelog: Changelog) -> tuple[list[Release], str, str]:
    """Return the releases that fit, the number in the objective, and why more than one do."""
    out = [one for one in changelog.releases if one.doubt != "unreleased"]
    numbers = [found[0] for found in VERSION.finditer(objective)]
    dated = [found[0] for found in DATE.finditer(objective)]
    fits: dict[Release, None] = {}
    number = ""
    for one in dict.fromkeys([*numbers, *dated]):
        matching = _matching(one, out)
        if not matching and one not in dated:
            return _missing(one, changelog, out)
        fits |= dict.fromkeys(matching)
        number = number or (one if matching else "")
    newest = _newest(out)
    for prefix, whole in _WHOLE_IN_TEXT.findall(DATE.sub(" ", VERSION.sub(" ", objective))):
        matching = _matching(whole, out)
        exact = any(one.version == whole for one in matching)
        if prefix and not matching:
            return _missing(whole, changelog, out)
        if prefix or exact or matching != newest:
            fits |= dict.fromkeys(matching)
        number = number or (whole if matching else "")
    chosen = list(fits) or newest
    if not chosen:
        return list(changelog.releases), "", "The source has no release yet."
    if len(chosen) > 1:
        return chosen, number, "More than one release fits the objective."
    if chosen[0].doubt:
        return out, number, f"The source marks {chosen[0].version} as yanked."
    return chosen, number, ""


def _matching(number: str, releases: Iterable[Release]) -> list[Release]:
    """Return those of exactly that number, else those whose number begins with it."""
    known = [one for one in releases if one.version]
    exact = [one for one in known if _plain(one.version or "") == _plain(number)]
    return exact or [one for one in known if (one.version or "").startswith(f"{number}.")]


def _missing(
    number: str, changelog: Changelog, out: list[Release]
) -> tuple[list[Release], str, str]:
    """Return the choice of what there is; of a source without releases it is its only one."""
    if len(out) == 1 and out[0].version is None:
        numbered = out[0]._replace(version=number)
        if re.search(rf"(?<![\d.]){re.escape(number)}(?!\.?\d)", changelog.text):
            return [numbered], number, ""
        return [numbered, out[0]], number, f"The source does not have {number}."
    return out, number, f"The source does not have {number}."


def _newest(releases: Sequence[Release]) -> list[Release]:
    """Return the first, or the last of a source that begins with the oldest.

    Of two in that order both: one might be a repair of an older line.
    """
    numbers = [
        tuple(map(int, re.findall(r"\d+", one.version or ""))) for one in releases if one.version
    ]
    ascends = len(numbers) > 1 and numbers == sorted(numbers) and numbers[0] < numbers[-1]
    if ascends:
        return [*releases] if len(releases) == 2 else [releases[-1]]
    return [*releases[:1]]


def _name_before(objective: str, number: str, source: str) -> str:
    """Return the words before a number that the source has too, else those that are no order."""
    before = objective[: objective.find(number)]
    if re.search(r"[,;.!?]\s*$", before):
        return ""
    before = re.sub(r"(?:[\s@(\[:-]|\b(?:v|version|release))+$", "", before, flags=re.I)
    words = re.split(r"\s+", re.split(r"[.:,;!?\n]\s", before)[-1].strip())[-4:]
    known = source.casefold()
    for first in range(len(words)):
        name = " ".join(words[first:])
        is_order = _ORDER.fullmatch(words[first])
        if name and not is_order and name.casefold() in known:
            return name
    found: list[str] = []
    for word in reversed(words):
        if _ORDER.fullmatch(word):
            break
        found.insert(0, word)
    return " ".join(found)


def _repositories(changelog: Changelog) -> tuple[str, ...]:
    counted = Counter(_REPOSITORY.findall(changelog.text))
    return tuple(name for name, _ in counted.most_common(3))


def _plain(version: str) -> str:
    return re.sub(r"(?<=[a-z])[-._]|[-._ ](?=[a-z])", "", version.casefold())
