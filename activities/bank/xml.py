"""Banks' XML, read as a stream: only small pieces are ever in memory, and whatever XML can do to a reader is refused.

There is no DOCTYPE and so no entity, elements lie at most 64 deep in each other, one tag and one piece have bounds, and what is
not well-formed is refused with the line. Namespaces tell the message and its version; below that only local names count, so
every prefix and every version is read the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol
from xml.parsers import expat

DEPTH: Final = 64
"""How deep elements may lie in each other; the deepest that banks write is about 20."""
TAG: Final = 1024 * 1024
"""The longest tag, comment or other mark-up, in bytes."""
NODES: Final = 20_000
TEXT: Final = 1024 * 1024
"""The most elements and characters of one piece: a header, a transaction."""

_NAMESPACE: Final = re.compile(
    r"(?:urn:iso:std:iso:20022:tech:xsd:|urn:swift:xsd:|ISO:)?(?P<name>[a-z]{4}\.[0-9]{3})\.[0-9]{3}\.(?P<version>[0-9]{2})"
    r"(?::APC:STUZZA:[a-z]+:[0-9]{3})?"
)
"""The last line is the Austrian banks' own edition (STUZZA), which has the names and the order of ISO's."""

MESSAGES: Final = {
    "camt.052": "a report of the running day (camt.052)",
    "camt.053": "a statement (camt.053)",
    "camt.054": "a notification of single movements (camt.054)",
    "pain.001": "a payment order (pain.001)",
    "pain.002": "a report on payment orders (pain.002)",
    "pain.008": "a direct debit order (pain.008)",
    "pacs.004": "a payment return between banks (pacs.004)",
}
"""Messages of ISO 20022 that are taken for one another, in words."""


_LAST: Final = True
"""For the parser: nothing follows."""


class Unreadable(Exception):
    """The file cannot be taken; the text says where it fails and what to change."""


class Node:
    """An element without its namespace: its text, its currency attribute, and the elements in it, in order."""

    __slots__ = ("children", "currency", "name", "text")

    def __init__(self, name: str, currency: str) -> None:
        self.name = name
        self.currency = currency
        self.text = ""
        self.children: list[Node] = []

    def keep_first(self, child: Node) -> None:
        """Takes an element in, unless one of its name is there."""
        if all(each.name != child.name for each in self.children):
            self.children.append(child)

    def first(self, path: str) -> Node | None:
        """The first element at a path of names, `Tp/CdOrPrtry/Cd`."""
        node: Node | None = self
        for name in path.split("/"):
            assert node is not None
            node = next((child for child in node.children if child.name == name), None)
            if node is None:
                return None
        return node

    def all(self, path: str) -> Iterator[Node]:
        """Every element at a path, in order."""
        name, _, rest = path.partition("/")
        for child in self.children:
            if child.name == name:
                if rest:
                    yield from child.all(rest)
                else:
                    yield child

    def of(self, *paths: str) -> str:
        """The text of the first of these paths that has one, with its spaces made single; empty when none has."""
        for path in paths:
            node = self.first(path)
            if node is not None:
                text = " ".join(node.text.split())
                if text:
                    return text
        return ""


class Receiver(Protocol):
    """Hears what a file holds, in its order. `line` is where it begins."""

    def opened(self, name: str, line: int) -> None:
        """A container begins."""

    def piece(self, container: str, node: Node, line: int) -> None:
        """A container's element that is no container itself, whole."""

    def closed(self, name: str, line: int) -> None:
        """A container ends."""


class Message:
    """Which message a file is."""

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version


def message_of(namespace: str) -> Message | None:
    """The message and version that a namespace names."""
    found = _NAMESPACE.fullmatch(namespace)
    return Message(found["name"], found["version"]) if found else None


def read(chunks: Iterable[bytes], containers: frozenset[str], receiver: Receiver, wanted: Callable[[Message], None]) -> None:
    """Tells the receiver what the one `Document` of a file holds.

    `wanted` hears which message it is, and raises `Unreadable` when it is another than was looked for. So does everything else
    that makes the file unfit.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.buffer_size = 65_536
    _Handlers(parser, containers, receiver, wanted)
    fed, head = 0, b""
    try:
        for chunk in chunks:
            if len(head) < 64:
                head = (head + chunk)[:64]
                _require_xml(head)
            parser.Parse(chunk)
            fed += len(chunk)
            if fed - parser.CurrentByteIndex > TAG:
                raise Unreadable(f"{_place(parser)}: a tag is longer than {TAG} bytes")
    except expat.ExpatError as error:
        raise Unreadable(f"line {error.lineno}: not well-formed XML ({expat.ErrorString(error.code)}); fetch the file again") from error
    try:
        parser.Parse(b"", _LAST)
    except expat.ExpatError as error:
        raise Unreadable(f"the file is cut off at line {error.lineno}; fetch it again from the bank") from error


def _place(parser: expat.XMLParserType) -> str:
    return f"line {parser.CurrentLineNumber}"


class _Handlers:
    """The state of one reading."""

    def __init__(
        self, parser: expat.XMLParserType, containers: frozenset[str], receiver: Receiver, wanted: Callable[[Message], None]
    ) -> None:
        self._parser = parser
        self._containers = containers
        self._receiver = receiver
        self._wanted = wanted
        self._names: dict[str, str] = {}
        self._depth = 0
        self._open: list[str] = []
        """The containers that are open, from `Document` on."""
        self._found = False
        self._stack: list[Node] = []
        """The elements of the piece at hand that are open."""
        self._began = 0
        self._nodes = 0
        self._characters = 0
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise Unreadable(f"{_place(self._parser)}: elements lie deeper than {DEPTH} in each other; no bank writes that")
        name = self._names.get(qualified) or self._local(qualified)
        if self._stack:
            self._nodes += 1
            if self._nodes > NODES:
                raise Unreadable(f"{_place(self._parser)}: one piece has more than {NODES} elements")
            node = Node(name, attributes.get("Ccy", "") if attributes else "")
            self._stack[-1].children.append(node)
            self._stack.append(node)
        elif self._open:
            if name in self._containers:
                self._open.append(name)
                self._receiver.opened(name, self._parser.CurrentLineNumber)
            else:
                self._stack.append(Node(name, attributes.get("Ccy", "")))
                self._began, self._nodes, self._characters = self._parser.CurrentLineNumber, 1, 0
        elif name == "Document" and self._found:
            raise Unreadable(f"{_place(self._parser)}: a second message begins here: put each message into a file of its own")
        elif name == "Document":
            self._document(qualified)
        elif self._depth == 1 and name.lower() == "html":
            raise Unreadable("a web page, not a statement: the bank's site answered with a page; log in and fetch the file again")

    def _document(self, qualified: str) -> None:
        message = message_of(qualified.rpartition("}")[0])
        if message is None:
            raise Unreadable(f"{_place(self._parser)}: the Document has no namespace of ISO 20022, so nobody can tell which message it is")
        self._found = True
        self._wanted(message)
        self._open.append("Document")

    def _end(self, _qualified: str) -> None:
        self._depth -= 1
        if self._stack:
            node = self._stack.pop()
            if not self._stack:
                self._receiver.piece(self._open[-1], node, self._began)
        elif self._open:
            name = self._open.pop()
            if self._open:
                self._receiver.closed(name, self._parser.CurrentLineNumber)
        if self._depth == 0 and not self._found:
            raise Unreadable("no message of ISO 20022 is in the file: there is no `Document` element")

    def _text(self, data: str) -> None:
        if self._stack:
            self._characters += len(data)
            if self._characters > TEXT:
                raise Unreadable(f"{_place(self._parser)}: one piece has more than {TEXT} characters")
            self._stack[-1].text += data

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and not _can_be_read(encoding):
            raise Unreadable(f"the file is written in {encoding[:40]!r}, which is not read here: ask the bank for UTF-8")

    def _doctype(self, *_ignored: object) -> None:
        raise Unreadable(f"{_place(self._parser)}: the file declares a DOCTYPE, through which XML can do harm; banks write none")

    def _local(self, qualified: str) -> str:
        if len(self._names) > 10_000:
            raise Unreadable(f"{_place(self._parser)}: more than 10000 different names of elements")
        return self._names.setdefault(qualified, qualified.rpartition("}")[2])


def _can_be_read(encoding: str) -> bool:
    """Whether the parser knows an encoding: Unicode's own, and those of one byte for each character."""
    if encoding.upper() in {"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE"}:
        return True
    try:
        return len(bytes(range(256)).decode(encoding, "replace")) == 256
    except (LookupError, ValueError):
        return False


def _require_xml(head: bytes) -> None:
    """Says what a file is that is no XML at all. Raises `Unreadable`."""
    begin = head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")
    for marks, why in _OTHERS:
        if begin.startswith(marks):
            raise Unreadable(why)
    if begin and not begin.startswith(b"<"):
        raise Unreadable("not an XML file: ask the bank for statements as camt.053")


_OTHERS: Final = (
    ((b":20:", b"{1:", b"0000 01"), "an MT940 statement: ask the bank for statements as camt.053"),
    ((b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf"), "a compressed file: unpack it, and put its files there one by one"),
    ((b"%PDF",), "a PDF for people: ask the bank for statements as camt.053"),
    ((b"01,",), "a BAI2 statement: ask the bank for statements as camt.053"),
    ((b"-----BEGIN", b"0\x82", b"0\x80"), "an encrypted or signed file: decrypt it first"),
)  # fmt: skip


class _Sniffed(Exception):
    """The message is known; no need to read on."""


class _Deaf:
    """A receiver that needs nothing."""

    def opened(self, name: str, line: int) -> None:
        """Nothing."""

    def piece(self, container: str, node: Node, line: int) -> None:
        """Nothing."""

    def closed(self, name: str, line: int) -> None:
        """Nothing."""


def sniffed(chunks: Iterable[bytes]) -> Message | None:
    """Which message of ISO 20022 the file is, by its first lines; none when it is no such message, or broken before it says so."""
    seen: list[Message] = []

    def known(message: Message) -> None:
        seen.append(message)
        raise _Sniffed

    try:
        read(chunks, frozenset({"Document"}), _Deaf(), known)
    except _Sniffed:
        return seen[0]
    except Unreadable:
        return None
    return None
