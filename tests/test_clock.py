"""When a jump of the database's clock is believed."""

from datetime import UTC, datetime, timedelta

from hitl_orchestrator.checkpoints.clock import DatabaseClock

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SETTLE_SECONDS = 10


class Ours:
    """A clock of one's own, set by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.clock = DatabaseClock(SETTLE_SECONDS, lambda: self.seconds)

    def observe(self, ahead_seconds: float = 0) -> None:
        now = NOON + timedelta(seconds=self.seconds - 1000 + ahead_seconds)
        self.clock.observe(now, self.seconds)

    def read(self) -> float | None:
        """Return how far what is believed is ahead of our own clock, in seconds."""
        believed = self.clock.read()
        if believed is None:
            return None
        return (believed - NOON).total_seconds() - (self.seconds - 1000)


def test_before_the_first_answer_nothing_is_known_and_that_one_is_believed() -> None:
    ours = Ours()
    assert ours.read() is None
    ours.observe(ahead_seconds=500)
    assert ours.read() == 500


def test_between_answers_it_goes_on_with_our_own_clock() -> None:
    ours = Ours()
    ours.observe()
    ours.seconds += 7
    assert ours.clock.read() == NOON + timedelta(seconds=7)


def test_a_jump_is_believed_once_it_has_settled() -> None:
    ours = Ours()
    ours.observe()
    heard = list[float | None]()
    for _ in range(4):
        ours.seconds += 6
        ours.observe(ahead_seconds=3600)
        heard.append(ours.read())
    assert heard == [0, 0, 3600, 3600]


def test_a_drift_and_a_clock_set_back_are_believed_at_once() -> None:
    ours = Ours()
    for ahead in (0, 0.5, 1, -3600, -3599.5):
        ours.observe(ahead)
        assert ours.read() == ahead


def test_a_jump_that_was_taken_back_is_forgotten() -> None:
    ours = Ours()
    ours.observe()
    ours.seconds += 6
    ours.observe(ahead_seconds=3600)
    ours.observe()
    ours.seconds += 20
    ours.observe(ahead_seconds=3600)
    assert ours.read() == 0
