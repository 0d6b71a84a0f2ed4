"""The table of deliberate breaks fits the code: else a rule would be thought to be tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.mutants import table
from scripts.mutants.table import Mutant, Stale, mutants
from scripts.mutants.trial import broken, run
from scripts.mutants.workplace import Workplace


def test_table__every_break_stands_once_in_the_code_and_names_tests() -> None:
    assert mutants()


def test_table__row_that_no_longer_fits__is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = 'rule="x"\nfile="shared/version.py"\nwas="no such text"\nbecomes="y"\ntests=["tests/conftest.py"]\n'
    (tmp_path / "gone.toml").write_text(f"[[mutant]]\n{row}")
    monkeypatch.setattr(table, "FOLDER", tmp_path)
    with pytest.raises(Stale, match="stands 0 times"):
        mutants()


@pytest.mark.parametrize(("becomes", "verdict"), [("2 + 2", "survived"), ("5", "killed")])
def test_trial__break_that_a_test_notices__is_killed__other_survives(
    tmp_path: Path, becomes: str, verdict: str
) -> None:
    (tmp_path / "code.py").write_text("FOUR = 4\n")
    (tmp_path / "test_code.py").write_text(
        "import code_under_test\n\ndef test_four():\n    assert code_under_test.FOUR == 4\n"
    )
    (tmp_path / "code.py").rename(tmp_path / "code_under_test.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    row = Mutant("four", "code_under_test.py", "4", becomes, ["test_code.py"])
    with broken(tmp_path, row):
        outcome = run(tmp_path, row.tests)
    assert outcome.verdict == verdict, outcome.output
    assert (tmp_path / "code_under_test.py").read_text() == "FOUR = 4\n"


NEEDS_A_STORE = """
import os, pathlib, socket
from code_under_test import FOUR

def test_four():
    if stores := os.environ.get("STANDING_STORES"):
        port = int(pathlib.Path(stores, "redis-queue", "port").read_text())
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert FOUR
"""


@pytest.mark.timeout(300)
def test_trial__stores_that_stand_have_gone__what_fails_for_that_is_not_believed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code_under_test.py").write_text("FOUR = 4\n")
    (tree / "test_code.py").write_text(NEEDS_A_STORE)
    (tree / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    row = Mutant("four", "code_under_test.py", "4", "5", ["test_code.py"])
    with Workplace(tmp_path) as place:
        assert place.check(row.tests).verdict == "survived"
        place.servers[2].kill()
        assert place.check(row.tests).verdict == "killed"
        assert place.trial(row).verdict == "survived"
        assert place.check(row.tests).verdict == "survived", "they stand again"
