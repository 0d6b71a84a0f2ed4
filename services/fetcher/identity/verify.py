"""One identity token checked: its form, its algorithm, its signature, its claims (RFC 7515, RFC 7519, OpenID
Connect Core 3.1.3.7). What is wrong is named by its rule; no part of the token is repeated.

Imported when the first one is checked (routes/identity.py): most fetchers never need joserfc.
"""

from __future__ import annotations

import binascii
import warnings
from typing import Any

from joserfc import jwk, jws, jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    JoseError,
    MissingClaimError,
    SecurityWarning,
)

from services.fetcher.identity.keys import KEY_TYPES, Head
from shared.access.trust import LONGEST_TOKEN, IdentityAsked
from shared.errors import IdentityRefused

warnings.simplefilter("ignore", SecurityWarning)  # of the name EdDSA (RFC 9864), which issuers use

LEEWAY_SECONDS = 30
OLDEST_SECONDS = 24 * 3600  # of `iat`: what a CI holds is of this job
LONGEST_HEADER = 8 * 1024  # bytes
LEAST_RSA_BITS = 2048


def _registry(*algorithms: str) -> jws.JWSRegistry:
    found = jws.JWSRegistry(algorithms=algorithms or tuple(KEY_TYPES), strict_check_header=False)
    found.max_header_length = LONGEST_HEADER  # some name a chain of certificates (x5c)
    return found


def read_head(token: str) -> Head:
    """Raises `IdentityRefused` for what is no signed token, too large, or of another algorithm."""
    if len(token) > LONGEST_TOKEN:
        raise IdentityRefused(f"the identity token has more than {LONGEST_TOKEN} bytes")
    if token.count(".") == 4:
        raise IdentityRefused("the identity token is encrypted (JWE); one that is signed alone is needed")
    try:
        header = jws.extract_compact(token.encode(), registry=_registry()).headers()
        alg, kid = header.get("alg"), header.get("kid")
    except (JoseError, ValueError, binascii.Error, RecursionError, AttributeError):
        raise IdentityRefused("what was sent is no identity token (JWT)") from None
    if not isinstance(alg, str) or alg not in KEY_TYPES:
        raise IdentityRefused(f"the identity token is signed otherwise than by {', '.join(KEY_TYPES)}")
    if kid is not None and (not isinstance(kid, str) or len(kid) > 256):
        raise IdentityRefused("the identity token names its key (kid) by what is no name")
    return Head(alg, kid)


def claims_of(asked: IdentityAsked, head: Head, key: dict[str, Any], now: float) -> dict[str, Any]:
    """The claims of a token that is all right at `now` (unix seconds). Raises `IdentityRefused`."""
    try:
        public = jwk.import_key(key)
        if head.alg == "RS256" and int(getattr(public.raw_value, "key_size", 0)) < LEAST_RSA_BITS:
            raise IdentityRefused(f"the issuer's key has less than {LEAST_RSA_BITS} bits")
        claims: dict[str, Any] = jwt.decode(asked.token, public, registry=_registry(head.alg)).claims
    except BadSignatureError:
        raise IdentityRefused("the identity token's signature is not the issuer's") from None
    except (JoseError, ValueError, TypeError, binascii.Error, RecursionError):
        raise IdentityRefused("the identity token or the issuer's key for it is malformed") from None
    _check(asked, claims, int(now))
    return claims


def _check(asked: IdentityAsked, claims: dict[str, Any], now: int) -> None:
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": asked.issuer},
        aud={"essential": True, "values": list(asked.audiences)},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        registry.validate(claims)
    except ExpiredTokenError:
        raise IdentityRefused("the identity token is over (exp)") from None
    except MissingClaimError as error:
        raise IdentityRefused(f"the identity token lacks {error.claim}") from None
    except InvalidClaimError as error:
        raise IdentityRefused(
            _WHY.get(error.claim, f"the identity token's {error.claim} is not as it must be")
        ) from None
    except (JoseError, ValueError, TypeError, OverflowError):
        raise IdentityRefused("a time in the identity token is none") from None
    if claims["iat"] < now - OLDEST_SECONDS:
        raise IdentityRefused("the identity token was made more than a day ago (iat)")
    if asked.nonce and claims.get("nonce") != asked.nonce:
        raise IdentityRefused("the identity token answers another sign-in (nonce)")
    audiences = claims["aud"]
    if (
        isinstance(audiences, list)
        and len(audiences) > 1
        and asked.nonce
        and claims.get("azp") not in asked.audiences
    ):
        raise IdentityRefused("the identity token is for several, and not issued to this Orchard (azp)")


_WHY = {
    "iss": "the identity token is of another issuer (iss)",
    "aud": "the identity token is for another audience (aud)",
    "nbf": "the identity token is not good yet (nbf)",
    "iat": "the identity token was made in the future (iat)",
    "exp": "a time in the identity token is none (exp)",
}
