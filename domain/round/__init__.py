"""Funding rounds, `round/<id>`."""
