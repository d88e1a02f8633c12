"""Who calls: the names of keys, and what each may do."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from hitl_orchestrator.domain.errors import Forbidden
from hitl_orchestrator.domain.hitl import By, HitlResponse, Person


class Scope(StrEnum):
    READ = "read"  # see everything
    ASK = "ask"  # start runs, raise questions, and see what came of them
    WORK = "work"  # register agents in processes of their own, and take their steps
    DECIDE = "decide"  # answer, deny, remove; and read
    ADMIN = "admin"  # everything
    ON_BEHALF = "onBehalf"  # decide in the names of others: of a page or a bot that knows its users


IMPLIED = {
    Scope.DECIDE: {Scope.READ},
    Scope.ADMIN: {Scope.READ, Scope.ASK, Scope.WORK, Scope.DECIDE},
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
        named = by.operator or responder or Person(id=self.name)
        return By(self._vouch(named), by.note, self.name)

    def sign_responses(self, responses: Sequence[HitlResponse]) -> list[HitlResponse]:
        """Return them as signed by who answers. Raise Forbidden for somebody else's."""
        return [self._sign_response(response) for response in responses]

    def _sign_response(self, response: HitlResponse) -> HitlResponse:
        if response.responder is None:
            return response
        responder = self._vouch(response.responder)
        return response.model_copy(update={"responderDisplayName": responder.displayName})

    def _vouch(self, person: Person) -> Person:
        """Return as much of who signs as the key proves: of its own name no more than that."""
        if self.name is None or self.may(Scope.ON_BEHALF):
            return person
        if person.id != self.name:
            raise Forbidden(
                f"The key is {self.name}'s, and names another operator: leave it out, "
                f"or use a key with the scope {Scope.ON_BEHALF}."
            )
        return Person(id=self.name)


FIRST = Caller(None, frozenset(Scope))
