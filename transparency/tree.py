"""The Merkle tree of RFC 6962, section 2.1: over entries' hashes, so that few hashes prove that an entry is in it, and that it only grew.

The data of a leaf is an entry's 32-byte hash; the leaf's own hash is SHA-256(0x00 || data), an inner node's SHA-256(0x01 || left || right).
Leaves are counted from 0: the entry at position `p` is leaf `p - 1`, and the tree of `n` entries has size `n`.

**What is stored.** A recorder holds the tree's right edge, a `Frontier` of at most 64 hashes, and needs nothing else to append and to give
the root. For proofs a store keeps the hashes of the complete subtrees of 256, 65,536, 16,777,216 … leaves, which `Frontier.extended` hands out
as they come about (`Kept`): two rows for every 512 entries. They are the *tiles* of C2SP tlog-tiles (https://c2sp.org/tlog-tiles): rows of at most
256 hashes. Everything else is computed from at most 256 neighbours when a proof is made: in a tree of 1,000,000 that reads at most two
tiles of each of three levels. Tiles of level 0 are not kept at all: they are the entries' own hashes, consecutive ones, which the log has. So what is kept is
small (128 kB for 1,000,000 entries), and made anew from the log whenever it is doubted.

**How a proof is made.** `inclusion`, `consistency` and `edge` give a `Plan`, which names the tiles to be read; the store reads them, with or without
waiting, and `Plan.hashes` makes the proof of what was read:

    plan = tree.inclusion(position - 1, size)
    proof = plan.hashes([await read(tile) for tile in plan.tiles])

A plan believes the store. Who wants to know whether what is stored is right verifies the proof against a signed root before it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from transparency.strict import HASH_BYTES, LARGEST, Invalid

HEIGHT: Final = 8
"""Of a tile: how many levels of the tree lie between the hashes of one level of tiles and those of the next."""
WIDTH: Final = 1 << HEIGHT
"""How many hashes a full tile has."""
EMPTY_ROOT: Final = sha256().digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf with this data: for the log, an entry's hash."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node over these two."""
    return sha256(b"\x01" + left + right).digest()


class Node(NamedTuple):
    """A complete subtree: over the 2^`level` leaves from `number` * 2^`level` on. Level 0 is the leaves."""

    level: int
    number: int


class Tile(NamedTuple):
    """At most 256 neighbours of one level, read at once: hashes `begin` to `end` (exclusive) of the nodes of level 8 * `level`.

    Level 0 is read as the *data* of leaves `begin` to `end`: the hashes of the entries at positions `begin + 1` to `end`. Levels from 1 on
    are read from what `Frontier.extended` gave to keep.
    """

    level: int
    number: int
    """Among the tiles of its level, from 0."""
    width: int
    """How many of its hashes there are in a tree of the plan's size: 256, or less at the right edge."""

    @property
    def begin(self) -> int:
        """Its first hash, among those of its level."""
        return self.number * WIDTH

    @property
    def end(self) -> int:
        """The one after its last."""
        return self.begin + self.width


class Kept(NamedTuple):
    """A hash that a store keeps: `number` (from 0) of the tiles' hashes of `level` (from 1), as `Tile.begin` and `Tile.end` count them."""

    level: int
    number: int
    hash: bytes


# ---------------------------------------------------------------- growing


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: what is needed of all leaves so far to add more. (A compact range, in the words of others.)

    It does not change: `extended` gives another, so a batch that is decided again begins where the first try did.
    """

    size: int = 0
    """How many leaves there are."""
    hashes: tuple[bytes, ...] = ()
    """Of the complete subtrees that the leaves make up, from the left, which is from the largest: one for each 1 in the size's binary form."""

    def __post_init__(self) -> None:
        if not 0 <= self.size <= LARGEST or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"{len(self.hashes)} hashes are not the edge of a tree of {self.size} leaves")

    def extended(self, data: Iterable[bytes]) -> Growth:
        """The frontier after these leaves, given as their data, and what a store is to keep. Takes two hashes a leaf on average."""
        size, hashes, kept = self.size, list(self.hashes), []
        for leaf in data:
            level, number, digest = 0, size, sha256(b"\x00" + leaf).digest()
            while number & 1:
                digest = sha256(b"\x01" + hashes.pop() + digest).digest()
                level, number = level + 1, number >> 1
                if not level % HEIGHT:
                    kept.append(Kept(level // HEIGHT, number, digest))
            hashes.append(digest)
            size += 1
        return Growth(Frontier(size, tuple(hashes)), tuple(kept))

    def root(self) -> bytes:
        """The root of the tree of this size."""
        return _joined(self.hashes) if self.hashes else EMPTY_ROOT


class Growth(NamedTuple):
    """What adding leaves comes to."""

    frontier: Frontier
    kept: tuple[Kept, ...]
    """To be stored with the entries, in one transaction. The same leaves always give the same; a level's come in order, without gaps."""


def _joined(hashes: Sequence[bytes]) -> bytes:
    """The hash over neighbouring complete subtrees, each smaller than the one before it."""
    digest = hashes[-1]
    for left in reversed(hashes[:-1]):
        digest = node_hash(left, digest)
    return digest


# ---------------------------------------------------------------- making proofs


class Span(NamedTuple):
    """Leaves `begin` to `end` (exclusive), which are one node of a tree: complete, or at its right edge."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read, and what to make of it. Ask `inclusion`, `consistency` or `edge` for one."""

    tiles: tuple[Tile, ...]
    """To be read; possibly none. From the lowest level, and from the left."""
    spans: tuple[Span, ...]
    """Whose hashes it gives, in this order."""

    def hashes(self, read: Sequence[Sequence[bytes]]) -> tuple[bytes, ...]:
        """The hashes, of the tiles as they were read, in the order of `tiles`. Raises ValueError when a tile is not whole."""
        rows = {(tile.level, tile.number): _whole(tile, row) for tile, row in zip(self.tiles, read, strict=True)}
        return tuple(_joined([_subtree(node, rows[_home(node)]) for node in _subtrees(span)]) for span in self.spans)


def inclusion(index: int, size: int) -> Plan:
    """For the proof that leaf `index` is in the tree of `size` leaves: its audit path, from the leaf's sibling to the root's child (2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    begin, end, spans = 0, size, list[Span]()
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            spans.append(Span(middle, end))
            end = middle
        else:
            spans.append(Span(begin, middle))
            begin = middle
    return _plan(reversed(spans), size)


def consistency(old: int, new: int) -> Plan:
    """For the proof that the tree of `new` leaves begins with the one of `old` (2.1.2). Nothing needs to be proven of size 0, or of the same size."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves does not begin with one of {old}")
    if not old:
        return Plan((), ())
    begin, end, spans = 0, new, list[Span]()
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            spans.append(Span(middle, end))
            end = middle
        else:
            spans.append(Span(begin, middle))
            begin = middle
    if begin:
        spans.append(Span(begin, end))
    return _plan(reversed(spans), new)


def edge(size: int) -> Plan:
    """For `Frontier(size, hashes)`: how a recorder that starts, or who asks for the root of an older size, gets it without reading the log."""
    if size < 0:
        raise ValueError(f"no tree has {size} leaves")
    return _plan((Span(node.number << node.level, (node.number + 1) << node.level) for node in _subtrees(Span(0, size))), size)


def kept_of(tile: Tile, read: Sequence[bytes]) -> Kept:
    """What a store keeps of a full tile, one level higher: so what was kept can be made anew, level by level. Raises ValueError."""
    if tile.width != WIDTH:
        raise ValueError(f"nothing is kept of a tile that is not full: {tile}")
    row = _whole(tile, read)
    return Kept(tile.level + 1, tile.number, _folded(row if tile.level else map(leaf_hash, row)))


@dataclass(frozen=True)
class Recent:
    """Leaves that were just added, and the edge before them: proofs that they are in the tree need nothing else, and no store is read."""

    before: Frontier
    data: Sequence[bytes]
    """Of the leaves after it, up to the size of the tree that is proven."""
    _known: dict[Span, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Of the tree with these leaves."""
        return self.before.size + len(self.data)

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The proof that leaf `index` is in the tree of this size, as the plan of `inclusion` gives it. Raises ValueError for an older leaf."""
        if index < self.before.size:
            raise ValueError(f"leaf {index} is older than what is at hand")
        if not self._known:
            spans = (Span(node.number << node.level, (node.number + 1) << node.level) for node in _subtrees(Span(0, self.before.size)))
            self._known.update(zip(spans, self.before.hashes, strict=True))
            first = self.before.size
            self._known.update((Span(first + at, first + at + 1), leaf_hash(each)) for at, each in enumerate(self.data))
        return tuple(self._hash(span) for span in inclusion(index, self.size).spans)

    def _hash(self, span: Span) -> bytes:
        """Of a span beside a recent leaf. What of it is older consists of the edge's own subtrees: a larger one would hold the leaf."""
        if span not in self._known:
            middle = span.begin + _split(span.end - span.begin)
            self._known[span] = node_hash(self._hash(Span(span.begin, middle)), self._hash(Span(middle, span.end)))
        return self._known[span]


def _split(leaves: int) -> int:
    """How many of so many leaves, at least two, are on the left: the largest power of two that is smaller."""
    return 1 << (leaves - 1).bit_length() - 1


def _subtrees(span: Span) -> Iterator[Node]:
    """The complete subtrees that a span consists of, from the left, which is from the largest."""
    begin, end = span
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield Node(level, begin >> level)
        begin += 1 << level


def _home(node: Node) -> tuple[int, int]:
    """The level and number of the tile from whose hashes a node's is computed."""
    return node.level // HEIGHT, node.number << node.level % HEIGHT >> HEIGHT


def _plan(spans: Iterable[Span], size: int) -> Plan:
    asked = tuple(spans)
    homes = sorted({_home(node) for span in asked for node in _subtrees(span)})
    return Plan(tuple(Tile(level, number, min(WIDTH, (size >> HEIGHT * level) - number * WIDTH)) for level, number in homes), asked)


def _whole(tile: Tile, read: Sequence[bytes]) -> Sequence[bytes]:
    if len(read) != tile.width or any(len(each) != HASH_BYTES for each in read):
        raise ValueError(f"what was read is not {tile.width} hashes of {HASH_BYTES} bytes: {tile}")
    return read


def _subtree(node: Node, row: Sequence[bytes]) -> bytes:
    """The hash of a complete subtree, from its tile."""
    height = node.level % HEIGHT
    begin = (node.number << height) % WIDTH
    hashes = row[begin : begin + (1 << height)]
    return _folded(hashes if node.level >= HEIGHT else map(leaf_hash, hashes))


def _folded(hashes: Iterable[bytes]) -> bytes:
    """The hash over as many neighbours as a power of two."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


# ---------------------------------------------------------------- checking proofs


def verify_inclusion(data: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `Invalid` unless the proof shows that the tree of this size and root has a leaf with this data at this index (RFC 9162, 2.1.3.2).

    A proof alone does not say of which size the tree is: believe size and root only where they are signed together.
    """
    if not 0 <= index < size:
        raise Invalid("the entry lies beyond the end of the tree")
    _require_hashes(proof)
    place, last, digest = index, size - 1, leaf_hash(data)
    for other in proof:
        if not last:
            raise Invalid("the proof of inclusion is longer than its tree is high")
        if place & 1 or place == last:
            digest = node_hash(other, digest)
            # A node without a right neighbour is its own parent, until it is somebody's right child.
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            digest = node_hash(digest, other)
        place, last = place >> 1, last >> 1
    if last:
        raise Invalid("the proof of inclusion is shorter than its tree is high")
    if digest != root:
        raise Invalid("the entry is not in the tree at this place")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `Invalid` unless the proof shows that the tree of size `new` begins with the one of size `old` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise Invalid("the later tree is smaller than the earlier one")
    if not old and old_root != EMPTY_ROOT:
        raise Invalid("the tree without entries has another root")
    if old in (0, new):
        if proof:
            raise Invalid("there is nothing to prove")
        if old == new and old_root != new_root:
            raise Invalid("two trees of one size differ")
        return
    _require_hashes(proof)
    # Where the old tree is one complete subtree its root is where the path begins, and is left out.
    path = (old_root, *proof) if not old & (old - 1) else tuple(proof)
    if not path:
        raise Invalid("the proof of consistency is missing")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for other in path[1:]:
        if not last:
            raise Invalid("the proof of consistency is longer than its tree is high")
        if place & 1 or place == last:
            before, after = node_hash(other, before), node_hash(other, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, other)
        place, last = place >> 1, last >> 1
    if last:
        raise Invalid("the proof of consistency is shorter than its tree is high")
    if before != old_root or after != new_root:
        raise Invalid("the later tree does not begin with the earlier one")


def _require_hashes(proof: Sequence[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in proof):
        raise Invalid(f"a hash of the proof has not {HASH_BYTES} bytes")
