"""The durable shell: one generic loop that drives every process, and a thin workflow for each."""
