"""Other protocols than ours: each words our questions for its clients, and reads their answers."""
