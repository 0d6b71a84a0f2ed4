"""Identity tokens: the good ones of each algorithm, and a table of those that are none."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from services.fetcher.identity.keys import key_for, read_keys
from services.fetcher.identity.verify import claims_of, read_head
from shared.access.trust import IdentityAsked
from shared.errors import IdentityRefused
from tests.support.issuer import AUDIENCE, EC, ED, FOREIGN, KEYS, RSA, public, signed

ISSUER = "https://ci.example.com"
NOW = int(time.time())
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "job",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 300,
}
WEAK = RSAKey.generate_key(1024, {"kid": "weak"})
CURVE = ECKey.generate_key("P-384", {"kid": "curve"})
SECRET = "quite-secret-repository"


def check(token: str, *, nonce: str = "", keys: dict[str, Any] | None = None) -> dict[str, Any]:
    """As a fetcher does, with the keys at hand."""
    head = read_head(token)
    key = key_for(head, read_keys(json.dumps(keys or public(*KEYS, WEAK, CURVE))))
    if key is None:
        raise IdentityRefused("no such key (kid)")
    return claims_of(IdentityAsked(ISSUER, token, (AUDIENCE, "other"), nonce), head, key, NOW)


def claims(**more: Any) -> dict[str, Any]:
    found = {**GOOD, "repository": SECRET, **more}
    return {name: value for name, value in found.items() if value is not None}


def raw(header: dict[str, Any], payload: bytes, signature: bytes = b"x" * 256) -> str:
    parts = (json.dumps(header).encode(), payload, signature)
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts)


def by_secret(secret: bytes) -> str:
    """HS256, of which a verifier that believes the header would take a public key for the secret."""
    signed_part = raw({"alg": "HS256", "kid": "rsa"}, json.dumps(claims()).encode()).rpartition(".")[0]
    digest = hmac.digest(secret, signed_part.encode(), "sha256")
    return f"{signed_part}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def altered(token: str) -> str:
    head, _, signature = token.split(".")
    body = json.dumps(claims(sub="somebody else")).encode()
    return f"{head}.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}.{signature}"


@pytest.mark.parametrize(
    "token",
    [
        signed(claims()),
        signed(claims(), EC, "ES256"),
        signed(claims(), ED, "EdDSA"),
        signed(claims(aud=["elsewhere", AUDIENCE])),
        signed(claims(aud="other")),
        signed(claims(nbf=None, iat=NOW + 20)),  # clocks differ by some seconds
        signed(claims(exp=NOW - 20)),
        signed(claims(exp=NOW + 0.5)),
        signed(claims(), x5t="AAAA", typ="at+jwt"),
        signed(claims(), RSA, "RS256", kid=None),  # the only RSA key that is meant for signing
    ],
    ids=[
        "RS256",
        "ES256",
        "EdDSA",
        "audiences",
        "second audience",
        "skew",
        "just over",
        "fraction",
        "header",
        "no kid",
    ],
)
def test_token__that_is_good__tells_its_claims(token: str) -> None:
    keys = public(*KEYS)
    assert check(token, keys=keys)["repository"] == SECRET


BODY = json.dumps(claims()).encode()
BAD: dict[str, tuple[Callable[[], str], str]] = {
    "alg none": (lambda: raw({"alg": "none"}, BODY, b""), "signed otherwise"),
    "alg NONE": (lambda: raw({"alg": "NONE", "kid": "rsa"}, BODY, b""), "signed otherwise"),
    "HS256 by a secret": (lambda: by_secret(b"s" * 32), "signed otherwise"),
    "HS256 by the public key": (
        lambda: by_secret(RSA.as_pem(private=False)), "signed otherwise"
    ),
    "RS512": (lambda: signed(claims(), RSA, "RS512"), "signed otherwise"),
    "no alg": (lambda: raw({"kid": "rsa"}, b"{}"), "no identity|otherwise"),
    "alg no text": (lambda: raw({"alg": ["RS256"]}, b"{}"), "no identity|otherwise"),
    "kid no text": (lambda: raw({"alg": "RS256", "kid": 1}, b"{}"), "kid"),
    "kid a path": (lambda: signed(claims(), RSA, kid="../../etc/passwd"), "kid"),
    "kid of another kind of key": (lambda: signed(claims(), RSA, kid="ec"), "kid"),
    "no kid, several keys": (lambda: signed(claims(), RSA, kid=None), "kid"),
    "foreign key of the same kid": (lambda: signed(claims(), FOREIGN), "signature"),
    "key in the header": (
        lambda: signed(claims(), FOREIGN, jwk=FOREIGN.as_dict(private=False)), "signature"
    ),
    "key at an address in the header": (
        lambda: signed(claims(), FOREIGN, jku="https://evil.example.com/keys"), "signature"
    ),
    "claims altered": (lambda: altered(signed(claims())), "signature"),
    "signature cut": (lambda: signed(claims())[:-20], "signature|malformed"),
    "no signature": (lambda: signed(claims()).rpartition(".")[0] + ".", "signature|malformed"),
    "RSA key of 1024 bits": (lambda: signed(claims(), WEAK), "2048 bits"),
    "crit": (lambda: raw({"alg": "RS256", "kid": "rsa", "crit": ["x"]}, b"{}"), "malformed|signature"),
    "over": (lambda: signed(claims(exp=NOW - 31)), "over"),
    "no exp": (lambda: signed(claims(exp=None)), "lacks exp"),
    "exp a text": (lambda: signed(claims(exp=str(NOW + 300))), "exp"),
    "exp null": (lambda: signed({**claims(), "exp": None}), "lacks exp"),
    "not yet": (lambda: signed(claims(nbf=NOW + 60)), "nbf"),
    "made in the future": (lambda: signed(claims(iat=NOW + 60)), "iat"),
    "made days ago": (lambda: signed(claims(iat=NOW - 90_000, nbf=None)), "a day ago"),
    "no iat": (lambda: signed(claims(iat=None)), "lacks iat"),
    "another issuer": (lambda: signed(claims(iss="https://evil.example.com")), "another issuer"),
    "issuer with a slash": (lambda: signed(claims(iss=ISSUER + "/")), "another issuer"),
    "no issuer": (lambda: signed(claims(iss=None)), "lacks iss"),
    "issuers": (lambda: signed(claims(iss=[ISSUER])), "another issuer"),
    "another audience": (lambda: signed(claims(aud="https://other.example.com")), "another audience"),
    "audience by its beginning": (lambda: signed(claims(aud=AUDIENCE + ".evil.example")), "another audience"),
    "no audience": (lambda: signed(claims(aud=None)), "lacks aud"),
    "audiences without ours": (lambda: signed(claims(aud=["a", "b"])), "another audience"),
    "audience an object": (lambda: signed(claims(aud={"a": AUDIENCE})), "another audience"),
    "no subject": (lambda: signed(claims(sub=None)), "lacks sub"),
    "subject a number": (lambda: signed(claims(sub=7)), "sub"),
    "claims a list": (lambda: raw({"alg": "RS256", "kid": "rsa"}, b"[]"), "malformed|signature"),
    "encrypted": (lambda: "a.b.c.d.e", "encrypted"),
    "no token": (lambda: "hello", "no identity token"),
    "empty": (lambda: "", "no identity token"),
    "not base64": (lambda: "!!!.???.###", "no identity token"),
    "header no object": (lambda: raw([1], b"{}"), "no identity token"),  # type: ignore[arg-type]
    "larger than any": (lambda: signed(claims(filler="x" * 20_000)), "more than 16384 bytes"),
    "header nested deep": (
        lambda: base64.urlsafe_b64encode(b'{"a":' * 999).decode().rstrip("=") + ".e30.eA", "no identity token"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_token__that_is_none__refused_by_the_name_of_its_rule_and_never_repeated(name: str) -> None:
    make, why = BAD[name]
    token = make()
    keys = public(*KEYS, FOREIGN) if name.startswith("no kid") else None
    with pytest.raises(IdentityRefused, match=why) as caught:
        check(token, keys=keys)
    told = caught.value.message + caught.value.hint
    assert SECRET not in told and not any(part in told for part in token.split(".") if len(part) > 12)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "another sign-in"),
        ({"nonce": "another"}, "another sign-in"),
        ({"nonce": ["n"]}, "another sign-in"),
        ({"nonce": "n", "aud": [AUDIENCE, "elsewhere"]}, "azp"),
        ({"nonce": "n", "aud": [AUDIENCE, "elsewhere"], "azp": "elsewhere"}, "azp"),
    ],
)
def test_persons_token__of_another_sign_in_or_client__refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(IdentityRefused, match=why):
        check(signed(claims(**more)), nonce="n")


def test_persons_token__of_this_sign_in__tells_its_claims() -> None:
    assert check(signed(claims(nonce="n")), nonce="n")["sub"] == "job"
    both = claims(nonce="n", aud=[AUDIENCE, "elsewhere"], azp=AUDIENCE)
    assert check(signed(both), nonce="n")["sub"] == "job"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": {}}', '{"keys": "x"}', "{"])
def test_keys__that_are_none__are_a_fault(text: str) -> None:
    with pytest.raises(ValueError):
        read_keys(text)


def test_keys__one_that_cannot_be_read_or_is_for_encrypting__spoils_no_other() -> None:
    odd: list[Any] = [{"kty": "AKP", "kid": "pq"}, {"kty": "RSA", "kid": "broken", "n": "!"}, "x"]
    encrypting = {**RSA.as_dict(private=False), "use": "enc"}
    keys = {"keys": [*odd, encrypting, *public(*KEYS)["keys"]]}
    assert check(signed(claims()), keys=keys)["sub"] == "job"
    with pytest.raises(IdentityRefused, match="malformed"):
        check(signed(claims(), RSA, kid="broken"), keys=keys)
