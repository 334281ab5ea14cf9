"""Proposals and votes, `proposal/<id>`."""
