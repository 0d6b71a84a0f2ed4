"""`make images`, as far as nothing is built: what it lends to a build, and what it says when it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.images import pip_settings
from tests.support.stores import ROOT

LISTED = """\
global.cert='/etc/ca.pem'
global.index-url='https://user:secret@packages.example.com/simple/'
global.no-color='true'
install.trusted-host='packages.example.com'
"""


@pytest.mark.parametrize(
    ("listed", "environ", "settings"),
    [
        ("", {}, {}),
        (
            LISTED,
            {},
            {
                "cert": "/etc/ca.pem",
                "index-url": "https://user:secret@packages.example.com/simple/",
                "trusted-host": "packages.example.com",
            },
        ),
        (
            "",
            {"PIP_INDEX_URL": "http://x/", "PIP_DEFAULT_TIMEOUT": "90"},
            {"index-url": "http://x/", "timeout": "90"},
        ),
        (LISTED, {"PIP_INDEX_URL": "http://x/"}, {"index-url": "http://x/"}),
    ],
)
def test_pip_settings__where_this_machine_looks__variables_count_for_more(
    listed: str, environ: dict[str, str], settings: dict[str, str]
) -> None:
    found = pip_settings(listed, environ)
    assert found | settings == found
    assert set(found) <= {"index-url", "extra-index-url", "trusted-host", "timeout", "cert"}
    assert bool(found) == bool(listed or environ)


def test_main__no_engine_here__says_which_would_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.images"], cwd=ROOT, env={"PATH": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "buildah" in done.stderr
    assert "Traceback" not in done.stderr
