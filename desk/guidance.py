"""What a person told the writer in free text, as far as rules can follow it.

Such as: “Shorter, no hashtags, and mention the migration guide.”
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hitl_orchestrator.desk.agent import REVIEWER, Said
from hitl_orchestrator.desk.facets import Brief
from hitl_orchestrator.desk.prose import ADDRESS, QUOTED, addresses

_FILLER = (
    r"(?:[-*•]\s+|\d+[.)]\s+)?(?:please\s+|also\s+|and\s+|then\s+|but\s+|just\s+|you must\s+)*"
)
_INCLUDE = (
    r"mention|(?:must )?include|add|say|state|point out|stress|emphasi[sz]e|highlight|(?:lead"
    r"|start|begin|open) with|link(?: to)?"
)
_AVOID = r"do not|don['’]t|never|no|without|avoid|drop|remove|leave out|omit|skip|cut|delete"
_CLAUSE_END = re.compile(
    r"(?:[.;!](?=\s|$)|\n)+"
    r"|(?:,|\s+(?:and|but|then))+\s+(?=(?:also |please )*"
    r"(?:mention|(?:must )?include|lead with|start with|link|add|drop|remove|omit|do not"
    r"|don['’]t|never|avoid|leave out|replace"
    r"|(?:make|keep) it|shorter|shorten|(?:no|without) \w+(?=\s*(?:[,.;!]|$)))(?!\w))",
    re.I,
)
_NEGATIVE = re.compile(rf"\b(?:{_AVOID})\b", re.I)
_SHORTER = re.compile(
    rf"{_FILLER}(?:(?:make|keep|write|cut)\s.{{0,30}}?)?\b(?:short|brief|concise|tight|trim"
    rf"|less text)|.*\btoo long\b",
    re.I,
)
_INCLUDED = re.compile(
    rf"{_FILLER}(?:{_INCLUDE})\b\s*:?\s*(?P<that>that\s+)?(?P<what>.+)", re.I | re.S
)
_AVOIDED = re.compile(
    rf"{_FILLER}(?:{_AVOID})\s+(?:(?:mention|say|use|talk about|include|write|any|the|word"
    rf"|phrase)\s+)*(?P<what>.+)",
    re.I | re.S,
)
_REPLACED = re.compile(rf"{_FILLER}replace\s+\x00(\d+)\x00\s+(?:with|by)\s+\x00(\d+)\x00", re.I)
_INSTEAD = re.compile(
    rf"{_FILLER}(?:say\s+|write\s+|use\s+)?\x00(\d+)\x00\s+instead\s+of\s+\x00(\d+)\x00", re.I
)
_HELD = re.compile(r"\x00(\d+)\x00")
_EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]+")
_ABOUT = re.compile(
    r"(?:the |a |some |more ){0,3}(?:details?|information|something|line|word|sentence|note)s? "
    r"(?:about|on|that|with) (?:the )?",
    re.I,
)
_MAX_LINE = 1000


@dataclass
class Guidance:
    """`must`: word for word; `mention`: what is to come up, in the words the source has for it;
    `unclear`: what no rule understood.
    """

    shorter: bool = False
    hashtags: bool = True
    emojis: bool = True
    tags: list[str] = field(default_factory=list[str])
    must: list[str] = field(default_factory=list[str])
    mention: list[str] = field(default_factory=list[str])
    links: list[str] = field(default_factory=list[str])
    avoid: list[str] = field(default_factory=list[str])
    replace: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    unclear: list[str] = field(default_factory=list[str])

    def must_include(self, brief: Brief) -> list[str]:
        """The brief's lines and the person's own, who has the last word about what is left out."""
        return [
            line
            for line in dict.fromkeys((*map(self.worded, brief.mustInclude), *self.must))
            if line.strip() and not self.refuses(line)
        ]

    def worded(self, text: str) -> str:
        """With the replacements made that were asked for."""
        for old, new in self.replace:
            text = re.sub(re.escape(old), lambda _, new=new: new, text, flags=re.I)
        return text if self.emojis else " ".join(_EMOJI.sub(" ", text).split())

    def refuses(self, text: str) -> bool:
        return any(avoided.casefold() in text.casefold() for avoided in self.avoid)


def texts(context: Sequence[Said]) -> list[str]:
    """What people answered to the reviewer's question, in their order."""
    answers = [
        said.get("answer") or {}
        for said in context
        if said["originAgent"] == REVIEWER and said["status"] == "answered"
    ]
    return [
        text.strip() for answer in answers if (text := answer.get("freeformText") or "").strip()
    ]


def understood(texts: Sequence[str]) -> Guidance:
    guidance = Guidance()
    for text in texts:
        masked, held = _masked(re.sub(r"[^\S\n]+", " ", text.replace("\x00", "")))
        for clause in _CLAUSE_END.split(masked):
            if clause.strip():
                _follow(guidance, " ".join(clause.split()), held)
    return guidance


def _masked(text: str) -> tuple[str, list[str]]:
    """Quotations and addresses, which have no grammar of their own, as \\x00number\\x00; and what
    they were.
    """
    held: list[str] = []

    def hold(found: re.Match[str]) -> str:
        held.append(" ".join("".join(group or "" for group in found.groups()).split()) or found[0])
        return f"\x00{len(held) - 1}\x00"

    return ADDRESS.sub(hold, QUOTED.sub(hold, text)), held


def _follow(guidance: Guidance, clause: str, held: list[str]) -> None:
    def whole(masked: str) -> str:
        return _ABOUT.sub(
            "", _HELD.sub(lambda found: held[int(found[1])], masked).strip(" ,.:"), count=1
        )

    parts = [held[int(number)] for number in _HELD.findall(clause)]
    links = [url for part in parts for url in addresses(part)]
    quotes = [part for part in parts if not ADDRESS.match(part)]
    negative = bool(_NEGATIVE.search(clause))
    if "hashtag" in clause.casefold():
        guidance.hashtags = guidance.hashtags and not negative
        guidance.tags += [] if negative else re.findall(r"#\w+", whole(clause))
    elif "emoji" in clause.casefold() and negative:
        guidance.emojis = False
    elif found := _REPLACED.match(clause):
        guidance.replace.append((held[int(found[1])], held[int(found[2])]))
    elif found := _INSTEAD.match(clause):
        guidance.replace.append((held[int(found[2])], held[int(found[1])]))
    elif _SHORTER.match(clause):
        guidance.shorter = True
    elif found := _AVOIDED.match(clause):
        guidance.avoid += quotes or list(filter(None, [whole(found["what"])]))
    elif quotes or links:
        guidance.must += [quote for quote in quotes if len(quote) <= _MAX_LINE]
        guidance.links += links
    elif (found := _INCLUDED.match(clause)) and (what := whole(found["what"])):
        guidance.mention.append(f"{what[0].upper()}{what[1:]}." if found["that"] else what)
    else:
        guidance.unclear.append(whole(clause))
