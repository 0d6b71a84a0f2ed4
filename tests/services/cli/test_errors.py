"""What a person is told to do next."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.errors import subject, unfinished

OFFLINE = {
    "name": "demo",
    "reason": "offline: ORCHARD_OFFLINE is set and demo was never cached",
    "passing": True,
}
SILENT = {
    "name": "demo",
    "reason": "upstream_timeout: upstream default did not answer in 20 s",
    "passing": True,
}
NOWHERE = {"name": "demo", "reason": "file_not_found: no upstream has it"}


@pytest.mark.parametrize(
    ("missing", "message", "hint"),
    [
        ([SILENT, OFFLINE], "this Orchard is offline", "Have it cached while upstreams are asked"),
        ([NOWHERE, SILENT], "for a passing cause", "Run the same command again."),
        ([], "for a passing cause", "Run the same command again."),
        ([NOWHERE], "lacks something:", "No retry brings it"),
    ],
)
def test_unfinished__told_to_run_it_again_only_where_that_helps(
    missing: list[dict[str, Any]], message: str, hint: str
) -> None:
    names = [{**each, "name": f"demo{number}"} for number, each in enumerate(missing)]
    failed = unfinished("the graph", names, then="No file was written.")
    assert message in failed.message and hint in failed.hint
    assert failed.hint.startswith("No file was written. ")
    assert all(each["reason"] in failed.message for each in missing)


def test_unfinished__much_is_missing__the_first_ten_and_a_count() -> None:
    failed = unfinished("the lock", [{"name": f"demo{number}", "reason": "gone"} for number in range(12)])
    assert "demo9: gone" in failed.message and "demo10" not in failed.message
    assert failed.message.endswith("… and 2 more")


@pytest.mark.parametrize(
    ("name", "requirement", "told"),
    [
        ("rand", "*", "rand (*)"),
        ("left", "^1.0", "left (^1.0)"),
        ("demo", "Demo>=1", "Demo>=1"),
        ("demo", "", "demo"),
        ("org.demo:lib", "[1,)", "org.demo:lib ([1,))"),
    ],
)
def test_subject__always_by_its_name(name: str, requirement: str, told: str) -> None:
    assert subject({"name": name, "requirement": requirement}) == told
