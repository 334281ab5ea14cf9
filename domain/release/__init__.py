"""Staged releases, `release/<id>`."""
