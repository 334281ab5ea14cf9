"""The bank: statements in, payment orders out."""
