"""A real Postgres of our own, beside whoever else uses its data folder."""
