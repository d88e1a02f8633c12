"""Who calls: the names of keys, and what each may do."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from hitl_orchestrator.domain.errors import Forbidden
from hitl_orchestrator.domain.hitl import By, HitlResponse, Person


class Scope(StrEnum):
    READ = "read"  # see everything
    ASK = "ask"  # start runs, raise questions, and see what came of them
    DECIDE = "decide"  # answer, deny, remove; and read
    ADMIN = "admin"  # everything
    ON_BEHALF = "onBehalf"  # decide in the names of others: of a page or a bot that knows its users


IMPLIED = {
    Scope.DECIDE: {Scope.READ},
    Scope.ADMIN: {Scope.READ, Scope.ASK, Scope.DECIDE},
}


class Caller(NamedTuple):
    """A key that was shown. `name`: None of the first key, API_KEY, which signs for everybody.

    `digest`: what a session keeps of it, to ask again whether it still stands.
    """

    name: str | None
    scopes: frozenset[Scope]
    digest: str = ""

    def may(self, scope: Scope) -> bool:
        return any(scope is own or scope in IMPLIED.get(own, ()) for own in self.scopes)

    def sign(self, by: By, responder: Person | None = None) -> By:
        """Return who decides: the key's name, where it has one, or whom it speaks for.

        `responder`: who answers, where no operator is named. Raise Forbidden for somebody else.
        """
        if self.name is None:
            return by
        operator = by.operator or responder or Person(id=self.name)
        self._check(operator.id)
        return By(operator, by.note, self.name)

    def check(self, responses: Sequence[HitlResponse]) -> None:
        """Raise Forbidden where a response is said to be somebody else's."""
        for response in responses:
            if response.responderId is not None:
                self._check(response.responderId)

    def _check(self, signed: str) -> None:
        if self.name not in (None, signed) and not self.may(Scope.ON_BEHALF):
            raise Forbidden(
                f"The key is {self.name}'s, and names another operator: leave it out, "
                f"or use a key with the scope {Scope.ON_BEHALF}."
            )


FIRST = Caller(None, frozenset(Scope))
