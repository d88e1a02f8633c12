"""Numbers of the queue's frames, given also while nobody listens.

Whoever listens numbers what is new. Were that all, the first to listen would wait until the frames
of months had their numbers, and so would everybody who wants to number what is new.
"""

from collections.abc import Sequence

from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.domain.events import VOICES, Event

NUMBER_SECONDS = 2.0


class Numbering:
    """Of the frames that this process has written; at the start, of what others have left."""

    def __init__(self) -> None:
        self._is_due = True

    def note(self, happened: Sequence[Event]) -> None:
        self._is_due = self._is_due or any(VOICES[event.kind].queue for event in happened)

    async def number(self, store: Store) -> None:
        """Give them their numbers, some in a transaction. Raise StoreUnavailable.

        What comes meanwhile has time until the next call: where much comes there is always more.
        """
        is_behind = self._is_due
        while is_behind:
            self._is_due = False
            try:
                is_behind = await store.number_queue()
            except BaseException:
                self._is_due = True
                raise
