"""The log as a transparency log: its Merkle tree, its signed checkpoints, and proofs that anybody can check without it.

Pure: nothing here reads, waits, or asks for the time or for luck. Who keeps the tree reads what a plan names, however it likes
(`tree.Plan`); keys and texts are given.

| module | what | after |
| --- | --- | --- |
| `tree` | the tree over entries' hashes, proofs that an entry is in it and that it only grew | RFC 6962, section 2.1; C2SP tlog-tiles |
| `note` | signed texts | C2SP signed-note v1 |
| `checkpoint` | what a log signs of itself: name, size, root | C2SP tlog-checkpoint v1 |
| `proof` | a file that proves without a log that an entry is in it | C2SP tlog-proof v1 |
"""
