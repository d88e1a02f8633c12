"""Checks the drafts against the source, whoever wrote them; asks a person about every error."""

import asyncio

from langgraph.graph import END, START, StateGraph

from hitl_orchestrator.desk.agent import (
    REVIEWER,
    AgentMapping,
    DeskAnswer,
    DeskTask,
    Said,
    ask,
    guidance_of,
)
from hitl_orchestrator.desk.evidence import find_errors, gather_evidence
from hitl_orchestrator.desk.facets import SOURCE, Brief, Drafts, Review, schema_of
from hitl_orchestrator.domain.records import Json, JsonObject

AS_THEY_ARE, LEAVE_OUT = "as-they-are", "leave-out"


class ReviewerState(DeskTask):
    review: JsonObject


def agent(has_model: bool) -> AgentMapping:
    def ask_person(state: ReviewerState) -> dict[str, Json]:
        review = Review.model_validate(state["review"])
        answer = ask(question(review, _drafts(state), has_model))
        return {"review": decided(review, answer).json_object()}

    graph = StateGraph(ReviewerState)
    graph.add_node("check", check)
    graph.add_node("ask_person", ask_person)
    graph.add_edge(START, "check")
    graph.add_conditional_edges("check", after_checks, ["ask_person", END])
    graph.add_edge("ask_person", END)
    return {
        "capabilityId": REVIEWER,
        "displayName": "Reviewer",
        "summary": "Checks product, version, figures, links and sentences; asks about every error.",
        "inputFacets": ["drafts", "brief"],
        "optionalInputFacets": ["source"],
        "outputFacets": ["review"],
        "facets": {
            "drafts": schema_of(Drafts),
            "brief": schema_of(Brief),
            "source": SOURCE,
            "review": schema_of(Review),
        },
        "run": graph,
        "reworks": ["drafts"],
    }


async def check(state: ReviewerState) -> dict[str, Json]:
    review = await asyncio.to_thread(review_drafts, state)
    return {"review": review.json_object()}


def review_drafts(state: ReviewerState) -> Review:
    brief = Brief.model_validate(state["facets"]["brief"])
    source, told = str(state["facets"].get("source") or ""), guidance_of(state["context"])
    evidence = gather_evidence(state["objective"], source, brief, told)
    issues = [issue for post in _drafts(state).posts for issue in find_errors(post, evidence)]
    said = _said(state)
    why = _why(said[-1], "There are errors even with a person's guidance.") if said else None
    return Review(passed=not issues, issues=tuple(issues), why=why if issues else None)


def after_checks(state: ReviewerState) -> str:
    """Ask once: what came of the question is in the context of every later visit."""
    is_done = Review.model_validate(state["review"]).passed or _said(state)
    return END if is_done else "ask_person"


def question(review: Review, drafts: Drafts, has_model: bool) -> JsonObject:
    """Ask what becomes of drafts with errors. What is said in words only a model can follow."""
    right = [post.channel for post in drafts.posts if post.channel not in review.wrong]
    wrong = ", ".join(review.wrong)
    next_ = "The approval comes next: it shows the errors, and the posts can be edited there."
    options: list[Json] = [{"id": AS_THEY_ARE, "label": "Go on with them", "description": next_}]
    if right:
        rest = f"{', '.join(right)}: no error was found."
        options.append({"id": LEAVE_OUT, "label": f"Leave out {wrong}", "description": rest})
    texts = [f"**{post.channel}**\n\n{_quote(post.content)}" for post in drafts.posts]
    shown = [
        text for text, post in zip(texts, drafts.posts, strict=True) if post.channel not in right
    ]
    words = " Or say what the writer should do differently." if has_model else ""
    return {
        "question": f"There are errors in the drafts for {wrong}. What now?{words}",
        "kind": "choice",
        "options": options,
        "allowFreeForm": has_model,
        "additionalContext": "\n\n".join([review.listed, *shown]),
    }


def decided(review: Review, answer: DeskAnswer) -> Review:
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


def _said(state: ReviewerState) -> list[Said]:
    return [said for said in state["context"] if said["originAgent"] == REVIEWER]


def _drafts(state: ReviewerState) -> Drafts:
    return Drafts.model_validate(state["facets"]["drafts"])


def _quote(text: str) -> str:
    """Return a text as Markdown; two blanks at its end keep a line from running into the next."""
    return "\n".join(f"> {line}  " if line else ">" for line in text.splitlines())
