"""Another shell over the same core: a virtual clock and a scripted outside world, no Temporal."""
