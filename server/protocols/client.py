"""Who calls by another protocol: what their key covers, and how it signs."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from pydantic import ValidationError
from starlette.requests import Request

from hitl_orchestrator.domain.errors import Forbidden, Invalid, OrchestratorError
from hitl_orchestrator.domain.hitl import By, HitlResponse
from hitl_orchestrator.domain.keys import Caller, Scope
from hitl_orchestrator.domain.ports import Once, RunRef
from hitl_orchestrator.domain.records import Json, JsonObject, describe_misfit
from hitl_orchestrator.server.callers import find_caller
from hitl_orchestrator.server.new_run import StartRun
from hitl_orchestrator.server.orchestrator import Done, Orchestrator


class Client(NamedTuple):
    """`via`: the protocol, as runs, answers and the audit name it.

    Every method raises Forbidden where the key does not cover the call, as the API does.
    """

    hitl: Orchestrator
    caller: Caller
    via: str

    @classmethod
    def of(cls, request: Request, via: str) -> "Client":
        return cls(request.app.state.hitl, find_caller(request.scope), via)

    @property
    def by(self) -> By:
        return self.caller.sign(By(note=f"by {self.via}"))

    def need(self, scope: Scope) -> None:
        if not self.caller.may(scope):
            raise self._refuse()

    async def need_sight(self, run_id: str) -> None:
        """Let pass who may read, and who started the run."""
        if self.caller.may(Scope.READ):
            return
        self.need(Scope.ASK)
        if not await self.hitl.has_started(self.caller, run_id):
            raise self._refuse()

    def _refuse(self) -> Forbidden:
        return Forbidden(f"The key {self.caller.name} may not do that.")

    async def start(self, given: JsonObject, call: str, said: Json) -> Done:
        """Start a run of what a body of `POST /api/runs` says. Raise as the door's `start` does.

        `call`: its name, for whoever repeats it; `said`: all of it.
        """
        self.need(Scope.ASK)
        try:
            new = StartRun.model_validate({**given, "metadata": {"via": self.via}}).read()
        except ValidationError as error:
            raise Invalid(f"{describe_misfit(error)}.") from error
        return await self.hitl.start(new, self._once("start", call, said), by=self.by)

    async def answer(
        self, ref: RunRef, responses: Sequence[HitlResponse], call: str, said: Json
    ) -> Done:
        """Answer with all responses or none. Raise as the door's `answer` does."""
        self.need(Scope.DECIDE)
        by = self.by
        if by.operator:
            signed = {"responderId": by.operator.id}
            responses = [one.model_copy(update=signed) for one in responses]
        once = self._once("answer", call, said)
        return await self.hitl.answer(ref, responses[0].requestId, responses, by, once)

    async def find_last_frame(self, run_id: str) -> int:
        newest = await self.hitl.read_newest_frames(run_id, 1)
        return newest[-1].seq if newest else 0

    def _once(self, what: str, call: str, said: Json) -> Once:
        route = f"{self.caller.name or ''}: {self.via} {what}"
        return Once(route, call, digest(said))


def digest(said: Json) -> str:
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def describe(error: OrchestratorError) -> str:
    """Return what went wrong, and who was first, for clients that show words alone."""
    match error.more:
        case {"resolvedBy": {"id": str(who)}, "resolvedAt": str(when)}:
            return f"{error.detail} {who} decided it at {when}."
        case _:
            return error.detail
