"""Keys and detached signatures as those who publish to Maven repositories make them."""

from __future__ import annotations

from pathlib import Path

import pysequoia
from pysequoia import SignatureMode, Tsk

# Made by GnuPG for this test at the start of 2024: one key, and its signatures of CONTENT.
CONTENT = b"signed long ago\n"
FINGERPRINT = "ed4eabeaf176e4ed6530647d6441264468784c4b"
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZZIAgBYJKwYBBAHaRw8BAQdA7TAKa+nrWbEfq54d8jci6REOgZ0hwBi5XAmP
Trh2XLi0D29sZEBleGFtcGxlLm9yZ4iQBBMWCAA4FiEE7U6r6vF25O1lMGR9ZEEm
RGh4TEsFAmWSAIACGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQZEEmRGh4
TEstmAD/Zdq1mHcf4Z1JlKYcOvIsDwF78wlEA3Y+kbAo9SP6uiEA/AxFLqQF7Bb9
a5lJcJNjb+sa/jbA7FUCZVXSyJAilVQP
=ENt9
-----END PGP PUBLIC KEY BLOCK-----
"""
_ARMOR = "-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n"
WITH_SHA256 = _ARMOR.format(
    "iHUEABYIAB0WIQTtTqvq8Xbk7WUwZH1kQSZEaHhMSwUCZZIAgAAKCRBkQSZEaHhM\n"
    "S9qhAQDGeiZZr7Hehed65K9JcGqPsQy2heS/JkagZD0y/mbLcwD/S7eIl2FWupaA\n"
    "xvSQxZqdWk9tKpffP4bWgAPJHvht6go=\n=gwSb"
).encode()
WITH_SHA1 = _ARMOR.format(
    "iHUEABYCAB0WIQTtTqvq8Xbk7WUwZH1kQSZEaHhMSwUCZZIAgAAKCRBkQSZEaHhM\n"
    "S2A3AP4iV1OTJz2kFC93zFEYhr9gXA0YeZ1UzuzHq0xHMFxuMQEAo6DjfSX1u50d\n"
    "y+rRageSa6e1bk3n0pAtyn9evSH5sww=\n=cRWu"
).encode()
OF_A_TEXT = _ARMOR.format(
    "iHUEARYIAB0WIQTtTqvq8Xbk7WUwZH1kQSZEaHhMSwUCZZIAgAAKCRBkQSZEaHhM\n"
    "S/tyAP9gJBxwQb4retSCLzfRESBYJXs7bhqB9sDe4/Bw5ovetwEA9ruivo3xn/X8\n"
    "bjn2V2qvv1bM22gSLeMBFtn/rkJfPAs=\n=QQ5S"
).encode()

# Another one, which expired on the first of February 2024: a signature of before, and one of after.
EXPIRED_FINGERPRINT = "0a7a681d1e2129af4895f3be521bed77f9a48219"
EXPIRED_KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEZZIAgBYJKwYBBAHaRw8BAQdAur6XQWwZ7HebKd7PZhEAks2k5Tc98N4dZ7W9
wboQe1S0D29sZEBleGFtcGxlLm9yZ4iWBBMWCAA+AhsDBQsJCAcCBhUKCQgLAgQW
AgMBAh4BAheAFiEECnpoHR4hKa9IlfO+Uhvtd/mkghkFAmWlxwAFCQAo3oAACgkQ
Uhvtd/mkghljngEAlCqGIfkkAljB7D5DCog0G8z7oPTjJv6heN89etS9/aoBAOxM
bF1xW+nHY5b+osx/5yDnG1n4iGCtDQTt/xQ5disO
=j9Dg
-----END PGP PUBLIC KEY BLOCK-----
"""
BEFORE_IT_EXPIRED = _ARMOR.format(
    "iHUEABYIAB0WIQQKemgdHiEpr0iV875SG+13+aSCGQUCZasNAAAKCRBSG+13+aSC\n"
    "GVG0AQCpVeB9F23YEZbyUVyv8H1+JTC4ptwPknwja6wYi4XBnAEAxFAPRIMdcJlx\n"
    "IK2arCuUasUdw3KPNwqhJscT/eM8wAs=\n=TI7d"
).encode()
AFTER_IT_EXPIRED = _ARMOR.format(
    "iHUEABYIAB0WIQQKemgdHiEpr0iV875SG+13+aSCGQUCZeEagAAKCRBSG+13+aSC\n"
    "GX2hAP0V3d2VRO/BfDNzytYBsYmIF/fwtlTpxZ+GdCQvzDMxTAD+N6ZhcjIOowVO\n"
    "ob5O5fyLWwnvW8A3rdm1ZBbB5S749wU=\n=DM1g"
).encode()


class Signer:
    """A key with a subkey that signs."""

    def __init__(self, name: str, seconds: int | None = None) -> None:
        """`seconds`: until it expires; None: never."""
        self._key = Tsk.generate(name, validity_seconds=seconds)
        self.certificate = self._key.extract_certificate()
        self.fingerprint = self.certificate.fingerprint

    def sign(self, content: bytes, *, armor: bool = True) -> bytes:
        return pysequoia.sign(self._key.signer(), content, mode=SignatureMode.DETACHED, armor=armor)

    def message(self, content: bytes) -> bytes:
        """Signed, and in the same armor: no detached signature."""
        return pysequoia.sign(self._key.signer(), content)

    @property
    def subkey(self) -> str:
        """The fingerprint of what signs."""
        return str(pysequoia.Sig.from_bytes(self.sign(b"")).issuer_fingerprint)

    def revoked(self) -> pysequoia.Cert:
        """Its public half, which it has revoked."""
        revocation = self.certificate.revoke(self._key.certifier())
        return pysequoia.Cert.from_bytes(bytes(self.certificate) + bytes(revocation))

    def write(self, folder: Path, certificate: pysequoia.Cert | None = None) -> Path:
        """Its public half in a file of that folder."""
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.fingerprint}.asc"
        path.write_text(str(certificate or self.certificate))
        return path
