"""The register: what every process must agree on, folded from the whole log as of a position."""
