"""The treasury, `treasury/<account>`."""
