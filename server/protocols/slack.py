"""Slack: a message for each question, with buttons and modals; rewritten once it has ended.

What waits is told by the queue's frames, as webhooks are. A click is answered once it is decided,
so that nothing that Slack was told to be done can be lost. Slack's own client is synchronous, so a
thread calls it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from http.client import HTTPException as BrokenReply
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.signature import SignatureVerifier
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitl_orchestrator.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OrchestratorError,
    RequestNotPending,
)
from hitl_orchestrator.domain.hitl import By, HitlRequest, HitlResponse, Person, RequestStatus
from hitl_orchestrator.domain.ports import Once, RunRef
from hitl_orchestrator.domain.records import JsonObject, describe_misfit
from hitl_orchestrator.domain.resolutions import Resolution, find_outcome, read_audit
from hitl_orchestrator.domain.slack import SlackMessage
from hitl_orchestrator.domain.webhooks import Untold, find_request_id
from hitl_orchestrator.server.body import parse_body
from hitl_orchestrator.server.orchestrator import Orchestrator
from hitl_orchestrator.server.protocols.client import digest
from hitl_orchestrator.server.protocols.forms import ANSWER, FIELD, FormMisfit, read_answer
from hitl_orchestrator.server.protocols.slack_blocks import (
    CHOOSE,
    DoesNotFit,
    SlackQuestion,
    escape,
    read_filled,
)

VIA = "slack"
CALL_SECONDS = 8  # two of them are less than a listener has
REPLY_SECONDS = 2.5  # Slack waits for 3
LATE = "That took too long. If it was taken after all, the message says so; else send it again."
LONGEST_ERROR = 1000
# What Slack says of itself, or of the app: no other message would be taken. Any other refusal is of
# the one message (https://docs.slack.dev/reference/methods/chat.update#errors).
TROUBLE = {
    *("ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"),
    *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"),
    *("missing_scope", "no_permission", "access_denied", "accesslimited", "ekm_access_denied"),
    *("org_login_required", "team_added_to_org", "two_factor_setup_required"),
}


class _User(BaseModel):
    id: str


class _Chosen(BaseModel):
    value: str


class _Action(BaseModel):
    block_id: str
    action_id: str
    value: str | None = None
    selected_option: _Chosen | None = None

    @property
    def decision(self) -> str:
        return self.action_id.partition(":")[0]

    @property
    def filled(self) -> dict[str, str]:
        """Return the form that is filled in by it."""
        if self.decision != CHOOSE:
            return {"decision": self.decision}
        chosen = self.selected_option.value if self.selected_option else self.value
        return {"decision": ANSWER, "option": chosen or ""}


class _Container(BaseModel):
    channel_id: str
    message_ts: str


class _Click(BaseModel):
    type: Literal["block_actions"]
    user: _User
    trigger_id: str
    container: _Container
    actions: Annotated[list[_Action], Field(min_length=1)]

    @property
    def message(self) -> SlackMessage:
        return SlackMessage(self.container.channel_id, self.container.message_ts)


class _State(BaseModel):
    values: dict[str, dict[str, dict[str, Any]]]


class _View(BaseModel):
    """`private_metadata`: the request's id; `callback_id`: the decision."""

    private_metadata: str
    callback_id: str
    state: _State


class _Submission(BaseModel):
    type: Literal["view_submission"]
    user: _User
    trigger_id: str
    view: _View


_PAYLOAD = TypeAdapter[_Click | _Submission](
    Annotated[_Click | _Submission, Field(discriminator="type")]
)


class _Refused(Untold):
    """Slack said no. `error`: its word for that."""

    def __init__(self, method: str, error: str) -> None:
        super().__init__(f"Slack refused {method}: {error[:100]}")
        self.error = error


class Slack:
    """`operators`: who each user of Slack is; others decide nothing."""

    def __init__(
        self,
        token: SecretStr,
        signing_secret: SecretStr,
        channel: str,
        operators: Mapping[str, str],
        api_url: str,
        public_url: str,
    ) -> None:
        self._verifier = SignatureVerifier(signing_secret.get_secret_value())
        # no tries but the listener's: one of the client's own could post twice
        client = WebClient(token.get_secret_value(), api_url, CALL_SECONDS, retry_handlers=[])
        self._client: Any = client  # its types are half unknown
        self._channel = channel
        self._operators = operators
        self._public_url = public_url
        logging.getLogger("slack_sdk").setLevel(logging.CRITICAL + 1)  # it logs what it sends

    async def listen(self, hitl: Orchestrator) -> None:
        """Show all questions from now on."""
        where = f"HITL_SLACK_CHANNEL {self._channel}"
        await hitl.listen("slack", where, ["hitl.request"], partial(self._tell, hitl))

    # What happens is told

    async def _tell(self, hitl: Orchestrator, frame: JsonObject) -> None:
        try:
            request = await hitl.request(find_request_id(frame))
        except NotFound:
            return
        message = await hitl.find_slack_message(request.requestId)
        if request.status is not RequestStatus.PENDING:
            if message:
                await self._rewrite(hitl, message, request)
        elif not message:
            await hitl.keep_slack_message(request.requestId, await self._post(request))

    async def _post(self, request: HitlRequest) -> SlackMessage:
        shown = self._show(request)
        told = {"channel": self._channel, "text": shown.summary}
        posted = await self._send("chat.postMessage", told, shown.blocks, shown.short_blocks)
        return SlackMessage(posted["channel"], posted["ts"])

    async def _rewrite(
        self, hitl: Orchestrator, message: SlackMessage, request: HitlRequest
    ) -> None:
        shown = self._show(request)
        told = {**message._asdict(), "text": shown.summary}
        ended = shown.tell_end(await _find_ending(hitl, request))
        try:
            await self._send("chat.update", told, *ended)
        except _Refused as error:
            if error.error in TROUBLE:
                raise

    async def _send(
        self, method: str, told: Mapping[str, str], *blocks: Sequence[JsonObject]
    ) -> Mapping[str, Any]:
        """Send the first blocks that Slack takes. Raise Untold."""
        *others, last = blocks
        for each in others:
            try:
                return await self._call(method, **told, blocks=each)
            except _Refused as error:
                if error.error in TROUBLE:
                    raise
        return await self._call(method, **told, blocks=last)

    def _show(self, request: HitlRequest) -> SlackQuestion:
        return SlackQuestion(request, f"{self._public_url}/inbox/q/{request.requestId}")

    async def _call(self, method: str, **said: object) -> Mapping[str, Any]:
        """Return what Slack says. Raise Untold."""
        try:
            return (await asyncio.to_thread(self._client.api_call, method, json=said)).data
        except SlackApiError as error:
            response: Any = error.response
            if word := response.get("error"):
                raise _Refused(method, str(word)) from error
            raise Untold(f"{method}: Slack said nothing that can be read") from error
        except (SlackClientError, OSError, BrokenReply) as error:
            raise Untold(f"{method}: {type(error).__name__}") from error

    # What people do there

    async def take(self, request: Request) -> Response:
        """Take a click or a modal. Raise HTTPException: it is not from Slack."""
        hitl: Orchestrator = request.app.state.hitl
        given = _read(await self._read_signed(request))
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                if isinstance(given, _Submission):
                    return await self._take_submission(hitl, given)
                if given:
                    await self._take_click(hitl, given)
        except TimeoutError:
            if isinstance(given, _Submission):
                return _complain(given, {"": LATE})
            return Response(LATE, 503)  # Slack marks the button
        except Untold as error:
            return Response(error.why, 503)
        return Response()

    async def _read_signed(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(REPLY_SECONDS):  # strangers hold no place for longer
                raw = await request.body()
        except TimeoutError as error:
            raise HTTPException(408, "The body did not come.") from error
        try:
            is_slack = self._verifier.is_valid_request(raw, dict(request.headers))
        except (ValueError, TypeError):  # a time that is no number, a signature that is no ASCII
            is_slack = False
        if not is_slack:
            raise HTTPException(401, "The signature is missing, wrong or old.")
        return raw

    async def _take_click(self, hitl: Orchestrator, click: _Click) -> None:
        action = click.actions[0]
        try:
            operator = self._find_operator(click.user)
            request = await hitl.request(action.block_id)
            if action.decision in ("approve", CHOOSE):
                await self._answer(hitl, request, action.filled, operator, click)
            else:
                await self._open(request, click)
        except Conflict as error:
            request = await hitl.request(action.block_id)
            await self._whisper(click, await _word_conflict(hitl, request, error))
            if request.status is not RequestStatus.PENDING:
                await self._rewrite(hitl, click.message, request)
        except OrchestratorError as error:
            await self._whisper(click, error.detail)

    async def _open(self, request: HitlRequest, click: _Click) -> None:
        if request.status is not RequestStatus.PENDING:
            raise RequestNotPending("It does not wait any more.")
        try:
            view = self._show(request).build_modal(click.actions[0].decision)
        except DoesNotFit as error:
            raise Invalid("It does not fit into Slack: decide at its page.") from error
        await self._call("views.open", trigger_id=click.trigger_id, view=view)

    async def _take_submission(self, hitl: Orchestrator, given: _Submission) -> Response:
        view = given.view
        filled = {**read_filled(view.state.values), "decision": view.callback_id}
        try:
            operator = self._find_operator(given.user)
            request = await hitl.request(view.private_metadata)
            await self._answer(hitl, request, filled, operator, given)
        except Conflict as error:
            request = await hitl.request(view.private_metadata)
            return _complain(given, {"": await _word_conflict(hitl, request, error)})
        except OrchestratorError as error:
            return _complain(given, _place_errors(error))
        return Response()

    async def _answer(
        self,
        hitl: Orchestrator,
        request: HitlRequest,
        filled: Mapping[str, str],
        operator: str,
        given: _Click | _Submission,
    ) -> None:
        response = _read_response(request, filled, operator)
        by = By(Person(id=operator), f"by {VIA}, {given.user.id}")
        said = digest([request.requestId, {**filled}])
        once = Once(f"{operator}: {VIA} answer", digest(given.trigger_id), said)
        await hitl.answer(RunRef(request.runId), request.requestId, [response], by, once)

    def _find_operator(self, user: _User) -> str:
        operator = self._operators.get(user.id)
        if operator is None:
            raise Forbidden("You are none of the operators here: nothing was decided.")
        return operator

    async def _whisper(self, click: _Click, words: str) -> None:
        """Say it to who clicked, and to nobody else."""
        told = {"channel": click.message.channel, "user": click.user.id, "text": escape(words)}
        await self._call("chat.postEphemeral", **told)


async def _find_ending(hitl: Orchestrator, request: HitlRequest) -> Resolution:
    return find_outcome(request, read_audit(await hitl.run(request.runId)))


async def _word_conflict(hitl: Orchestrator, request: HitlRequest, error: Conflict) -> str:
    """Say who was first; or why it cannot be decided now, though nobody was."""
    if request.status is RequestStatus.PENDING:
        return error.detail
    ending = await _find_ending(hitl, request)
    words = f"{ending.who} {ending.did}".strip().removesuffix(".")
    return f"Too late, nothing was done by this: {words}."


def _read(raw: bytes) -> _Click | _Submission | None:
    """Return what Slack tells; None: nothing that is asked for here. Raise Invalid."""
    payload = parse_qs(raw.decode()).get("payload", [""])[0]
    given = parse_body("application/json", payload.encode())
    if not isinstance(given, dict) or given.get("type") not in ("block_actions", "view_submission"):
        return None
    try:
        return _PAYLOAD.validate_python(given)
    except ValidationError as error:
        raise Invalid(f"{describe_misfit(error)}.") from error


def _read_response(request: HitlRequest, filled: Mapping[str, str], operator: str) -> HitlResponse:
    try:
        said = read_answer(request.json_object(), filled)
    except FormMisfit as error:
        raise Invalid(error.detail) from error
    given = {"requestId": request.requestId, "responderId": operator, "metadata": {"via": VIA}}
    return HitlResponse.model_validate({**said, **given})


def _complain(given: _Submission, errors: Mapping[str, str]) -> Response:
    """Say what is wrong at its box, or at the first; the modal stays open, nothing is decided."""
    boxes = [*given.view.state.values]
    placed = {
        name if name in boxes else boxes[0]: why[:LONGEST_ERROR] for name, why in errors.items()
    }
    return JSONResponse({"response_action": "errors", "errors": placed})


def _place_errors(error: OrchestratorError) -> dict[str, str]:
    """Return what is wrong by the names of the boxes; of none of them in particular: by ""."""
    found: Any = error.more.get("errors") or [{"path": "", "message": error.detail}]
    return {_find_box(one["path"]): one["message"] for one in found}


def _find_box(path: str) -> str:
    """Return the name of the box that an error of a schema is about, as `/data/n` of `n`."""
    name = path.split("/")[2:3]
    return FIELD + name[0].replace("~1", "/").replace("~0", "~") if name else ""
