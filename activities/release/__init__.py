"""A release's files: listed, signed, classified, described and published."""
