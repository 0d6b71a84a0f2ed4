"""Golden documents: what goes in from an upstream and what comes out, to be read side by side.

`python -m tests.shared.protocols.npm.test_golden` writes the outcomes anew; read the difference.
"""

from __future__ import annotations

import json

from tests.shared.protocols.npm.support import BASE, GOLDEN, NOW, NPM, SOURCE

IDENTITY = "packument/@demo/pkg"


def outcomes() -> tuple[dict[str, str], int]:
    """The outcome files by name, and how many versions were dropped."""
    body = (GOLDEN / "project.upstream.json").read_bytes()
    url = NPM.upstream.upstream_request(IDENTITY, SOURCE).url
    index = NPM.documents.read_index(IDENTITY, SOURCE, url=url, content_type="application/json", body=body)
    document = NPM.documents.decode_document(index.body)
    document = NPM.documents.decode_document(NPM.pages.carry_over(document, None, {}, NOW))
    pages = NPM.pages.rewrite_index(IDENTITY, document, sealed={}, base_url=BASE)
    found = {
        f"{name}.json": json.dumps(json.loads(page.body), indent=1, ensure_ascii=False) + "\n"
        for name, page in pages.items()
    }
    return found, len(index.dropped)


def test_golden__upstream_packument__comes_out_as_recorded() -> None:
    found, dropped = outcomes()
    assert dropped == 1
    assert set(found) == {"full.json", "abbreviated.json", "dist-tags.json"}
    assert found == {name: (GOLDEN / name).read_text() for name in found}


if __name__ == "__main__":
    for name, text in outcomes()[0].items():
        (GOLDEN / name).write_text(text)
