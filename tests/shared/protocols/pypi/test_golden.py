"""Golden pages: what goes in from an upstream and what comes out, to be read side by side.

`python -m tests.shared.protocols.pypi.test_golden` writes the outcomes anew; read the difference.
"""

from __future__ import annotations

import json

import pytest

from shared.models import SealedFile
from tests.shared.protocols.pypi.support import GOLDEN, JSON, read_with_drops, render

SEALED = (
    SealedFile("Demo.Pkg-0.9.tar.gz", "id-03c66c584d191b359e664d2cd15b334535496124", "5" * 64, 1000),
    SealedFile("demo_pkg-1.0-py3-none-any.whl", "1" * 64, "1" * 64, 2048),
    SealedFile("demo_pkg-1.1-cp311-cp311-linux_x86_64.whl", "4" * 64, "4" * 64, 4096, "6" * 64),
)
CASES = [("json", JSON, 1), ("html", "text/html", 1)]


def outcomes(suffix: str, content_type: str) -> tuple[dict[str, str], int]:
    """The outcome files of one upstream page by name, and how many entries were dropped."""
    body = (GOLDEN / f"project.upstream.{suffix}").read_bytes()
    document, dropped = read_with_drops(body, project="demo-pkg", content_type=content_type)
    found = {}
    for state, sealed in (("cold", ()), ("sealed", SEALED)):
        rendered = render(document, sealed=sealed)
        page = json.loads(rendered["json"].body)
        found[f"from_{suffix}.{state}.json"] = json.dumps(page, indent=1, ensure_ascii=False) + "\n"
        found[f"from_{suffix}.{state}.html"] = rendered["html"].body.decode()
    return found, len(dropped)


@pytest.mark.parametrize(("suffix", "content_type", "drops"), CASES)
def test_golden__upstream_page__comes_out_as_recorded(suffix: str, content_type: str, drops: int) -> None:
    found, dropped = outcomes(suffix, content_type)
    assert dropped == drops
    assert found == {name: (GOLDEN / name).read_text() for name in found}


if __name__ == "__main__":
    for suffix, content_type, _ in CASES:
        for name, text in outcomes(suffix, content_type)[0].items():
            (GOLDEN / name).write_text(text)
