"""Links that show one question to one person, who can answer it there without a sign-in.

Nothing is kept on the server. A link ends with its time and with its question, with the API_KEY,
and with the entry of HITL_NOTIFY that it was sent to.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer

from hitl_orchestrator.domain.hitl import HitlRequest, Person
from hitl_orchestrator.domain.notices import Receiver

LASTS = timedelta(days=7)


class AnswerLink(NamedTuple):
    person: Person
    request_id: str


class AnswerLinks:
    """`key`: what the signature is derived from. `public_url`: what links begin with."""

    def __init__(self, key: str, public_url: str, receivers: Sequence[Receiver]) -> None:
        self._public_url = public_url
        self._secret = hmac.digest(key.encode(), b"hitl answer link", sha256)
        self._tokens = URLSafeSerializer(self._secret, "answer")
        self._people = {self.name(one): one.person for one in receivers if one.person}

    def name(self, receiver: Receiver) -> str:
        """Return a name that is the entry's own, and tells nothing of its secrets."""
        entry = f"{receiver.person or ''}={receiver.url}"
        return f"notice_{hmac.new(self._secret, entry.encode(), sha256).hexdigest()[:16]}"

    def write(self, receiver: Receiver, request: HitlRequest, now: datetime) -> str:
        """Return the link of that receiver to the question; to the inbox where it is nobody's."""
        if receiver.person is None:
            return f"{self._public_url}/inbox/q/{request.requestId}"
        ends = now + LASTS
        if request.expiresAt is not None:
            ends = min(ends, request.expiresAt)
        token = self._tokens.dumps([self.name(receiver), request.requestId, ends.timestamp()])
        return f"{self._public_url}/answer/{token!s}"

    def read(self, token: str, now: datetime) -> AnswerLink | None:
        """Return what the link is to, and whose it is; None: it has ended, or is none of ours."""
        try:
            name, request_id, ends = self._tokens.loads(token)
        except BadData:
            return None
        person = self._people.get(name)
        if person is None or now.timestamp() >= ends:
            return None
        return AnswerLink(Person(id=person), request_id)
