"""What workflows ask to be done: recording on the log, and acting on the outside world."""
