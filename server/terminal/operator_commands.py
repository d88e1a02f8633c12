"""The commands of an operator: `hitl answer`, `deny`, `remove`, `cancel` and `retry`."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from hitl_orchestrator.server.terminal.command import (
    AsJson,
    Follow,
    Note,
    Operator,
    Reason,
    RequestId,
    RunId,
    find_login,
    open_api,
    print_done,
)

if TYPE_CHECKING:
    from hitl_orchestrator.server.terminal.client import Api
    from hitl_orchestrator.server.terminal.wire import JsonObject, RequestJson


def answer(
    request_id: RequestId,
    approve: Annotated[bool, typer.Option("--approve", help="Approve.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject; --text is the reason.")] = False,
    option: Annotated[
        str | None, typer.Option(metavar="ID", help="Choose the option with this id or label.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Answer in your own words; beside another answer, a comment."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Answer a form with the JSON of this file; - is stdin."),
    ] = None,
    value: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Answer with this JSON, of any kind: 30, false, …"),
    ] = None,
    edit: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --approve: use these arguments instead, a JSON object; - is stdin.",
        ),
    ] = None,
    note: Note = None,
    operator: Operator = None,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question. The decision is saved when the command returns; the run goes on by itself.

    With --follow the command stays, and ends as `hitl follow` does.

    \b
    Example:
      hitl answer hitl_5b21 --option developers
      hitl answer hitl_77ae --approve --edit posts.json --note "shortened"
      hitl answer hitl_77ae --reject --text "not before Monday"
      hitl answer hitl_0c4d --value false --follow
    """
    given = _Given(approve, reject, option, text, data, value, edit)
    response = _build_response(given)
    api = open_api()
    request = _find_request(api, request_id)
    if option is not None:
        response["selectedOptionId"] = _resolve_option(request, option)
    who = operator or find_login()
    answered = api.resume(request, response, who, note)
    if follow:
        from hitl_orchestrator.server.terminal.run_command import stay_with

        stay_with(api, api.run(answered["runId"]), who, as_json, request["requestId"])
    line = f"Answered. Run {answered['runId']} is {answered['status']}."
    print_done(line, answered, as_json)


def _find_request(api: "Api", request_id: str) -> "RequestJson":
    from hitl_orchestrator.server.terminal.ids import find_request

    return find_request(api, request_id)


def _complete_run_id(api: "Api", run_id: str) -> str:
    from hitl_orchestrator.server.terminal.ids import complete_run_id

    return complete_run_id(api, run_id)


class _Given(NamedTuple):
    """What the command line says about the answer."""

    approve: bool
    reject: bool
    option: str | None
    text: str | None
    data: str | None
    value: str | None
    edit: str | None


def _build_response(given: _Given) -> "JsonObject":
    """Return a response as POST /api/hitl/resume takes it, the option yet to be looked up."""
    from hitl_orchestrator.server.terminal.files import read_json, read_json_object, read_value

    _check_usage(given)
    response: JsonObject = {}
    if given.approve or given.reject:
        response["approved"] = given.approve
    if given.data is not None:
        response["data"] = read_json(given.data)
    if given.value is not None:
        response["data"] = read_value(given.value)
    if given.edit is not None:
        response["editedArguments"] = read_json_object(given.edit)
    if given.text is not None:
        response["freeformText"] = given.text
    return response


def _check_usage(given: _Given) -> None:
    """Raise BadInput unless exactly one answer is given."""
    from hitl_orchestrator.server.terminal.errors import BadInput

    named = [each is not None for each in (given.option, given.data, given.value)]
    decisions = [given.approve, given.reject, *named]
    if sum(decisions) > 1 or not (any(decisions) or given.text is not None):
        raise BadInput(
            "Give one of --approve, --reject, --option, --text, --data and --value; "
            "--text also goes beside one of the others."
        )
    if given.edit is not None and not given.approve:
        raise BadInput("--edit goes with --approve.")


def _resolve_option(request: "RequestJson", option: str) -> str:
    """Return the id of that option; what is none of them is the server's to refuse."""
    from hitl_orchestrator.server.terminal.wire import find_option_id

    return find_option_id(request.get("options", []), option) or option


def deny(
    request_id: RequestId,
    reason: Reason,
    note: Note = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Deny a question; its run goes on without an answer.

    \b
    Example:
      hitl deny hitl_5b21 --reason "nobody here can decide that"
    """
    api = open_api()
    denied = api.deny(_find_request(api, request_id), _give_reason(reason, operator, note))
    print_done(f"Denied. Run {denied['runId']} is {denied['status']}.", denied, as_json)


def remove(
    request_id: RequestId,
    reason: Reason,
    note: Note = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Deny a question and cancel its run.

    \b
    Example:
      hitl remove hitl_5b21 --reason "asked by mistake"
    """
    api = open_api()
    body = _give_reason(reason, operator, note)
    removed = api.remove(_find_request(api, request_id), body)
    print_done(f"Removed. Run {removed['runId']} is {removed['status']}.", removed, as_json)


def cancel(
    run_id: RunId,
    reason: Reason,
    note: Note = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run, whether it works or waits.

    \b
    Example:
      hitl cancel run_0d9c --reason "wrong changelog"
    """
    api = open_api()
    body = _give_reason(reason, operator, note)
    cancelled = api.cancel(_complete_run_id(api, run_id), body)
    line = f"Run {cancelled['runId']} is {cancelled['status']}."
    if cancelled.get("stillWorking"):
        from hitl_orchestrator.server.terminal.run_views import STILL_WORKING

        line = f"{line} {STILL_WORKING}"
    print_done(line, cancelled, as_json)


def retry(
    run_id: RunId,
    note: Note = None,
    operator: Operator = None,
    as_json: AsJson = False,
) -> None:
    """Let a failed run go on where it failed; nothing is asked or done again that was.

    \b
    Example:
      hitl retry run_0d9c --note "the model is back"
    """
    from hitl_orchestrator.server.terminal.client import sign

    api = open_api()
    body = sign(operator or find_login(), note)
    retried = api.retry(_complete_run_id(api, run_id), body)
    print_done(f"Run {retried['runId']} is {retried['status']}.", retried, as_json)


def _give_reason(reason: str, operator: str | None, note: str | None) -> "JsonObject":
    """Return what says why something is done, by whom, and with which note."""
    from hitl_orchestrator.server.terminal.client import sign

    return {"reason": reason, **sign(operator or find_login(), note)}
