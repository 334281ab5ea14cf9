"""A training run: what trainers and harnesses wrote."""
