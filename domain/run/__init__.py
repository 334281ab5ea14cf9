"""Training runs, `run/<id>`."""
