"""Recording on the log, speaking from stream to stream, and keeping what is unfinished running."""
