"""Chaos: what goes wrong around the log, brought about on purpose, and what must hold afterwards.

Each lane is one kind of fault (`tests/chaos/lane.py` says what a lane is). After every round the same checkers look at the log
(`tests/chaos/checks.py`): nothing that was acknowledged is lost, nothing stands twice, every decision is what the rules demand,
the books balance at every entry. And each lane has a control: the same fault met by carelessness, which the checkers must notice.
"""
