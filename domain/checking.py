"""The check of a value against a schema, in bounded time.

A schema whose references branch and return can take any time for a small value. What may take long
is checked by this module as a process of its own, which ends after a second of work.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any, NoReturn, cast

from jsonschema_rs import (
    Draft202012Validator,
    FancyRegexOptions,
    ValidationError,
    ValidationErrorKind,
)

from hitl_orchestrator.domain.context_variables import Having

Found = list[dict[str, str]]  # {path, rule, message}

META_SCHEMA = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
PATTERNS = FancyRegexOptions(backtrack_limit=100_000, size_limit=2**20, dfa_size_limit=2**20)
MAX_MISMATCHES = 20
MAX_MESSAGE = 500
SECONDS = 1.0  # of work
UNKNOWN = 2**63
WAIT_SECONDS = 10.0  # on a machine that has no time for it
TOO_LONG = "cannot be checked within a second"
REFERENCES = ("$ref", "$dynamicRef")
# Look-around and back-references: a pattern goes back and forth for as long as PATTERNS allows it,
# at each text. Measured: that takes as long as to compare a million characters with each of it.
GOES_BACK = re.compile(r"\(\?[=!<>(]|\\\\[1-9k]")  # as JSON writes them
CHARACTERS_OF_GOING_BACK = 10**6
# Before 0.60 the engine that gave up such a pattern says so everywhere but below `not`: there it
# takes that for a mismatch, and anything fits. LangGraph's own server wants one before 0.45.
IS_FORGETFUL = tuple(map(int, version("jsonschema-rs").split(".")[:2])) < (0, 60)
LOOKS_AROUND = "patterns that look around need jsonschema-rs 0.60 or newer"
IN_PLACE, IN_PLACE_LISTS = ("not", "if", "then", "else"), ("allOf", "anyOf", "oneOf")


def fetch_nothing(uri: str) -> NoReturn:
    """Refuse to follow a reference out of the schema."""
    raise ValueError(f"nothing is fetched: {uri}")


def find_errors(schema: Any, value: Any, *, at_most_one: bool) -> Found:
    """Return what does not fit, or why it cannot be checked."""
    if is_beyond_engine(schema):
        return [describe_unchecked("pattern", LOOKS_AROUND)]
    try:
        validator = Draft202012Validator(
            schema, pattern_options=PATTERNS, validate_formats=False, retriever=fetch_nothing
        )
    except ValidationError as error:
        is_reference = isinstance(error.kind, ValidationErrorKind.Referencing)
        return [describe_unchecked("$ref" if is_reference else error.kind.name, error.message)]
    except ValueError as error:  # nested too deeply
        return [describe_unchecked("$ref", str(error))]
    try:
        validator.validate(value)
    except ValidationError as error:
        if isinstance(error.kind, ValidationErrorKind.BacktrackLimitExceeded):
            return [describe_unchecked("pattern", error.message)]
        if at_most_one:
            return [describe(error)]
        first = zip(validator.iter_errors(value), range(MAX_MISMATCHES), strict=False)
        return [describe(each) for each, _ in first]
    except ValueError as error:  # nested too deeply, or not JSON
        return [describe_unchecked("$ref", str(error))]
    return []


def is_beyond_engine(schema: Any) -> bool:
    return IS_FORGETFUL and bool(GOES_BACK.search(json.dumps(schema)))


def describe(error: ValidationError) -> dict[str, str]:
    pointer = "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path
    )
    return {"path": pointer, "rule": error.kind.name, "message": error.message[:MAX_MESSAGE]}


def describe_unchecked(rule: str, why: str) -> dict[str, str]:
    return {"path": "", "rule": rule, "message": f"cannot be checked: {why[:MAX_MESSAGE]}"}


def estimate_work(schema: Any, value: Any) -> int:
    """Return about how many characters of schema times characters of value are compared at most.

    References are counted as what they lead to. Where they lead back, each level of the value may
    be looked at as often as there are ways back.
    """
    try:
        size, ways_back = _Unfolding(schema).measure()
    except RecursionError:
        return UNKNOWN
    depth = _find_depth(value) if ways_back > 1 else 0
    return size * len(json.dumps(value)) * max(1, ways_back) ** depth


def refers_to_itself(schema: Any) -> bool:
    """Tell whether a reference leads back to where it is, with nothing of the value in between."""
    unfolding, ended = _Unfolding(schema), set[int]()
    to_look = [*_list_subschemas(schema)]
    while to_look:
        if unfolding.leads_back(to_look.pop(), ended):
            return True
    return False


class _Unfolding:
    """A schema with each reference replaced by what it leads to."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._measured: dict[str, tuple[int, int]] = {}
        self._open: set[str] = set()

    def measure(self) -> tuple[int, int]:
        """Return its size in characters, and how many references in it lead back."""
        return self._measure(self._schema)

    def _measure(self, part: Any) -> tuple[int, int]:
        text = json.dumps(part)
        size, ways_back = len(text) + len(GOES_BACK.findall(text)) * CHARACTERS_OF_GOING_BACK, 0
        for reference in _list_references(part):
            further, back = self._follow(reference)
            size, ways_back = size + further, ways_back + back
        return size, ways_back

    def _follow(self, reference: str) -> tuple[int, int]:
        if reference in self._open:
            return 0, 1
        if reference not in self._measured:
            self._open.add(reference)
            self._measured[reference] = self._measure(self._find(reference))
            self._open.discard(reference)
        return self._measured[reference]

    def leads_back(self, part: Any, ended: set[int]) -> bool:
        """Tell whether what is applied to the same value as the part is applied without end."""
        begun = dict[int, None]()  # from the part to where it is looked now
        to_look: list[Any] = [part]
        while to_look:
            one = to_look.pop()
            key = id(one)
            if one is _END:
                ended.add(begun.popitem()[0])
            elif key in begun:
                return True
            elif key not in ended and isinstance(one, Mapping):
                begun[key] = None
                to_look += [_END, *self._list_applied(cast(Mapping[str, Any], one))]
        return False

    def _list_applied(self, part: Mapping[str, Any]) -> list[Any]:
        """Return the schemas that it applies to the same value."""
        found = [part[name] for name in IN_PLACE if name in part]
        for name in IN_PLACE_LISTS:
            some: Any = part.get(name)
            if isinstance(some, list):
                found += cast(list[Any], some)
        by_name: Any = part.get("dependentSchemas")
        if isinstance(by_name, Mapping):
            found += cast(Mapping[str, Any], by_name).values()
        references = [part[name] for name in REFERENCES if isinstance(part.get(name), str)]
        return found + [self._find(reference) for reference in references if _is_plain(reference)]

    def _find(self, reference: str) -> Any:
        """Return what a pointer leads to; any other reference may lead to the whole."""
        found = self._schema
        for part in reference[2:].split("/") if reference.startswith("#/") else ():
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                return self._schema
            found = cast(Any, found[name])
        return found


_END = object()


def _is_plain(reference: str) -> bool:
    return reference == "#" or reference.startswith("#/")


def _list_subschemas(schema: Any) -> Iterator[Any]:
    """Yield all mappings in it: schemas among them."""
    within = [schema]
    while within:
        one = within.pop()
        if isinstance(one, Mapping):
            yield one
        within += _list_children(one)


def _list_references(part: Any) -> Iterator[str]:
    """Yield what it refers to, save in the definitions, which are there to be referred to."""
    within = [part]
    while within:
        one = within.pop()
        if isinstance(one, Mapping):
            named = cast(Mapping[str, Any], one)
            yield from (named[name] for name in REFERENCES if isinstance(named.get(name), str))
            within += [each for name, each in named.items() if name not in ("$defs", "definitions")]
        elif isinstance(one, list):
            within += cast(list[Any], one)


def _find_depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [each for one in level for each in _list_children(one)]
    return depth


def _list_children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return [*cast(dict[str, Any], value).values()]
    return cast(list[Any], value) if isinstance(value, list) else ()


class CheckPending(Exception):
    """A check may take long, and what it comes to is not known yet: `check_with_limit` tells.

    `given`: the schema and the value, as JSON.
    """

    def __init__(self, given: str) -> None:
        super().__init__("a check is pending")
        self.given = given


Checked = Mapping[str, Found]  # what checks came to, by what they were given

_known: ContextVar[Checked | None] = ContextVar("checks", default=None)


def knowing(checked: Checked) -> AbstractContextManager[None]:
    """Let nobody inside wait for a check: what it came to is known, or CheckPending is raised."""
    return Having(_known, checked)


def find_errors_slowly(schema: Any, value: Any) -> Found:
    """Return what does not fit, of what may take long to check. Raise CheckPending."""
    given = json.dumps([schema, value])
    known = _known.get()
    if known is None:
        return check_with_limit(given)
    if given not in known:
        raise CheckPending(given)
    return known[given]


def check_with_limit(given: str) -> Found:
    """Check, in a process that is ended after a second of work. It is waited for."""
    command = [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {_CHILD}"]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return [{"path": "", "rule": "", "message": TOO_LONG}]
    return json.loads(done.stdout)


_CHILD = f"from {__name__} import answer; answer()"


def answer() -> None:
    """Check what stands on stdin, and write what was found; end, by a signal, after a second."""
    schema, value = json.load(sys.stdin)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of this process' CPU
    json.dump(find_errors(schema, value, at_most_one=True), sys.stdout)
