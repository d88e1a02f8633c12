"""What may happen: pure rules. No I/O, no clock, no framework beyond pydantic."""
