"""The consortium itself, `consortium/<name>`."""
