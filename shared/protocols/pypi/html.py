"""Reading an upstream's HTML index (PEP 503 and what later PEPs added) into PEP 691's shape."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from shared.errors import UpstreamInvalid
from shared.protocols.pypi import names
from shared.protocols.pypi.entries import VERSION_CONTROL, fragment_hashes
from shared.protocols.pypi.meta import api_version
from shared.protocols.pypi.projects import Named
from shared.protocols.reading.links import Dropped, Links, without_blanks

MAX_ANCHORS = 1_000_000

MAX_DEPTH = 1000
PIECE_BYTES = 1 << 20  # of a list of all projects, parsed at a time

# Elements that open a level: not those that end by themselves or with the next of their kind.
_NESTING = re.compile(
    rb"<(/?)(?!(?:a|br|hr|p|li|tr|td|th|dt|dd|img|meta|link|base|html|head|body)[\s/>])([A-Za-z][A-Za-z0-9]{0,20})",
    re.IGNORECASE,
)
_ENDLESS_TAG = re.compile(rb"<[^>]{65536}")
# Of Python's codecs those of texts: others ("punycode", "unicode_escape") decode to anything, or not at all.
_CHARSETS = re.compile(
    r"utf-?8|utf-16(?:le|be)?|(?:us-)?ascii|iso-8859-(?:[1-9]|1[013-6])|latin-?1|(?:windows-|cp)125[0-8]"
    r"|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-(?:jp|kr)|shift_jis|iso-2022-jp",
    re.IGNORECASE,
)
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9._-]{1,40})", re.ASCII)
_TITLE = re.compile(r"\b(links for|simple index|index of)\b", re.IGNORECASE)


def read_project(
    body: bytes, content_type: str, project: str, url: str, dropped: Dropped
) -> tuple[dict[str, Any], str]:
    """A project's page in PEP 691's shape, and the repository version that it claims ("" if none).

    The shape is API version 1.0's whatever the page claims: HTML has neither the sizes nor the
    version list that 1.1 demands of JSON. Raises `UpstreamInvalid` for what is no index.
    """
    tree = _parse(body, content_type)
    page, version, is_index = _head(tree)
    links = Links(_base(tree, url))
    files = []
    for anchor in tree.css("a"):
        attributes = anchor.attributes
        href = attributes.get("href")
        if href is None:
            continue
        file = _file(anchor, attributes, href, links, dropped)
        if file is not None:
            files.append(file)
    if not files and not is_index:
        raise UpstreamInvalid("the upstream's page is HTML but no package index")
    _check_form(tree, is_index, any(_is_of(file["filename"], project) for file in files))
    page["name"] = project
    page["files"] = files
    return page, version


def read_root(body: bytes, content_type: str, dropped: Dropped) -> tuple[dict[str, Any], str]:
    """The list of projects in PEP 691's shape, and the repository version that it claims."""
    _check_cost(body)
    charset = _charset(body, content_type)
    page: dict[str, Any] = {}
    version, is_index = "", False
    projects: dict[str, None] = {}
    for piece in _pieces(body):
        tree = _tree(piece, charset)
        if not page:
            page, version, is_index = _head(tree)
        for anchor in tree.css("a"):
            href = anchor.attributes.get("href")
            if href is None:
                continue
            name = anchor.text(deep=True).strip().rstrip("/")
            target = _last_segment(href.rstrip("/"))
            if names.is_project(name) and names.normalise(name) == names.normalise(target):
                projects[name] = None
            else:
                dropped.add("not a link to a project", href)
        _check_form(tree, is_index, listed=is_index)
    if not projects and not is_index:
        raise UpstreamInvalid("the upstream's page is HTML but no list of projects")
    page["projects"] = [Named(name) for name in projects]
    return page, version


def _parse(body: bytes, content_type: str) -> LexborHTMLParser:
    _check_cost(body)
    return _tree(body, _charset(body, content_type))


def _tree(body: bytes, charset: str) -> LexborHTMLParser:
    text = body.decode(charset, "replace")
    return LexborHTMLParser(text.removeprefix("\ufeff").replace("\0", "\ufffd"))


def _pieces(body: bytes) -> Iterator[bytes]:
    """A long list of links, cut behind links: the tree of it takes fifteen times its bytes."""
    start = 0
    while start < len(body):
        end = body.find(b"</a>", start + PIECE_BYTES) + 4
        end = end if end >= 4 else len(body)
        yield body[start:end]
        start = end


def _charset(body: bytes, content_type: str) -> str:
    """A BOM counts first, then the header, as in browsers; UTF-8 for a charset that is none."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    found = _CHARSET.search(content_type)
    return found[1].lower() if found and _CHARSETS.fullmatch(found[1]) else "utf-8"


def _check_form(tree: LexborHTMLParser, is_index: bool, listed: bool) -> None:
    """Raises `UpstreamInvalid` for a sign-in page that came with status 200. It may well have links to
    files, but hardly to this project's (`listed`), and no index without a file asks for a password. A
    search or log-in box above an index is no harm: no client looks at it."""
    if listed or tree.css_first("form, input") is None:
        return
    if not is_index or tree.css_first('input[type="password" i]') is not None:
        raise UpstreamInvalid("the upstream sent a page with a form (a login page?), not an index")


def _is_of(filename: str, project: str) -> bool:
    return names.normalise(filename).startswith(f"{project}-")


def _check_cost(body: bytes) -> None:
    """Refuse what the parser would take quadratic time for: deep nesting, endless tags."""
    if body.count(b"<a") + body.count(b"<A") > MAX_ANCHORS:
        raise UpstreamInvalid(f"the upstream's index has more than {MAX_ANCHORS} links")
    if _ENDLESS_TAG.search(body):
        raise UpstreamInvalid("the upstream's index has a tag of more than 64 kB")
    depth = 0
    for closing, tag in _NESTING.findall(body):
        if not closing:
            depth += 1
            if depth > MAX_DEPTH:
                raise UpstreamInvalid(f"the upstream's index is nested more than {MAX_DEPTH} deep at {tag!r}")
        elif depth:
            depth -= 1


def _head(tree: LexborHTMLParser) -> tuple[dict[str, Any], str, bool]:
    """The page's meta data in PEP 691's shape, its repository version, whether it looks an index."""
    meta: dict[str, Any] = {"api-version": "1.0"}
    page: dict[str, Any] = {"meta": meta}
    version = ""
    status: dict[str, str] = {}
    for node in tree.css("meta"):
        name, content = node.attributes.get("name"), node.attributes.get("content")
        if not name or content is None:
            continue
        match name:
            case "pypi:repository-version":
                version = api_version(content)
            case "pypi:project-status":
                status["status"] = content
            case "pypi:project-status-reason":
                status["reason"] = content
            case "pypi:tracks":
                meta.setdefault("tracks", []).append(content)
            case "pypi:alternate-locations":
                page.setdefault("alternate-locations", []).append(content)
    if "status" in status:
        page["project-status"] = status
    titles = " ".join(node.text(deep=True) for node in tree.css("title, h1")[:4])
    return page, version, bool(version) or _TITLE.search(titles) is not None


def _base(tree: LexborHTMLParser, url: str) -> str:
    node = tree.css_first("base[href]")
    href = node.attributes.get("href") if node is not None else None
    if not href:
        return url
    try:
        base = urljoin(url, href.strip())
        parts = urlsplit(base)
    except ValueError:
        return url
    return base if parts.scheme in ("http", "https") and parts.hostname else url


def _file(
    anchor: LexborNode, attributes: dict[str, str | None], href: str, links: Links, dropped: Dropped
) -> dict[str, Any] | None:
    target, _, fragment = without_blanks(href).partition("#")
    if VERSION_CONTROL.match(href):
        dropped.add("a link into version control, which only clients can follow", href)
        return None
    filename = _last_segment(target)
    if not names.is_distribution_file(filename):
        filename = anchor.text(deep=True).strip()  # PEP 503: "the text ... MUST match" the filename
    if not names.is_distribution_file(filename):
        dropped.add("not a package file's name", href)
        return None
    url = links.absolute(target)
    if url is None:
        dropped.add("not an http(s) link", href)
        return None
    file: dict[str, Any] = {"filename": filename, "url": url, "hashes": fragment_hashes(fragment)}
    if len(attributes) > 1:
        _add_attributes(file, attributes)
    return file


def _add_attributes(file: dict[str, Any], attributes: dict[str, str | None]) -> None:
    """The data attributes as PEP 691's keys; the parser has unescaped their values."""
    requires_python = attributes.get("data-requires-python")
    if requires_python:
        file["requires-python"] = requires_python
    if "data-yanked" in attributes:
        file["yanked"] = attributes["data-yanked"] or True  # PEP 592: the value is the reason
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    if metadata:
        file["core-metadata"] = metadata
    signature = attributes.get("data-gpg-sig")
    if signature in ("true", "false"):
        file["gpg-sig"] = signature == "true"
    provenance = attributes.get("data-provenance")
    if provenance:
        file["provenance"] = provenance


def _last_segment(href: str) -> str:
    """The decoded last segment of a link's path: what installers take for the file's name."""
    return unquote(href.partition("?")[0].rpartition("/")[2])
