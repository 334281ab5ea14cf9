"""Grants from what the consortium holds, `grant/<id>`."""
