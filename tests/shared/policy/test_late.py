"""What is loaded for a rule costs other requests nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.stores import ROOT

SHOWN = """
import gc
from shared.policy import conditions, licences
if {settled}:
    gc.freeze()
before = gc.get_freeze_count()
{ask}
print(gc.get_freeze_count() - before)
"""
ASKS = {
    "a condition": "conditions.holds('size_bytes > 1', conditions.FACTS)",
    "a licence": "licences.name_of('MIT')",
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("settled", [True, False])
def test_library__is_left_out_of_collections_where_services_are(ask: str, settled: bool) -> None:
    code = SHOWN.format(settled=settled, ask=ask)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (int(done.stdout) > 1000) is settled
