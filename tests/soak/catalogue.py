"""What the campaign asks for: packages of every protocol on a scripted upstream, with their right bytes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.builders import page_json, wheel_file
from tests.support.cargo_builders import Registry, index_path
from tests.support.maven_builders import Repository
from tests.support.npm_builders import publish
from tests.support.upstream import Reply, Upstream

SIZES = (2_000, 20_000, 120_000, 700_000, 3_000_000)
GROUP = "org.example"


@dataclass(frozen=True)
class Item:
    """One address at Orchard and what it must answer."""

    protocol: str
    kind: str  # "page", "file" or "absent"
    path: str
    upstream_path: str = ""  # where it lies on the scripted upstream
    content: bytes = b""  # of a file
    lists: tuple[str, ...] = ()  # what a page must name
    headers: dict[str, str] = field(default_factory=dict)

    def is_right(self, status: int, body: bytes, start: int = 0) -> bool:
        """Whether a complete body is one that may be sent."""
        if self.kind == "file":
            return body == (self.content if status == 200 else self.content[start : start + len(body)])
        return all(each.encode() in body for each in self.lists)


class Catalogue:
    """All items. `grow()` makes new packages, which nobody has asked for yet."""

    def __init__(self, upstream: Upstream, seed: int) -> None:
        self._upstream = upstream
        self._repository = Repository(upstream)
        self._registry = Registry(upstream)
        self._random = random.Random(seed)
        self._number = 0
        self.items: list[Item] = []

    def grow(self, packages: int) -> None:
        """So many more packages of each protocol."""
        makers: tuple[Callable[[int, int], list[Item]], ...] = (
            self._pypi, self._npm, self._maven, self._cargo
        )  # fmt: skip
        for _ in range(packages):
            self._number += 1
            for make in makers:
                self.items += make(self._number, self._random.choice(SIZES))

    def some(self, chance: random.Random) -> Item:
        """One item: mostly well-known ones, now and then the newest."""
        if chance.random() < 0.3:
            return self.items[-1 - chance.randrange(min(30, len(self.items)))]
        return self.items[int(len(self.items) * chance.random() ** 2)]

    def _pypi(self, number: int, size: int) -> list[Item]:
        name = f"soak-{number}"
        files = [wheel_file(name, f"{n}.0", size_bytes=size, offer_metadata=number % 2 == 0) for n in (1, 2)]
        folder = f"/files/{name}/"
        for each in files:
            self._upstream.put(folder + each.filename, each.content)
            if each.metadata is not None:
                self._upstream.put(f"{folder}{each.filename}.metadata", each.metadata)
        page = page_json(name, files, base=f"../..{folder}")
        kind = "application/vnd.pypi.simple.v1+json"
        self._upstream.put(f"/simple/{name}/", Reply(page, kind))
        listed = tuple(each.filename for each in files)
        path, nothing = f"/pypi/simple/{name}/", hashlib.sha256(name.encode()).hexdigest()
        return [
            Item("pypi", "page", path, path[5:], lists=listed, headers={"accept": kind}),
            Item("pypi", "page", path, path[5:], lists=listed),
            *(
                Item("pypi", "file", f"/pypi/files/{name}/{each.sha256}/{each.filename}",
                     folder + each.filename, each.content)
                for each in files
            ),
            Item("pypi", "absent", f"/pypi/simple/soak-nothing-{number}/"),
            Item("pypi", "absent", f"/pypi/files/{name}/{nothing}/no-1.0.whl"),
        ]  # fmt: skip

    def _npm(self, number: int, size: int) -> list[Item]:
        name = f"@soak/p{number}" if number % 3 == 0 else f"soak-p{number}"
        tarballs = publish(self._upstream, name, {"1.0.0": {}, "2.0.0": {}}, size_bytes=size)
        short = name.rpartition("/")[2]
        page = f"/npm/{name.replace('/', '%2f')}"
        abbreviated = {"accept": "application/vnd.npm.install-v1+json"}
        return [
            Item("npm", "page", page, page, lists=tuple(tarballs)),
            Item("npm", "page", page, page, lists=tuple(tarballs), headers=abbreviated),
            *(
                Item("npm", "file", f"/npm/{name}/-/{short}-{version}.tgz",
                     f"/npm/{name}/-/{short}-{version}.tgz", content)
                for version, content in tarballs.items()
            ),
            Item("npm", "absent", f"/npm/soak-nothing-{number}"),
        ]  # fmt: skip

    def _maven(self, number: int, size: int) -> list[Item]:
        artifact = f"soak{number}"
        found = []
        for version in ("1.0", "2.0"):
            jar = self._repository.add(GROUP, artifact, version, size_bytes=size)
            for path in (jar, jar.removesuffix("jar") + "pom"):
                content = self._upstream._replies[f"/maven/{path}"].body
                found.append(Item("maven", "file", f"/maven/{path}", f"/maven/{path}", content))
                digest = hashlib.sha1(content).hexdigest().encode()
                found.append(Item("maven", "page", f"/maven/{path}.sha1", f"/maven/{path}.sha1",
                                  lists=(digest.decode(),)))  # fmt: skip
        listing = self._repository.add_metadata(GROUP, artifact, ["1.0", "2.0"])
        found.append(Item("maven", "page", f"/maven/{listing}", f"/maven/{listing}", lists=("1.0", "2.0")))
        found.append(Item("maven", "absent", f"/maven/org/example/{artifact}/3.0/{artifact}-3.0.jar"))
        return found

    def _cargo(self, number: int, size: int) -> list[Item]:
        name = f"soak-{number}"
        crates = {v: self._registry.add(name, v, size_bytes=size) for v in ("1.0.0", "2.0.0")}
        page, files = f"/cargo/{index_path(name)}", f"/cargo/dl/{name}"
        return [
            Item("cargo", "page", page, page, lists=tuple(crates)),
            *(
                Item("cargo", "file", f"{files}/{v}/download", self._registry.file(name, v), content)
                for v, content in crates.items()
            ),
            Item("cargo", "absent", f"/cargo/so/ak/soak-nothing-{number}"),
            Item("cargo", "absent", f"{files}/3.0.0/download"),
        ]


def problem_code(body: bytes) -> str:
    """The code of a problem document; "" for what is none."""
    try:
        return str(json.loads(body).get("code", ""))
    except (ValueError, AttributeError):
        return ""
