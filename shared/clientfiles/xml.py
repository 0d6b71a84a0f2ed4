"""XML files of settings: elements with an id, put in place without touching anything else in the file."""

from __future__ import annotations

from xml.parsers.expat import ExpatError, ParserCreate

from shared.clientfiles.setup import CannotEdit


class _Element:
    def __init__(self, name: str, start: int) -> None:
        self.name = name
        self.start = start  # of "<"
        self.end = 0  # behind its end tag
        self.text = ""
        self.children: list[_Element] = []


def put_element(text: str, root: str, parent: str, name: str, identity: str, body: str) -> str:
    """Have `<parent><name>body</name></parent>` in `<root>`; `body` holds `<id>identity</id>`.

    An element of that id is replaced, a new one comes first, where it counts before the others.
    Raises `CannotEdit` for a file of another root.
    """
    data = (text if text.strip() else f"<{root}>\n</{root}>\n").encode()
    top = _parse(data, root)
    inner = f"<{name}>\n      {body}\n    </{name}>"
    holder = next((each for each in top.children if each.name == parent), None)
    if holder is None:
        at = data.rindex(b"</", top.start, top.end) if data[top.end - 2 : top.end] != b"/>" else -1
        if at < 0:
            raise CannotEdit(f"<{root}/> is empty")
        block = f"  <{parent}>\n    {inner}\n  </{parent}>\n"
        at = _line_start(data, at)
        return _checked(root, data[:at], block, data[at:])
    found = next((each for each in holder.children if _id_of(each) == identity), None)
    if found is not None:
        return _checked(root, data[: found.start], inner, data[found.end :])
    if data[holder.end - 2 : holder.end] == b"/>":
        block = f"<{parent}>\n    {inner}\n  </{parent}>"
        return _checked(root, data[: holder.start], block, data[holder.end :])
    at = _tag_end(data, holder.start)
    return _checked(root, data[:at], f"\n    {inner}", data[at:])


def identities(text: str, root: str, parent: str) -> list[str]:
    """The ids of a parent's elements, in order. Raises `CannotEdit`."""
    if not text.strip():
        return []
    holder = next((each for each in _parse(text.encode(), root).children if each.name == parent), None)
    return [_id_of(each) for each in holder.children] if holder else []


def _checked(root: str, before: bytes, new: str, after: bytes) -> str:
    data = before + new.encode() + after
    _parse(data, root)
    return data.decode()


def _parse(data: bytes, root: str) -> _Element:
    parser = ParserCreate("utf-8", namespace_separator=" ")
    stack: list[_Element] = []
    roots: list[_Element] = []

    def start(name: str, _: object) -> None:
        element = _Element(name.rpartition(" ")[2], parser.CurrentByteIndex)
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)

    def end(_: str) -> None:
        element = stack.pop()
        opened = _tag_end(data, element.start)
        is_empty = data[opened - 2 : opened] == b"/>"
        element.end = opened if is_empty else _tag_end(data, parser.CurrentByteIndex)

    def characters(found: str) -> None:
        if stack:
            stack[-1].text += found

    def refuse(*_: object) -> None:
        raise CannotEdit("it has a document type, which no settings need")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse  # with it, entities: nothing here may expand them
    try:
        parser.Parse(data, True)
    except ExpatError as error:
        raise CannotEdit(f"it is not well-formed XML: {error}") from None
    if roots[0].name != root:
        raise CannotEdit(f"its root is not <{root}>")
    return roots[0]


def _tag_end(data: bytes, start: int) -> int:
    """Behind the ">" of the tag at `start`; one inside quotes does not count."""
    quote = 0
    for at in range(start, len(data)):
        byte = data[at]
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"\"'":
            quote = byte
        elif byte == ord(">"):
            return at + 1
    raise CannotEdit("it is not well-formed XML")


def _line_start(data: bytes, at: int) -> int:
    """The start of a line if only spaces stand before `at`, else `at`."""
    start = data.rfind(b"\n", 0, at) + 1
    return start if not data[start:at].strip() else at


def _id_of(element: _Element) -> str:
    return next((each.text.strip() for each in element.children if each.name == "id"), "")
