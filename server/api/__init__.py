"""REST: parse, call the door once, shape the answer."""
