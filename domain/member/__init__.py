"""Memberships, `member/<slug>`."""
