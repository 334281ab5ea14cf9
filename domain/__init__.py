"""The pure core: what the consortium's rules are, as functions from facts to facts. No I/O, no clock, no randomness."""
