"""The operators' pages: Jinja2 here, htmx in the browser. Each works without the other's script."""
