"""The command line. It knows the API by HTTP alone."""
