"""Magic numbers: how files of a kind begin, by the ending of their names.

A protocol adds the kinds that are its own (`Archive.magics`).
"""

from __future__ import annotations

from collections.abc import Mapping

# Programs and scripts: what unpacks itself is such a one with the archive behind it, and Windows' name for
# programs is used for those of other systems too.
_PROGRAMS = (
    b"MZ", b"\x7fELF", b"#!", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe",
    b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce",
)  # fmt: skip
ZIP = (b"PK\x03\x04", b"PK\x05\x06", *_PROGRAMS)
GZIP = (b"\x1f\x8b",)

COMMON: Mapping[str, tuple[bytes, ...]] = {
    ".zip": ZIP,
    ".gz": GZIP,
    ".tgz": GZIP,
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
    ".exe": (b"PK\x03\x04", *_PROGRAMS),
}
