"""The memory: Postgres keeps every thread, and the rows that describe it."""
