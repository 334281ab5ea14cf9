"""The log as a transparency log: what is proven is so, and whoever changes a bit of a proof proves nothing.

| promise | where |
| --- | --- |
| the tree is RFC 6962's: its vectors, its recursive definition | growing |
| what a store keeps is the same however entries come in, and enough for every proof; no proof reads more than two tiles a level | stored |
| every entry of every size is proven, and every earlier size; nothing else is | proven, refused |
| notes, checkpoints and proof files are C2SP's, in one form only: the standards' examples, Go's, checkpoints of sum.golang.org | the rest |
| Go's checksum database says the same of 1,000 proofs, 1,000 steps and 10,000 changed bits | judged |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Final, ParamSpec

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from tests.judges import tlog
from tests.sealing import flipped, flipped_somewhere
from tests.test_purity import impurities
from transparency import checkpoint, note, proof, tree
from transparency.checkpoint import Checkpoint
from transparency.note import Note, Signature, SigningKey, VerifierKey
from transparency.proof import Proof
from transparency.strict import LARGEST, Invalid, decoded, encoded, number_of
from transparency.tree import (
    EMPTY_ROOT,
    Frontier,
    Plan,
    Recent,
    Tile,
    kept_of,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

P = ParamSpec("P")
PACKAGE: Final = Path(__file__).parent.parent / "transparency"
ORIGIN: Final = "example.com/atlas"
KEY: Final = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(sha256(b"the log's key").digest()))
OTHER: Final = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(sha256(b"somebody else's key").digest()))
ALLOWED: Final = frozenset(
    {"__future__", "base64", "collections.abc", "cryptography.exceptions", "cryptography.hazmat.primitives.asymmetric.ed25519", "dataclasses",
     "hashlib", "typing"}
)  # fmt: skip


def entry_hash(number: int) -> bytes:
    """What stands for the hash of an entry."""
    return sha256(b"entry %d" % number).digest()


def defined(data: Sequence[bytes]) -> bytes:
    """The root as RFC 6962 defines it, word by word."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    left = 1
    while left * 2 < len(data):
        left *= 2
    return sha256(b"\x01" + defined(data[:left]) + defined(data[left:])).digest()


class Store:
    """A log's entries, and what is kept of its tree, as a database would."""

    def __init__(self, data: Iterable[bytes] = ()) -> None:
        self.data: list[bytes] = []
        self.kept: dict[int, list[bytes]] = {}
        self.frontier = Frontier()
        self.add(data)

    def add(self, data: Iterable[bytes]) -> None:
        """Appends a batch."""
        batch = list(data)
        self.frontier, kept = self.frontier.extended(batch)
        self.data += batch
        for level, number, digest in kept:
            row = self.kept.setdefault(level, [])
            assert number == len(row)
            row.append(digest)

    def read(self, tile: Tile) -> Sequence[bytes]:
        """A tile."""
        return (self.kept[tile.level] if tile.level else self.data)[tile.begin : tile.end]

    def hashes(self, plan: Plan) -> tuple[bytes, ...]:
        """What a plan gives."""
        return plan.hashes([self.read(tile) for tile in plan.tiles])

    def root(self, size: int) -> bytes:
        """Of an older size, too."""
        return Frontier(size, self.hashes(tree.edge(size))).root()

    def checkpoint(self, size: int) -> bytes:
        """Signed."""
        return checkpoint.sign(Checkpoint(ORIGIN, size, self.root(size)), KEY)

    def proof(self, index: int, size: int) -> Proof:
        """That an entry is in the tree of a size."""
        return Proof(index, self.hashes(tree.inclusion(index, size)), self.checkpoint(size))


MANY: Final = 2**16 + 2**12 + 300
"""Entries enough for tiles of three levels."""


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(map(entry_hash, range(MANY)))


SIZES = st.one_of(st.integers(0, 40), st.integers(0, 1_100), st.sampled_from((2**16 - 1, 2**16, 2**16 + 1, MANY)), st.integers(0, MANY))
BITS = st.integers(0, 10**9)
"""Which bit is changed: counted round and round."""


def shown(file: bytes, data: bytes, key: SigningKey = KEY, origin: str = ORIGIN) -> Checkpoint:
    """What a proof file shows of an entry to who believes this key of that log."""
    return proof.verified(proof.parse(file), data, origin, [key.verifier])


def refused(check: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> bool:
    """Whether what is shown to it proves nothing."""
    try:
        check(*arguments, **named)
    except Invalid:
        return True
    return False


# ---------------------------------------------------------------- growing

VECTOR_DATA: Final = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]  # fmt: skip
VECTOR_ROOTS: Final = [
    bytes.fromhex(each)
    for each in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
"""The tree that Certificate Transparency's implementations are tried with, at each size from 0."""


@pytest.mark.parametrize("size", range(9))
def test_the_tree_has_the_roots_that_certificate_transparency_is_tried_with(size: int) -> None:
    assert Frontier().extended(VECTOR_DATA[:size]).frontier.root() == VECTOR_ROOTS[size] == defined(VECTOR_DATA[:size])


@given(st.lists(st.integers(0, 300), max_size=6))
def test_the_frontier_has_the_root_that_the_rfc_defines_however_entries_come_in(batches: list[int]) -> None:
    data, frontier = [entry_hash(number) for number in range(sum(batches))], Frontier()
    for batch in batches:
        frontier = frontier.extended(data[frontier.size : frontier.size + batch]).frontier
        assert frontier.root() == defined(data[: frontier.size])
    assert frontier == Frontier().extended(data).frontier


def test_a_frontier_that_is_extended_stays_as_it_was() -> None:
    before = Frontier().extended([entry_hash(1)]).frontier
    one, other = before.extended([entry_hash(2)]).frontier, before.extended([entry_hash(3)]).frontier
    assert before.root() == leaf_hash(entry_hash(1))
    assert one.root() != other.root()
    assert one == before.extended([entry_hash(2)]).frontier


@pytest.mark.parametrize(("size", "hashes"), [(1, ()), (2, (bytes(32), bytes(32))), (-1, (bytes(32),)), (LARGEST + 1, (bytes(32),))])
def test_a_frontier_has_a_hash_for_each_complete_subtree(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="not the edge"):
        Frontier(size, hashes)


# ---------------------------------------------------------------- stored


@given(st.lists(st.integers(0, 700), max_size=4))
def test_what_a_store_keeps_is_the_roots_of_full_tiles_whatever_the_batches(batches: list[int]) -> None:
    batched = Store()
    for batch in batches:
        batched.add(map(entry_hash, range(len(batched.data), len(batched.data) + batch)))
    full = [batched.data[begin : begin + 256] for begin in range(0, len(batched.data) - 255, 256)]
    assert batched.kept.get(1, []) == [defined(tile) for tile in full]
    assert batched.kept == Store(batched.data).kept


def test_a_store_keeps_two_rows_of_512_entries_and_one_more_of_65_536(store: Store) -> None:
    assert {level: len(row) for level, row in store.kept.items()} == {1: MANY // 256, 2: 1}
    assert store.kept[2] == [defined(store.data[: 2**16])]


@given(size=SIZES, share=st.floats(0, 1, exclude_max=True), older=st.floats(0, 1))
def test_no_proof_reads_more_than_two_tiles_of_a_level_and_none_lies_beyond_the_tree(size: int, share: float, older: float) -> None:
    plans = [tree.edge(size), tree.consistency(int(older * size), size), *([tree.inclusion(int(share * size), size)] if size else [])]
    for plan in plans:
        levels = [tile.level for tile in plan.tiles]
        assert levels == sorted(levels)
        assert all(levels.count(level) <= 2 for level in levels)
        assert all(0 < tile.width <= 256 and tile.end <= size >> 8 * tile.level for tile in plan.tiles)


@given(size=st.integers(0, 1_100))
@example(size=2**16 - 1)
@example(size=2**16)
@example(size=MANY)
def test_whoever_starts_gets_the_frontier_of_any_size_from_what_is_stored(store: Store, size: int) -> None:
    assert Frontier(size, store.hashes(tree.edge(size))) == Frontier().extended(store.data[:size]).frontier


@given(before=st.integers(0, 600), added=st.integers(1, 300), share=st.floats(0, 1, exclude_max=True))
@example(before=0, added=1, share=0.0)
@example(before=255, added=2, share=0.0)
@example(before=256, added=256, share=0.9)
def test_entries_that_were_just_added_are_proven_without_a_store(before: int, added: int, share: float) -> None:
    data = list(map(entry_hash, range(before + added)))
    edge, index = Frontier().extended(data[:before]).frontier, before + int(share * added)
    recent = Recent(edge, data[before:])
    grown = edge.extended(data[before:]).frontier
    proven = recent.inclusion(index)
    assert recent.size == grown.size
    assert proven == Store(data).hashes(tree.inclusion(index, grown.size))
    verify_inclusion(data[index], index, recent.size, grown.root(), proven)


def test_older_entries_are_not_proven_by_what_is_at_hand() -> None:
    with pytest.raises(ValueError, match="older"):
        Recent(Frontier().extended(map(entry_hash, range(5))).frontier, [entry_hash(5)]).inclusion(4)


def test_what_a_store_keeps_is_made_anew_of_the_tiles_below(store: Store) -> None:
    for level, row in store.kept.items():
        for number, digest in enumerate(row[:300]):
            below = Tile(level - 1, number, 256)
            assert kept_of(below, store.read(below)) == (level, number, digest)
    with pytest.raises(ValueError, match="not full"):
        kept_of(Tile(0, 0, 255), store.data[:255])


def test_a_tile_that_is_not_whole_makes_no_proof(store: Store) -> None:
    plan = tree.inclusion(5, 300)
    whole = [list(store.read(tile)) for tile in plan.tiles]
    assert plan.hashes(whole)
    for wrong in ([whole[0][:-1], *whole[1:]], [[*whole[0][:-1], b"short"], *whole[1:]], whole[:-1]):
        with pytest.raises(ValueError, match=r"what was read|shorter"):
            plan.hashes(wrong)


@pytest.mark.parametrize(
    "ask",
    [lambda: tree.inclusion(0, 0), lambda: tree.inclusion(5, 5), lambda: tree.inclusion(-1, 5), lambda: tree.consistency(6, 5),
     lambda: tree.consistency(-1, 5), lambda: tree.edge(-1)],
)  # fmt: skip
def test_there_is_no_plan_for_what_does_not_exist(ask: Callable[[], Plan]) -> None:
    with pytest.raises(ValueError, match=r"there is no leaf|does not begin|no tree has"):
        ask()


# ---------------------------------------------------------------- proven


def of_hex(*hashes: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(each) for each in hashes)


@pytest.mark.parametrize(
    ("index", "size", "hashes"),
    [
        (0, 1, ()),
        (0, 8, ("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")),
        (5, 8, ("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b", "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")),
        (2, 3, ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",)),
        (1, 5, ("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")),
    ],
)  # fmt: skip
def test_certificate_transparencys_inclusion_proofs_are_accepted(index: int, size: int, hashes: tuple[str, ...]) -> None:
    verify_inclusion(VECTOR_DATA[index], index, size, VECTOR_ROOTS[size], of_hex(*hashes))


@pytest.mark.parametrize(
    ("old", "new", "hashes"),
    [
        (1, 1, ()),
        (1, 8, ("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")),
        (6, 8, ("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")),
        (2, 5, ("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")),
        (6, 7, ("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")),
    ],
)  # fmt: skip
def test_certificate_transparencys_consistency_proofs_are_accepted(old: int, new: int, hashes: tuple[str, ...]) -> None:
    verify_consistency(old, VECTOR_ROOTS[old], new, VECTOR_ROOTS[new], of_hex(*hashes))


@pytest.mark.parametrize("size", range(1, 35))
def test_every_entry_and_every_earlier_size_of_a_small_tree_is_proven(store: Store, size: int) -> None:
    for index in range(size):
        verify_inclusion(store.data[index], index, size, store.root(size), store.hashes(tree.inclusion(index, size)))
    for old in range(size + 1):
        verify_consistency(old, store.root(old), size, store.root(size), store.hashes(tree.consistency(old, size)))


@given(size=SIZES.filter(bool), share=st.floats(0, 1, exclude_max=True))
@example(size=MANY, share=0.999_999)
def test_every_entry_of_a_tree_of_any_size_is_proven(store: Store, size: int, share: float) -> None:
    index = int(share * size)
    verify_inclusion(store.data[index], index, size, store.root(size), store.hashes(tree.inclusion(index, size)))


@given(one=SIZES, other=SIZES)
def test_of_any_two_sizes_the_larger_is_proven_to_begin_with_the_smaller(store: Store, one: int, other: int) -> None:
    old, new = sorted((one, other))
    verify_consistency(old, store.root(old), new, store.root(new), store.hashes(tree.consistency(old, new)))


# ---------------------------------------------------------------- refused


@given(size=st.integers(1, 2_000), share=st.floats(0, 1, exclude_max=True), bit=BITS)
def test_a_changed_bit_of_an_inclusion_proof_proves_nothing(store: Store, size: int, share: float, bit: int) -> None:
    index = int(share * size)
    data, root, path = store.data[index], store.root(size), store.hashes(tree.inclusion(index, size))
    assert refused(verify_inclusion, flipped(data, bit), index, size, root, path)
    assert refused(verify_inclusion, data, index, size, flipped(root, bit), path)
    assert refused(verify_inclusion, data, index ^ 1 << bit % 12, size, root, path)
    for place, each in enumerate(path):
        assert refused(verify_inclusion, data, index, size, root, [*path[:place], flipped(each, bit), *path[place + 1 :]])


@given(sizes=st.lists(st.integers(1, 2_000), min_size=2, max_size=2, unique=True).map(sorted), bit=BITS)
def test_a_changed_bit_of_a_consistency_proof_proves_nothing(store: Store, sizes: list[int], bit: int) -> None:
    old, new = sizes
    before, after, path = store.root(old), store.root(new), store.hashes(tree.consistency(old, new))
    assert refused(verify_consistency, old, flipped(before, bit), new, after, path)
    assert refused(verify_consistency, old, before, new, flipped(after, bit), path)
    for place, each in enumerate(path):
        assert refused(verify_consistency, old, before, new, after, [*path[:place], flipped(each, bit), *path[place + 1 :]])


@given(size=st.integers(1, 600), share=st.floats(0, 1, exclude_max=True), place=st.integers(0, 20))
def test_a_hash_too_many_or_too_few_proves_nothing(store: Store, size: int, share: float, place: int) -> None:
    index = int(share * size)
    included = store.hashes(tree.inclusion(index, size))
    grown = store.hashes(tree.consistency(index, size))
    for path in shortened_and_lengthened(included, place):
        assert refused(verify_inclusion, store.data[index], index, size, store.root(size), path)
    for path in shortened_and_lengthened(grown, place):
        assert refused(verify_consistency, index, store.root(index), size, store.root(size), path)


def shortened_and_lengthened(path: Sequence[bytes], place: int) -> Iterator[Sequence[bytes]]:
    where = place % (len(path) + 1)
    for more in (bytes(32), *path[:1], b"", b"too short"):
        yield [*path[:where], more, *path[where:]]
    if path:
        where %= len(path)
        yield [*path[:where], *path[where + 1 :]]


@given(size=st.integers(2, 400), fork=st.floats(0, 1, exclude_max=True), share=st.floats(0, 1, exclude_max=True))
def test_a_log_that_told_two_stories_cannot_prove_that_one_goes_on_from_the_other(
    store: Store, size: int, fork: float, share: float
) -> None:
    at, old = int(fork * size), int(share * size) + 1
    rewritten = Store([*store.data[:at], sha256(b"another entry").digest(), *store.data[at + 1 : size]])
    path = rewritten.hashes(tree.consistency(old, size))
    assert refused(verify_consistency, old, store.root(old), size, rewritten.root(size), path) == (at < old)
    assert refused(verify_inclusion, store.data[at], at, size, rewritten.root(size), rewritten.hashes(tree.inclusion(at, size)))


@pytest.mark.parametrize(
    ("old", "old_root", "new", "new_root", "hashes"),
    [
        (3, VECTOR_ROOTS[3], 2, VECTOR_ROOTS[2], ()),
        (-1, EMPTY_ROOT, 2, VECTOR_ROOTS[2], ()),
        (0, VECTOR_ROOTS[1], 2, VECTOR_ROOTS[2], ()),
        (0, EMPTY_ROOT, 0, VECTOR_ROOTS[2], ()),
        (0, EMPTY_ROOT, 2, VECTOR_ROOTS[2], (VECTOR_ROOTS[1],)),
        (2, VECTOR_ROOTS[2], 2, VECTOR_ROOTS[2], (VECTOR_ROOTS[1],)),
        (2, VECTOR_ROOTS[2], 2, VECTOR_ROOTS[3], ()),
        (2, VECTOR_ROOTS[2], 3, VECTOR_ROOTS[3], ()),
        (3, VECTOR_ROOTS[3], 4, VECTOR_ROOTS[4], ()),
    ],
    ids=["back in time", "less than nothing", "nothing with a root", "two roots of nothing", "a proof of nothing", "a proof of the same",
         "two roots of one size", "no proof from a whole tree", "no proof from a torn one"],
)  # fmt: skip
def test_nothing_is_consistent_by_being_empty(old: int, old_root: bytes, new: int, new_root: bytes, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(Invalid):
        verify_consistency(old, old_root, new, new_root, hashes)


def test_every_log_goes_on_from_the_empty_one() -> None:
    verify_consistency(0, EMPTY_ROOT, 3, VECTOR_ROOTS[3], ())
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (5, 3)])
def test_no_entry_is_proven_beyond_the_end(index: int, size: int) -> None:
    with pytest.raises(Invalid, match="beyond the end"):
        verify_inclusion(b"", index, size, VECTOR_ROOTS[1], ())


@given(size=st.integers(1, 300), share=st.floats(0, 1, exclude_max=True))
def test_a_root_over_more_than_its_size_proves_nothing(store: Store, size: int, share: float) -> None:
    """Roots that hide another tree beside the one of the size that they are signed for."""
    index, beside, root = int(share * size), store.root(7), store.root(size)
    before = store.root(index)
    included, grown = [*store.hashes(tree.inclusion(index, size)), beside], [*store.hashes(tree.consistency(index, size)), beside]
    for hidden, hidden_before in (
        (node_hash(beside, root), node_hash(beside, before)),
        (node_hash(root, beside), node_hash(before, beside)),
    ):
        assert refused(verify_inclusion, store.data[index], index, size, hidden, included)
        assert refused(verify_consistency, index, hidden_before, size, hidden, grown)


@given(size=st.integers(2, 300), share=st.floats(0, 1, exclude_max=True))
def test_a_root_over_less_than_its_size_proves_nothing(store: Store, size: int, share: float) -> None:
    """Roots that leave out what is right of the largest complete subtree, and its proofs."""
    left = 1 << (size - 1).bit_length() - 1
    index = int(share * left)
    assert refused(verify_inclusion, store.data[index], index, size, store.root(left), store.hashes(tree.inclusion(index, left)))
    grown = store.hashes(tree.consistency(index, left))
    assert refused(verify_consistency, index, store.root(index), size, store.root(left), grown) == (index > 0)


@pytest.mark.parametrize("odd", [b"", bytes(31), bytes(33), bytes(64)])
def test_what_is_no_hash_proves_nothing_though_the_root_is_made_of_it(store: Store, odd: bytes) -> None:
    leaf = store.root(1)
    assert refused(verify_inclusion, store.data[0], 0, 2, node_hash(leaf, odd), [odd])
    assert refused(verify_consistency, 1, leaf, 2, node_hash(leaf, odd), [odd])


def test_an_inner_node_is_no_entry(store: Store) -> None:
    below = leaf_hash(store.data[0]) + leaf_hash(store.data[1])
    assert node_hash(below[:32], below[32:]) == store.root(2)
    assert refused(verify_inclusion, below, 0, 1, store.root(2), ())


# ---------------------------------------------------------------- notes

C2SP_NOTE: Final = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
C2SP_KEY: Final = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
GO_KEY: Final = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED: Final = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT: Final = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_LINE: Final = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"


def test_the_standards_example_of_a_note_verifies_under_its_key() -> None:
    key = note.parse_key(C2SP_KEY)
    assert str(key) == C2SP_KEY
    read = note.parse(C2SP_NOTE.encode())
    assert read.text == "This is an example message.\n"
    assert note.verify(read, [key]) == (key,)
    assert read.encode() == C2SP_NOTE.encode()


def test_a_note_is_signed_byte_by_byte_as_go_signs_it() -> None:
    peter = SigningKey("PeterNeumann", Ed25519PrivateKey.from_private_bytes(decoded(GO_SEED, "the seed")[1:]))
    assert str(peter.verifier) == GO_KEY
    assert note.sign(GO_TEXT, peter).encode().decode() == f"{GO_TEXT}\n{GO_LINE}"


def test_signatures_by_strangers_are_kept_and_passed_over() -> None:
    stranger = Signature("witness.example/w1", b"\x01\x02\x03\x04", bytes(5_000))
    signed = note.sign("text\n", KEY)
    crowded = Note(signed.text, (*(stranger._replace(name=f"witness.example/w{number}") for number in range(15)), *signed.signatures))
    read = note.parse(crowded.encode())
    assert read == crowded
    assert note.verify(read, [KEY.verifier]) == (KEY.verifier,)
    most = Note(signed.text, signed.signatures * note.MOST_SIGNATURES)
    assert note.parse(most.encode()) == most


def test_a_key_of_the_same_name_or_of_the_same_id_is_another_key() -> None:
    signed = note.sign("text\n", KEY)
    (line,) = signed.signatures
    assert refused(note.verify, signed, [OTHER.verifier])
    assert refused(note.verify, signed, [VerifierKey("example.com/other", KEY.verifier.public)])
    assert refused(note.verify, signed, [])
    renamed = Note(signed.text, (line._replace(name="example.com/other"), line))
    assert note.verify(renamed, [KEY.verifier, OTHER.verifier]) == (KEY.verifier,)


def test_two_keys_of_a_log_sign_one_note() -> None:
    signed = note.sign("text\n", KEY, OTHER)
    assert note.verify(note.parse(signed.encode()), [OTHER.verifier, KEY.verifier]) == (KEY.verifier, OTHER.verifier)


def test_two_keys_that_cannot_be_told_apart_are_believed_nothing() -> None:
    # Found by trying in a tenth of a second: so short an id proves nothing of a key.
    twins = [VerifierKey("twin", number.to_bytes(32, "big")) for number in (48_221, 128_134)]
    assert twins[0].key_id == twins[1].key_id
    with pytest.raises(Invalid, match="told apart"):
        note.verify(note.sign("text\n", KEY), [KEY.verifier, *twins])
    assert note.verify(note.sign("text\n", KEY), [KEY.verifier, twins[0], twins[0]]) == (KEY.verifier,)


def test_one_wrong_signature_of_a_known_key_spoils_a_note_that_others_signed_well() -> None:
    signed = note.sign("text\n", KEY, OTHER)
    one, other = signed.signatures
    for wrong in (flipped(one.signature, 7), one.signature[:-1], one.signature + b"\x00", b"\x00"):
        spoiled = Note(signed.text, (one._replace(signature=wrong), other))
        with pytest.raises(Invalid, match="does not fit"):
            note.verify(spoiled, [KEY.verifier, OTHER.verifier])
        assert note.verify(spoiled, [OTHER.verifier]) == (OTHER.verifier,)


def test_a_signature_is_not_accepted_in_a_second_form() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signed = note.sign("text\n", KEY)
    (line,) = signed.signatures
    again = (int.from_bytes(line.signature[32:], "little") + order).to_bytes(32, "little")
    assert refused(note.verify, Note(signed.text, (line._replace(signature=line.signature[:32] + again),)), [KEY.verifier])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        GO_TEXT.encode(),
        f"{GO_TEXT}\n".encode(),
        f"{GO_TEXT}{GO_LINE}".encode(),
        f"{GO_TEXT}\n{GO_LINE[:-1]}".encode(),
        f"{GO_TEXT}\n{GO_LINE}\n".encode(),
        f"{GO_TEXT}\n\n{GO_LINE}Unexpected line.\n".encode(),
        f"\x01{GO_TEXT}\n{GO_LINE}".encode(),
        f"{GO_TEXT}\r\n{GO_LINE}".encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("— ", "—\t").encode(),
        b"\xff" + f"{GO_TEXT}\n{GO_LINE}".encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("—", "-").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("PeterNeumann", "Peter Neumann").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("PeterNeumann", "Peter\u00a0Neumann").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("PeterNeumann", "Peter+Neumann").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("PeterNeumann", "").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("nAM=", "nAN=").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("nAM=", "nAM").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("nAM=", "nAM==").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("nAM=", "nAM= ").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("x08g", "x0-_").encode(),
        f"{GO_TEXT}\n{GO_LINE}".replace("x08g", "x08é").encode(),
        f"{GO_TEXT}\n— PeterNeumann x08gow==\n".encode(),
        f"{GO_TEXT}\n— PeterNeumann\n".encode(),
        f"{GO_TEXT}\n{GO_LINE * (note.MOST_SIGNATURES + 1)}".encode(),
        b"x" * note.LARGEST + f"\n\n{GO_LINE}".encode(),
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        note.parse(data)


def test_a_text_may_have_empty_lines_and_any_script() -> None:
    text = "Ognuno sta solo sul cuor della terra\n\n\ned è subito sera. 夜\n"
    assert note.parse(note.sign(text, KEY).encode()) == note.sign(text, KEY)
    assert note.parse(note.sign("\n", KEY).encode()).text == "\n"


@pytest.mark.parametrize("text", ["", "no newline", "a\ttab\n", "a bell\x07\n", "half of a pair \ud800\n"])
def test_what_cannot_be_a_notes_text_is_not_signed(text: str) -> None:
    with pytest.raises(Invalid):
        note.sign(text, KEY)
    with pytest.raises(ValueError, match="by somebody"):
        note.sign(text)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "PeterNeumann",
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("c74f20a3", "C74F20A3"),
        GO_KEY.replace("c74f20a3", "c74f20a"),
        GO_KEY.replace("PeterNeumann", "EnochRoot"),
        GO_KEY.replace("PeterNeumann", ""),
        GO_KEY.replace("+ARpc", "+BRpc"),
        GO_KEY[:-4],
        GO_KEY + "====",
        GO_KEY + "\n",
        "PeterNeumann+c74f20a3+",
    ],
)
def test_what_is_no_verifier_key_is_refused(key: str) -> None:
    with pytest.raises(Invalid):
        note.parse_key(key)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x00", "\ud800"])
def test_no_key_has_a_name_that_cannot_stand_in_a_note(name: str) -> None:
    with pytest.raises(Invalid):
        VerifierKey(name, bytes(32))


# ---------------------------------------------------------------- checkpoints

SUMDB_KEY: Final = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB: Final = {
    6_476_701: """go.sum database tree
6476701
mb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=

— sum.golang.org Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=
""",
    65_209_736: """go.sum database tree
65209736
5+uGFjx6xBZG8ip1+wi77v+grwbhhukIrxEUS8PXvRo=

— sum.golang.org Az3grnbssgK7ubgFX36gVETtNv0U23qxyAhAMai2QUfeGa3nB/akvkMdlUErfcZz7l/R3cVtYspg3dxXABkGZZKdsQ8=
""",
}


@pytest.mark.parametrize("size", SUMDB)
def test_checkpoints_of_gos_checksum_database_verify_under_its_key(size: int) -> None:
    read = checkpoint.opened(SUMDB[size].encode(), "go.sum database tree", [note.parse_key(SUMDB_KEY)])
    assert read.size == size
    assert f"{read.text()}\n" == SUMDB[size].partition("— ")[0]


@given(st.integers(0, LARGEST), st.binary(min_size=32, max_size=32), st.lists(st.text("ab —é", min_size=1), max_size=3))
def test_what_a_log_signs_is_read_back(size: int, root: bytes, extensions: list[str]) -> None:
    stated = Checkpoint(ORIGIN, size, root if size else EMPTY_ROOT, tuple(extensions))
    assert checkpoint.opened(checkpoint.sign(stated, KEY), ORIGIN, [KEY.verifier]) == stated


def test_a_checkpoint_of_another_log_or_by_another_key_is_refused() -> None:
    signed = checkpoint.sign(Checkpoint(ORIGIN, 1, bytes(32)), KEY)
    assert checkpoint.opened(signed, ORIGIN, [OTHER.verifier, KEY.verifier]).size == 1
    with pytest.raises(Invalid, match="another log's"):
        checkpoint.opened(signed, "example.com/other", [KEY.verifier])
    with pytest.raises(Invalid, match="not signed"):
        checkpoint.opened(signed, ORIGIN, [OTHER.verifier])


ROOT: Final = encoded(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n1\n",
        f"\n1\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n1\n\n",
        f"{ORIGIN}\n1\n{ROOT}",
        f"{ORIGIN}\n1\n{ROOT}\n\n",
        f"{ORIGIN}\n1\n{ROOT}\n\nextension\n",
        f"{ORIGIN}\n01\n{ROOT}\n",
        f"{ORIGIN}\n00\n{ROOT}\n",
        f"{ORIGIN}\n+1\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n1_0\n{ROOT}\n",
        f"{ORIGIN}\n١\n{ROOT}\n",
        f"{ORIGIN}\n²\n{ROOT}\n",
        f"{ORIGIN}\n {1}\n{ROOT}\n",
        f"{ORIGIN}\n{LARGEST + 1}\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 5_000}\n{ROOT}\n",
        f"{ORIGIN}\n1\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n1\n{ROOT[:-2]}B=\n",
        f"{ORIGIN}\n1\n{encoded(bytes(31))}\n",
        f"{ORIGIN}\n1\n{encoded(bytes(33))}\n",
        f"{ORIGIN}\n0\n{ROOT}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused_though_it_is_signed(text: str) -> None:
    with pytest.raises(Invalid):
        checkpoint.read(text)
    if text.endswith("\n"):
        with pytest.raises(Invalid):
            checkpoint.opened(note.sign(text, KEY).encode(), ORIGIN, [KEY.verifier])


@pytest.mark.parametrize(
    "stated",
    [
        Checkpoint("example.com/other", 1, bytes(32)),
        Checkpoint(ORIGIN, -1, bytes(32)),
        Checkpoint(ORIGIN, LARGEST + 1, bytes(32)),
        Checkpoint(ORIGIN, 1, bytes(31)),
        Checkpoint(ORIGIN, 0, bytes(32)),
        Checkpoint(ORIGIN, 1, bytes(32), ("",)),
        Checkpoint(ORIGIN, 1, bytes(32), ("two\nlines",)),
        Checkpoint(ORIGIN, 1, bytes(32), ("a tab\t",)),
    ],
)
def test_a_log_does_not_sign_what_cannot_be_its_checkpoint(stated: Checkpoint) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        checkpoint.sign(stated, KEY)
    with pytest.raises(ValueError, match="keys of its log"):
        checkpoint.sign(stated)


# ---------------------------------------------------------------- proofs as files


def test_a_proof_file_is_laid_out_as_the_standard_says(store: Store) -> None:
    lines = replace(store.proof(4, 6), extra=b"what for").encode().decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra d2hhdCBmb3I=", "index 4"]
    assert lines[3:5] == [encoded(leaf_hash(store.data[5])), encoded(store.root(4))]
    assert lines[5:8] == ["", ORIGIN, "6"]
    assert "\n".join(lines[6:]).encode() == store.checkpoint(6)


@given(size=st.integers(1, 700), share=st.floats(0, 1, exclude_max=True), extra=st.binary(max_size=40))
def test_a_proof_file_is_read_back_and_proves_its_entry_and_no_other(store: Store, size: int, share: float, extra: bytes) -> None:
    index = int(share * size)
    made = replace(store.proof(index, size), extra=extra)
    written = made.encode()
    assert proof.parse(written) == made
    assert shown(written, store.data[index]) == Checkpoint(ORIGIN, size, store.root(size))
    assert refused(shown, written, store.data[index + 1])
    assert refused(shown, written, store.data[index], origin="example.com/other")
    assert refused(shown, written, store.data[index], OTHER)


@given(size=st.integers(1, 700), share=st.floats(0, 1, exclude_max=True), bit=BITS)
def test_a_changed_bit_of_a_proof_file_proves_nothing(store: Store, size: int, share: float, bit: int) -> None:
    index = int(share * size)
    written = store.proof(index, size).encode()
    assert shown(written, store.data[index])
    assert refused(shown, flipped(written, bit), store.data[index])


def test_each_bit_of_one_proof_file_counts(store: Store) -> None:
    written = store.proof(4, 6).encode()
    for bit in range(8 * len(written)):
        assert refused(shown, flipped(written, bit), store.data[4]), bit


def test_a_proof_goes_on_proving_under_a_checkpoint_that_others_signed_too(store: Store) -> None:
    made = store.proof(4, 6)
    witnessed = note.parse(made.checkpoint)
    witnessed = Note(witnessed.text, (*witnessed.signatures, Signature("witness.example/w1", b"wxyz", bytes(72))))
    assert shown(replace(made, checkpoint=witnessed.encode()).encode(), store.data[4]).size == 6


HASH: Final = encoded(bytes(32))


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nextra eA==",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0",
        "c2sp.org/tlog-proof@v1\nextra eB==\nindex 0",
        f"c2sp.org/tlog-proof@v1\nextra {encoded(bytes(proof.MOST_EXTRA + 1))}\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra eA==",
        "c2sp.org/tlog-proof@v1\nindex",
        "c2sp.org/tlog-proof@v1\nindex 00",
        "c2sp.org/tlog-proof@v1\nindex -1",
        "c2sp.org/tlog-proof@v1\nindex 0 ",
        "c2sp.org/tlog-proof@v1\nindex ٠",
        "c2sp.org/tlog-proof@v1\r\nindex 0",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-4]}",
        f"c2sp.org/tlog-proof@v1\nindex 0\n {HASH}",
        "c2sp.org/tlog-proof@v1\nindex 0" + f"\n{HASH}" * (proof.MOST_HASHES + 1),
    ],
)
def test_what_is_no_proof_file_is_refused(store: Store, head: str) -> None:
    with pytest.raises(Invalid):
        proof.parse(f"{head}\n\n".encode() + store.checkpoint(1))


def test_a_file_without_a_checkpoint_or_too_large_is_refused() -> None:
    with pytest.raises(Invalid, match="no transparency log proof"):
        proof.parse(b"c2sp.org/tlog-proof@v1\nindex 0\n")
    with pytest.raises(Invalid, match="too large"):
        proof.parse(bytes(proof.LARGEST_FILE + 1))


@given(st.one_of(st.binary(max_size=200), st.text("— +=\nAZaz09/.", max_size=200).map(str.encode)))
def test_whatever_is_shown_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    readers: Mapping[str, Callable[[bytes], bytes]] = {
        "note": lambda shown: note.parse(shown).encode(),
        "proof": lambda shown: proof.parse(shown).encode(),
        "checkpoint": lambda shown: checkpoint.read(shown.decode("latin-1")).text().encode("latin-1"),
        "key": lambda shown: str(note.parse_key(shown.decode("latin-1"))).encode("latin-1"),
    }
    for read in readers.values():
        try:
            again = read(data)
        except Invalid:
            continue
        assert again == data


@given(st.integers(0, LARGEST), st.binary(max_size=70))
def test_numbers_and_base64_have_one_form(number: int, data: bytes) -> None:
    assert number_of(str(number), "it") == number
    assert decoded(encoded(data), "it") == data


# ---------------------------------------------------------------- judged

PROOFS: Final = 1_000
CHANGES: Final = 10_000


@pytest.mark.timeout(300)
@pytest.mark.skipif(tlog.missing() != "" and not os.environ.get("CI"), reason=tlog.missing())
def test_gos_checksum_database_accepts_1_000_proofs_and_1_000_steps_and_refuses_10_000_changed_bits(store: Store, tmp_path: Path) -> None:
    luck = Random(6_962)
    accepted = list(questions(store, luck))
    changed = [one_bit_changed(question, luck) for question in accepted * (CHANGES // len(accepted))]
    answers = tlog.asked(tlog.built(tmp_path), ORIGIN, str(KEY.verifier), accepted + changed)
    assert (len(accepted), len(changed), len(answers)) == (2 * PROOFS, CHANGES, 2 * PROOFS + CHANGES)
    assert set(answers[: len(accepted)]) == {"yes"}
    assert all(answers)
    assert "yes" not in answers[len(accepted) :]
    assert not any(refused(answered, each) for each in accepted)
    assert all(refused(answered, each) for each in changed)


def questions(store: Store, luck: Random) -> Iterator[tlog.Question]:
    """So many proofs that an entry is in the log, and so many that it only grew, of small trees and large ones."""
    sizes = sorted({*range(1, 41), *(luck.randint(41, 600) for _ in range(60)), *(luck.randint(601, MANY) for _ in range(20))})
    checkpoints = {size: store.checkpoint(size) for size in sizes}
    for _ in range(PROOFS):
        old, new = sorted(luck.sample(sizes, 2))
        index = luck.randrange(new)
        yield {"Data": store.data[index], "Proof": replace(store.proof(index, new), checkpoint=checkpoints[new]).encode()}
        hashes = "\n".join(map(encoded, store.hashes(tree.consistency(old, new))))
        yield {"Old": checkpoints[old], "Hashes": hashes.encode(), "New": checkpoints[new]}


def one_bit_changed(question: tlog.Question, luck: Random) -> tlog.Question:
    """Somewhere in what proves, or in what is proven."""
    name = luck.choice(list(question))
    return {**question, name: flipped_somewhere(luck, question[name])}


def answered(question: tlog.Question) -> None:
    """Raises `Invalid` where Go is to say no."""
    if "Proof" in question:
        shown(question["Proof"], question["Data"])
        return
    old, new = (checkpoint.opened(question[name], ORIGIN, [KEY.verifier]) for name in ("Old", "New"))
    hashes = [decoded(line, "a hash") for line in question["Hashes"].decode("latin-1").split("\n")]
    verify_consistency(old.size, old.root, new.size, new.root, hashes)


# ---------------------------------------------------------------- pure


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_the_package_reaches_nothing_outside(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8"), "transparency", ALLOWED) == []
