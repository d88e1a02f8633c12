"""Python's search for cycles of garbage, told what a process that serves is like."""

import gc

# New containers until the youngest are looked through; Python's own 700 are a few calls' worth.
YOUNGEST = 10_000


def spare_what_stays() -> None:
    """Look no more at what is there now, and less often at what comes.

    What was imported is 200,000 objects and more, which never become garbage: to go through them
    again and again was a fifth of the CPU of a server under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST)
