"""What an objective means: which release of a source, and of which product."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hitl_orchestrator.desk.changelog import DATE, VERSION, Changelog, Release, name_in
from hitl_orchestrator.desk.points import read_points

_NUMBER = re.compile(
    rf"(?P<date>{DATE.pattern})|(?P<version>{VERSION.pattern})"
    r"|(?<![\w.,:/#-])(?P<prefix>v|version |release )?(?P<whole>\d{1,4})(?![\w%.:/]|\s*%)",
    re.I,
)
# Words of an order that are of no name.
_ORDER = re.compile(
    r"(?<!\S)(?:an?|about|and|announc\w*|beta|blog|create|draft|first|for|introduc\w*|is|it|last"
    r"|latest|launch\w*|major|make|minor|new(?:er|est)?|next|of|one?|our|patch|people|please|posts?"
    r"|prepare|present|promote|publici[sz]e|publish|releas\w*|send|share|stable|team|tell|that|the"
    r"|their|this|to|upcoming|users|version|we|with|write|your)(?!\S)",
    re.I,
)
_REPOSITORY = re.compile(
    r"https?://(?:www\.)?(?:github|gitlab|codeberg|bitbucket)\.\w+/[\w.-]+/([\w.-]+)/"
)


class Meaning(NamedTuple):
    """What may be meant, each release under the name of its product, and why that is asked.

    Nothing is `unclear` where there is but one.
    """

    releases: tuple[Release, ...]
    unclear: str


def find_meaning(objective: str, changelog: Changelog) -> Meaning:
    fits, number, unclear = _find_releases(objective, changelog)
    if not unclear and fits[0].version and not read_points(changelog, fits[0]):
        fits, unclear = changelog.releases, f"The section of {fits[0].version} is empty."
    said = _name_before(objective, number, changelog.text)
    called = [one for one in fits if _are_alike(one.name, said)]
    if len(fits) > 1 and len(called) == 1:
        fits, unclear = called, ""
    names = {one.name for one in fits if one.name}
    if len(names) > 1:  # each has its own
        return Meaning(tuple(fits), unclear)
    is_page = not any(one.version for one in fits)
    found = next(iter(names), name_in(changelog.title) or (changelog.title if is_page else ""))
    products = [*filter(None, [said, found])]
    if _are_alike(said, found):
        products = [max(found, said, key=lambda name: len(name.split()))]
    elif len(products) > 1:
        unclear = unclear or f"The objective says {said}, the source {found}."
    elif not products:
        unclear = unclear or "The source names no product."
        products = [name for name, _ in Counter(_REPOSITORY.findall(changelog.text)).most_common(3)]
    meant = [one._replace(name=name) for one in fits for name in products or [""]]
    return Meaning(tuple(meant), unclear)


def _are_alike(one: str, other: str) -> bool:
    words, others = (set(re.findall(r"\w+", name.casefold())) for name in (one, other))
    return bool(words and others) and (words <= others or others <= words)


def _find_releases(objective: str, changelog: Changelog) -> tuple[Sequence[Release], str, str]:
    """Return the releases that fit, the number in the objective, and why more than one do."""
    out = [one for one in changelog.releases if one.doubt != "unreleased"]
    fits: dict[Release, str] = {}
    for said in _NUMBER.finditer(objective):
        number = said["whole"] or said[0]
        matching = _match(number, out)
        if not matching and (said["version"] or said["prefix"]):
            return _miss(number, changelog, out)
        fits |= dict.fromkeys(matching, number)
    chosen, number = [*fits] or _newest(out), next(iter(fits.values()), "")
    if not chosen:
        return changelog.releases, "", "The source has no release yet."
    if len(chosen) > 1:
        return chosen, number, "More than one release fits the objective."
    if chosen[0].doubt:
        return out, number, f"The source marks {chosen[0].version} as yanked."
    return chosen, number, ""


def _match(number: str, releases: Iterable[Release]) -> list[Release]:
    """Return those of exactly that number, else those whose number begins with it."""
    known = [(one, one.version) for one in releases if one.version]
    plain = re.compile(r"(?<=[a-z])[-._]|[-._ ](?=[a-z])")  # 1.2.0-rc.1 is 1.2.0rc1
    said = plain.sub("", number.casefold())
    exact = [one for one, version in known if plain.sub("", version.casefold()) == said]
    return exact or [one for one, version in known if version.startswith(f"{number}.")]


def _miss(number: str, changelog: Changelog, out: list[Release]) -> tuple[list[Release], str, str]:
    """Return the choice of what there is; of a source without releases it is its only one."""
    has_releases = len(out) != 1 or out[0].version
    numbered = [] if has_releases else [out[0]._replace(version=number)]
    if numbered and re.search(rf"(?<![\d.]){re.escape(number)}(?!\.?\d)", changelog.text):
        return numbered, number, ""
    return numbered + out, number, f"The source does not have {number}."


def _newest(releases: Sequence[Release]) -> Sequence[Release]:
    """Return the first, or the last of a source that begins with the oldest.

    Of two in that order both: one might be a repair of an older line.
    """
    known = [one.version or "" for one in releases]
    numbers = [[*map(int, re.findall(r"\d+", version))] for version in known]
    has_dates = any(re.search(r"\s|[./]\d{4}$", version) for version in known)  # the year is last
    if has_dates or numbers != sorted(numbers) or numbers[:1] == numbers[-1:]:
        return releases[:1]
    return releases if len(releases) == 2 else releases[-1:]


def _name_before(objective: str, number: str, source: str) -> str:
    """Return the words before a number that the source has too, else those that are no order."""
    before = objective[: objective.find(number)] if number else ""
    before = re.split(r"[.:,;!?\n]\s", before)[-1]
    before = re.sub(r"(?:[\s@(\[:-]|\b(?:v|version|release))+$", "", before, flags=re.I)
    words = _ORDER.split(before)[-1].split()[-4:]
    names = [" ".join(words[first:]) for first in range(len(words))]
    return next((one for one in names if one.casefold() in source.casefold()), " ".join(words))
