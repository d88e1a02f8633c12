"""Placeholder until the branch `proxy` is merged."""

ROOT_PATH = "hitl.root_path"
USER = "hitl.user"
