"""Prints docs/minimum-age.md from tests/clients/aged/cases.py: what each client ends with."""

from __future__ import annotations

import sys

from tests.clients.aged.cases import CASES, CLIENTS, NOTE, rows

HEAD = """# Minimum age, client by client

What real clients end with under `ORCHARD_MINIMUM_AGE=7d` ([firewall.md](firewall.md)), in {cases} cases,
{rows} rows. Old: 30 days; young: an hour. Each row is run by `tests/clients/test_minimum_age.py`, which also
sees to it that Orchard gave out no byte of what is young; `python -m scripts.age_table` prints this page.

`refused`: the client fails, and has nothing. {note}
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD.format(cases=len(CASES), rows=len(list(rows())), note=NOTE)]
    lines.append(f"| case | the registry has | {' | '.join(CLIENTS)} |")
    lines.append("|---" * (len(CLIENTS) + 2) + "|")
    for case in CASES:
        ends = (
            case.spelt(protocol, case.expected) if client in case.clients else ""
            for client, protocol in CLIENTS.items()
        )
        lines.append(f"| {case.name} | {case.has} | {' | '.join(ends)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
