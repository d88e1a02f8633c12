"""A call: its body read strictly, its key asked what it may do, its order carried out."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from hitl_orchestrator.domain.errors import Invalid, NotFound, RequestNotPending
from hitl_orchestrator.domain.hitl import By
from hitl_orchestrator.domain.keys import Scope
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.server.body import parse_body
from hitl_orchestrator.server.new_run import StartRun
from hitl_orchestrator.server.orchestrator import Done, Orchestrator
from hitl_orchestrator.server.protocols.agent_server.orders import (
    RESOLVED,
    Answers,
    End,
    read_order,
)
from hitl_orchestrator.server.protocols.agent_server.streams import EventPlace
from hitl_orchestrator.server.protocols.agent_server.threads import Thread, find_request
from hitl_orchestrator.server.protocols.client import Client, describe

VIA = "langgraph"


class Outset(NamedTuple):
    """What was done. `after`: where the run's stream stood before."""

    thread: Thread
    after: EventPlace


class AgentServerRoute(APIRoute):
    """Says who was first where somebody was: of a refusal clients show the detail alone."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_and_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestNotPending as error:
                raise RequestNotPending(describe(error), **error.more) from error

        return handle_and_explain


class ThreadCall(NamedTuple):
    client: Client

    @property
    def hitl(self) -> Orchestrator:
        return self.client.hitl

    def check(self, *scopes: Scope) -> None:
        """Raise Forbidden where the key covers none of them."""
        if not any(self.client.caller.may(scope) for scope in scopes):
            self.client.need(scopes[0])

    async def find(self, thread_id: str) -> Thread:
        """Return the question or the run of that id, as far as the key may see it.

        Raise NotFound or Forbidden. Questions first: their ids are ours, any caller names threads.
        """
        self.check(Scope.READ, Scope.ASK)
        with suppress(NotFound):
            asked = await self.hitl.request(thread_id)
            run = await self.hitl.run(asked.runId)
            return await self._see(Thread(run, find_request(run, thread_id)))
        run = await self.hitl.thread(thread_id)
        is_shared = await self.hitl.has_asked_elsewhere(run)
        return await self._see(Thread(run, is_shared=is_shared))

    async def find_run(self, thread_id: str, run_id: str) -> Thread:
        """Return the thread as that run has it. Raise as `find` does."""
        thread = await self.find(thread_id)
        if thread.run.runId == run_id:
            return thread
        run = await self.hitl.run(run_id)
        if thread.request or run.threadId != thread_id:
            raise NotFound(f"Thread {thread_id} has no run {run_id}.")
        return await self._see(Thread(run))

    async def _see(self, thread: Thread) -> Thread:
        await self.client.need_sight(thread.run.runId)
        return thread

    async def begin(self, thread_id: str | None, body: JsonObject) -> Outset:
        """Start, answer or end what the body says. Raise what the door raises, or Forbidden."""
        self.check(Scope.ASK, Scope.DECIDE)
        thread = None
        if thread_id is not None:
            with suppress(NotFound):
                thread = await self.find(thread_id)
        order = read_order(thread_id, thread, body)
        if isinstance(order, StartRun):
            self.check(Scope.ASK)
            done = await self.hitl.start(order.read(), by=self.client.by)
            return Outset(Thread(done.run), EventPlace(0))
        after = EventPlace(await self.client.find_last_frame(order.thread.run.runId))
        done = await self.decide(order)
        return Outset(order.thread.at(done.run), after)

    async def decide(self, order: Answers | End) -> Done:
        """Answer or end questions, in the name of the key."""
        self.check(Scope.DECIDE)
        by, run = self.client.by, order.thread.run
        ref = RunRef(run.runId)
        if isinstance(order, Answers):
            request_id, name = order.responses[0].requestId, "hitl_resume_api"
            responses = [one.but(**_sign(by), metadata={"via": VIA}) for one in order.responses]
            done = await self.hitl.answer(ref, request_id, responses, by)
        elif order.request_id is not None:
            request_id, name = order.request_id, "hitl_deny_api"
            done = await self.hitl.deny(ref, request_id, RESOLVED, by)
        else:
            request_id, name = None, "hitl_cancel_api"
            done = await self.hitl.remove(ref, None, RESOLVED, by)
        operator = by.operator and by.operator.id
        self.hitl.log(name, runId=run.runId, requestId=request_id, operatorId=operator, via=VIA)
        return done


def _sign(by: By) -> dict[str, str | None]:
    person = by.operator
    return {"responderId": person.id, "responderDisplayName": person.displayName} if person else {}


async def _make_call(request: Request) -> ThreadCall:
    return ThreadCall(Client.of(request, VIA))


async def _read_body(request: Request) -> JsonObject:
    """Read a body strictly; without one it says nothing."""
    raw = await request.body()
    body = parse_body(request.headers.get("Content-Type"), raw) if raw else {}
    if not isinstance(body, dict):
        raise Invalid("The body is to be a JSON object.")
    return body


TheCall = Annotated[ThreadCall, Depends(_make_call)]
Body = Annotated[JsonObject, Depends(_read_body)]
