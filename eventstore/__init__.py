"""Where decisions are made durable: one append-only, hash-chained, totally ordered log."""
