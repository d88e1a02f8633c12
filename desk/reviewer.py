"""Checks the drafts against the source, whoever wrote them; asks a person about every error."""

from hitl_orchestrator.desk.agent import REVIEWER, DeskAnswer, DeskTask, Said, ask
from hitl_orchestrator.desk.evidence import find_errors, gather_evidence
from hitl_orchestrator.desk.facets import Brief, Drafts, Review
from hitl_orchestrator.domain.records import Json, JsonObject

AS_THEY_ARE, LEAVE_OUT = "as-they-are", "leave-out"


def review_drafts(has_model: bool, task: DeskTask) -> dict[str, JsonObject]:
    """Ask once: what came of the question is in the context of every later visit."""
    drafts = Drafts.model_validate(task["facets"]["drafts"])
    evidence = gather_evidence(task, Brief.model_validate(task["facets"]["brief"]))
    issues = [issue for post in drafts.posts for issue in find_errors(post, evidence)]
    review = Review(passed=not issues, issues=tuple(issues))
    earlier = [said for said in task["context"] if said["originAgent"] == REVIEWER]
    if issues and earlier:
        why = _why(earlier[-1], "There are errors even with a person's guidance.")
        review = review.but(why=why)
    elif issues:
        review = _decide(review, ask(_question(review, drafts, has_model)))
    return {"review": review.json_object()}


def _question(review: Review, drafts: Drafts, has_model: bool) -> JsonObject:
    """Ask what becomes of drafts with errors. What is said in words only a model can follow."""
    wrong = ", ".join(review.wrong)
    right = [post.channel for post in drafts.posts if post.channel not in review.wrong]
    next_ = "The approval comes next: it shows the errors, and the posts can be edited there."
    options: list[Json] = [{"id": AS_THEY_ARE, "label": "Go on with them", "description": next_}]
    if right:
        rest = f"{', '.join(right)}: no error was found."
        options.append({"id": LEAVE_OUT, "label": f"Leave out {wrong}", "description": rest})
    shown = [review.listed]
    for post in drafts.posts:
        if post.channel in review.wrong:
            # two blanks at the end keep a line from running into the next
            lines = [f"> {line}  " if line else ">" for line in post.content.splitlines()]
            shown.append("\n".join([f"**{post.channel}**", "", *lines]))
    words = " Or say what the writer should do differently." if has_model else ""
    return {
        "question": f"There are errors in the drafts for {wrong}. What now?{words}",
        "kind": "choice",
        "options": options,
        "allowFreeForm": has_model,
        "additionalContext": "\n\n".join(shown),
    }


def _decide(review: Review, answer: DeskAnswer) -> Review:
    """Return the review with what a person decided; it passes if no error is left."""
    if answer.get("selectedOptionId") == LEAVE_OUT:
        why = f"A person left out {', '.join(review.wrong)}."
        return review.but(passed=True, leaveOut=review.wrong, why=why)
    if answer.get("selectedOptionId") == AS_THEY_ARE:
        return review.but(why="A person goes on with these errors.")
    return review.but(why=_why(answer, "A person gave guidance."))


def _why(said: DeskAnswer | Said, answered: str) -> str:
    is_denied = said["status"] == "denied"
    return f"Nobody decided: {said.get('reason') or 'Rejected'}" if is_denied else answered
