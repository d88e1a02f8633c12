"""Who is signed in: by a key, kept in a signed cookie, or by a proxy that is believed.

Nothing is kept on the server. A new API_KEY signs everybody out, a revoked key whoever used it.
"""

import hmac
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from secrets import compare_digest
from time import monotonic
from typing import Any, NamedTuple

from itsdangerous import BadData, URLSafeTimedSerializer

from hitl_orchestrator.domain.hitl import By, Person
from hitl_orchestrator.domain.keys import FIRST, Caller, Scope
from hitl_orchestrator.server.orchestrator import Orchestrator

COOKIE, REMEMBERED = "hitl_session", "hitl_operator"
SESSION_SECONDS, REMEMBERED_SECONDS = 12 * 3600, 365 * 86400
NAMELESS = Person(id="operator")  # who signs where nobody said who they are
TRIES, TRIES_SECONDS, MOST_CLIENTS = 5, 60.0, 10_000


class Session(NamedTuple):
    """Somebody who is signed in. `csrf` stands in each of their forms.

    `link`: the path of who came by one instead: they see one question, and can answer it.
    """

    caller: Caller
    operator: Person
    csrf: str
    by_proxy: bool = False
    link: str = ""

    @property
    def may_decide(self) -> bool:
        return self.caller.may(Scope.DECIDE)

    @property
    def name(self) -> str:
        return self.operator.displayName or self.operator.id

    def sign(self, note: str | None = None) -> By:
        return self.caller.sign(By(self.operator, note))

    def has_sent(self, csrf: str) -> bool:
        """Tell whether a form came from a page of this session."""
        return compare_digest(csrf.encode(), self.csrf.encode())


class Sessions:
    """Makes and reads the cookies. `api_key`: what their signature is derived from."""

    def __init__(self, api_key: str, seconds: int = SESSION_SECONDS) -> None:
        self._seconds = seconds
        self._key = api_key.encode()
        self._secret = hmac.digest(self._key, b"hitl inbox session", sha256)
        self._cookies = URLSafeTimedSerializer(self._secret, "session")
        self._remembered = URLSafeTimedSerializer(self._secret, "operator")

    async def identify(self, hitl: Orchestrator, key: str) -> Caller | None:
        """Return who has that key; None: nobody."""
        if compare_digest(key.encode(), self._key):
            return FIRST
        return await hitl.identify(key)

    def write(self, caller: Caller, operator: Person) -> str:
        """Return a new session's cookie."""
        return str(self._cookies.dumps([caller.digest, operator.id, operator.displayName]))

    async def read(self, hitl: Orchestrator, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None: it has ended, or its key does not stand."""
        kept = _load(self._cookies, cookie, self._seconds)
        if kept is None:
            return None
        digest, id_, name = kept
        caller = await hitl.identify_again(digest) if digest else FIRST
        if caller is None or not caller.may(Scope.READ):
            return None
        return self.open(caller, Person(id=id_, displayName=name))

    def open(self, caller: Caller, operator: Person) -> Session:
        return Session(caller, operator, self._make_token(caller.digest, operator.id))

    def admit(self, user: str) -> Session:
        """Return the session of somebody whom a proxy has signed in."""
        return Session(FIRST, Person(id=user), self._make_token("proxy", user), by_proxy=True)

    def write_remembered(self, operator: Person) -> str:
        return str(self._remembered.dumps([operator.id, operator.displayName]))

    def read_remembered(self, cookie: str | None) -> Person | None:
        """Return who signed in from that browser last."""
        kept = _load(self._remembered, cookie, REMEMBERED_SECONDS)
        return kept and Person(id=kept[0], displayName=kept[1])

    def _make_token(self, *who: str) -> str:
        """Make the same for the same person: their pages outlive a session that they begin anew."""
        return hmac.new(self._secret, "\n".join(("csrf", *who)).encode(), sha256).hexdigest()


class Tries:
    """The wrong keys of each client within the last minute."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._failures = dict[str, deque[float]]()

    def are_too_many(self, client: str) -> bool:
        failures = self._failures.get(client, deque[float]())
        while failures and failures[0] < self._now() - TRIES_SECONDS:
            failures.popleft()
        return len(failures) >= TRIES

    def note_failure(self, client: str) -> None:
        if len(self._failures) >= MOST_CLIENTS:  # the one that has been there longest goes
            self._failures.pop(next(iter(self._failures)))
        self._failures.setdefault(client, deque(maxlen=TRIES)).append(self._now())


def _load(cookies: URLSafeTimedSerializer, cookie: str | None, seconds: int) -> Any:
    try:
        return cookies.loads(cookie, max_age=seconds) if cookie else None
    except BadData:
        return None
