"""The orchestration: the compiled graph, what people do to a run, and what the machine does."""
