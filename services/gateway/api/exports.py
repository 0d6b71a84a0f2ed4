"""The formats a lock is exported in, for clients to use as they are. Pure: a lock in, bytes out.

Those of a protocol are made in its folder, those of all packages in `bills.py`.
"""

from __future__ import annotations

from services.gateway.api.bills import cyclonedx, spdx
from shared.protocols import PROTOCOLS
from shared.protocols.roles.locks import Export

BILLS = {
    "bom.cdx.json": Export(
        "application/vnd.cyclonedx+json; version=1.6", lambda lock, _: cyclonedx(lock), of_pins=True
    ),
    "bom.spdx.json": Export("application/spdx+json", spdx, of_pins=True),
}
"""Of all protocols at once."""

EXPORTS: dict[str, tuple[str, Export]] = {
    **{name: (each.name, export) for each in PROTOCOLS for name, export in each.locks.exports.items()},
    **{name: ("", export) for name, export in BILLS.items()},
}
"""By the name of the file: the protocol whose table it is of ("" for all), and how it is made."""
