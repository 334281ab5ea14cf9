"""Checking a log without trusting anybody: no worker, no Temporal."""
