"""Other clients: each protocol a small room with one arrow, to the door.

`wording.py` words our questions for them all, and reads their answers: the mirror of the dialects
in which agents ask.
"""
