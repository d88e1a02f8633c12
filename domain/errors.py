"""Everything that can go wrong, by what happened. HTTP is told nowhere here.

OrchestratorError
├── ConfigurationError          a setting, a folder, an agent file: the start stops
├── StoreUnavailable            the database is out of reach; try again
├── Unreadable                  a newer version wrote it, and this one cannot read it
├── Fenced                      another process drives this run now
├── PutOff                      what works elsewhere is waited for by another process
├── Unfit                       an agent here cannot go on with what its thread has
├── Forbidden                   the caller's key may not do that
├── NotFound
├── Invalid                     the input does not fit; nothing was saved
│   ├── NotAQuestion            an agent interrupted with something no dialect knows
│   └── IdempotencyKeyReused    the same key with another body
└── Conflict                    it fitted once, but not any more
    ├── RequestNotPending
    ├── RunEnded
    ├── RunHeld
    ├── RunNotFailed            only a failed run can be retried
    └── ThreadBusy
"""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue


class OrchestratorError(Exception):
    """`detail` is a sentence for a person; `more` is what a program may want beside it."""

    replayed = False  # the first call with the same Idempotency-Key came to this

    def __init__(self, detail: str, **more: JsonValue) -> None:
        super().__init__(detail)
        self.detail = detail
        self.more: Mapping[str, JsonValue] = more


class ConfigurationError(OrchestratorError):
    """One line that says what is wrong and what to do."""


class StoreUnavailable(OrchestratorError):
    """The database cannot be reached now."""


class Unreadable(OrchestratorError):
    """A newer version wrote it, as a rolling update has it. Nothing was changed."""


class Forbidden(OrchestratorError):
    """The caller's key does not cover the call. Nothing was done."""


class Fenced(OrchestratorError):
    """The claim is not ours any more. Nothing was written."""


class PutOff(OrchestratorError):
    """This process ends, and only waits for what works elsewhere: another one waits on."""


class Unfit(OrchestratorError):
    """The agent plugged in here is not the one that began this work. `more`: capabilityId."""

    @property
    def capability_id(self) -> str:
        return str(self.more["capabilityId"])


class NotFound(OrchestratorError):
    """No such run, thread, or request of that run."""


class Invalid(OrchestratorError):
    """`errors`: [{path, message}], the path in the input's own spelling."""

    def __init__(
        self, detail: str, errors: Sequence[Mapping[str, str]] = (), **more: JsonValue
    ) -> None:
        super().__init__(detail, errors=[dict[str, JsonValue](e) for e in errors], **more)


class NotAQuestion(Invalid):
    """What `interrupt()` was given fits none of the dialects; says what is missing."""


class IdempotencyKeyReused(Invalid):
    """The key was used with another body."""


class Conflict(OrchestratorError):
    """What was asked for was possible once, and is not any more."""


class RequestNotPending(Conflict):
    """`more`: requestStatus, pendingRequestId; resolvedBy and resolvedAt if somebody was first."""


class RunEnded(Conflict):
    """The run has already ended."""


class RunHeld(Conflict):
    """The agents plugged in now do not fit the run. `more`: held."""


class RunNotFailed(Conflict):
    """Only a failed run can be retried. `more`: runStatus."""


class ThreadBusy(Conflict):
    """The thread has a run that has not ended."""
