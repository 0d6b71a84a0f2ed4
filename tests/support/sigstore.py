"""A Sigstore of one test: a certificate authority as Fulcio, the log of its certificates, the log Rekor with
one entry, and the trust root that names them. What it signs is as the public one's: libraries verify it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey
SIGNED_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
SLSA = "https://slsa.dev/provenance/v1"
IN_TOTO = "application/vnd.in-toto+json"
GITHUB = "https://token.actions.githubusercontent.com"
_SCTS = "1.3.6.1.4.1.11129.2.4.2"


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def der(key: Key) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_id(key: Key) -> bytes:
    return hashlib.sha256(der(key)).digest()


def sign(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _der(tag: int, data: bytes) -> bytes:
    size = len(data)
    length = bytes([size]) if size < 128 else b"\x82" + struct.pack("!H", size)
    return bytes([tag]) + length + data


@dataclass
class Sigstore:
    """`attest` signs what it is told to; the fields can be replaced by those of another one."""

    authority: Key = field(default_factory=new_key)
    certificate_log: Key = field(default_factory=new_key)
    rekor: Key = field(default_factory=new_key)

    def __post_init__(self) -> None:
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a test"),
                x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test"),
            ]
        )
        public = self.authority.public_key()
        self.root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(SIGNED_AT - timedelta(days=900))
            .not_valid_after(SIGNED_AT + timedelta(days=3000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(digital_signature=False, key_cert_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.authority, hashes.SHA256())
        )

    # --- what is trusted --------------------------------------------------------------------------

    def write_root(self, path: Path) -> Path:
        """Its trusted_root.json."""
        valid = {"start": "2020-01-01T00:00:00Z"}

        def log(key: Key) -> dict[str, Any]:
            details = {"rawBytes": b64(der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid}
            return {
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": details,
                "logId": {"keyId": b64(key_id(key))},
            }

        chain = {"certificates": [{"rawBytes": b64(self.root.public_bytes(serialization.Encoding.DER))}]}
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.rekor)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "a test", "commonName": "authority of a test"},
                    "uri": "https://authority.example",
                    "certChain": chain,
                    "validFor": valid,
                }
            ],
            "ctlogs": [log(self.certificate_log)],
            "timestampAuthorities": [],
        }
        path.write_text(json.dumps(root))
        return path

    # --- what it signs ----------------------------------------------------------------------------

    def certificate(
        self,
        key: Key,
        repository: str,
        workflow: str = "release.yml",
        issuer: str = GITHUB,
        at: datetime = SIGNED_AT,
    ) -> x509.Certificate:
        """For a workflow, valid for ten minutes, with the log's promise in it (RFC 6962, 3.3)."""
        uri, serial = f"https://github.com/{repository}", x509.random_serial_number()
        config = f"{uri}/.github/workflows/{workflow}@refs/tags/v1"
        claims = {8: issuer, 12: uri, 13: "a" * 40, 14: "refs/tags/v1", 18: config}

        def build(scts: bytes) -> x509.Certificate:
            builder = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([]))
                .issuer_name(self.root.subject)
                .public_key(key.public_key())
                .serial_number(serial)
                .not_valid_before(at - timedelta(minutes=5))
                .not_valid_after(at + timedelta(minutes=5))
                .add_extension(_usage(digital_signature=True, key_cert_sign=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
                .add_extension(
                    x509.SubjectAlternativeName([x509.UniformResourceIdentifier(config)]), critical=True
                )
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.public_key()), critical=False
                )
            )
            for number, text in claims.items():
                oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
                value = x509.UnrecognizedExtension(oid, _der(0x0C, text.encode()))
                builder = builder.add_extension(value, critical=False)
            value = x509.UnrecognizedExtension(x509.ObjectIdentifier(_SCTS), _der(0x04, scts))
            return builder.add_extension(value, critical=False).sign(self.authority, hashes.SHA256())

        moment = int(at.timestamp() * 1000)
        signature = sign(self.certificate_log, b"")
        before = build(_scts(key_id(self.certificate_log), moment, signature)).tbs_precertificate_bytes
        entry = hashlib.sha256(_spki(self.root)).digest() + struct.pack("!I", len(before))[1:] + before
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + entry + struct.pack("!H", 0)
        return build(_scts(key_id(self.certificate_log), moment, sign(self.certificate_log, signed)))

    def entry(
        self, certificate: x509.Certificate, payload: bytes, signature: bytes, at: datetime = SIGNED_AT
    ) -> Any:
        """The log's only entry, with all that proves it (Rekor's `dsse` 0.0.1)."""
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": [{"signature": b64(signature), "verifier": b64(pem)}],
        }
        body = _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"log.example - 1\n1\n{b64(root)}\n"
        signed = key_id(self.rekor)[:4] + sign(self.rekor, note.encode())
        moment = int(at.timestamp())
        promised = {
            "body": b64(body),
            "integratedTime": moment,
            "logID": key_id(self.rekor).hex(),
            "logIndex": 0,
        }
        return {
            "logIndex": "0",
            "logId": {"keyId": b64(key_id(self.rekor))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(moment),
            "inclusionPromise": {"signedEntryTimestamp": b64(sign(self.rekor, _canonical(promised)))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n— log.example {b64(signed)}\n"},
            },
            "canonicalizedBody": b64(body),
        }

    def attest(self, subject: str, digest: dict[str, str], repository: str, **options: Any) -> Attestation:
        """`digest`: algorithm → hex."""
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": subject, "digest": digest}],
            "predicateType": SLSA,
            "predicate": {},
        }
        payload = _canonical({**statement, **options.pop("statement", {})})
        key = new_key()
        certificate = self.certificate(key, repository, **options)
        signature = sign(key, b"DSSEv1 %d %b %d %b" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload))
        return Attestation(
            payload, certificate, signature, self.entry(certificate, payload, signature), repository
        )


@dataclass
class Attestation:
    """A signed statement, in the forms in which registries give it."""

    payload: bytes
    certificate: x509.Certificate
    signature: bytes
    entry: Any
    repository: str

    def pep740(self, **publisher: str) -> dict[str, Any]:
        """A provenance object (PEP 740)."""
        material = {
            "certificate": b64(self.certificate.public_bytes(serialization.Encoding.DER)),
            "transparency_entries": [self.entry],
        }
        envelope = {"statement": b64(self.payload), "signature": b64(self.signature)}
        attestation = {"version": 1, "verification_material": material, "envelope": envelope}
        who = {"kind": "GitHub", "repository": self.repository, "workflow": "release.yml", **publisher}
        return {"version": 1, "attestation_bundles": [{"publisher": who, "attestations": [attestation]}]}

    def bundles(self) -> dict[str, Any]:
        """A list of Sigstore's bundles, by predicates."""
        envelope = {
            "payload": b64(self.payload),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": b64(self.signature)}],
        }
        bundle = {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(self.certificate.public_bytes(serialization.Encoding.DER))},
                "tlogEntries": [self.entry],
            },
            "dsseEnvelope": envelope,
        }
        return {"attestations": [{"predicateType": SLSA, "bundle": bundle}]}


@dataclass
class RegistryKey:
    """With which a registry signs what it lists."""

    id: str = "SHA256:of-a-test"
    key: Key = field(default_factory=new_key)

    def write(self, path: Path, expires: str | None = None) -> Path:
        """The file of its public key."""
        told = {
            "keyid": self.id,
            "key": b64(der(self.key)),
            "keytype": "ecdsa-sha2-nistp256",
            "expires": expires,
        }
        path.write_text(json.dumps({"keys": [told]}))
        return path

    def sign(self, text: str) -> dict[str, str]:
        return {"keyid": self.id, "sig": b64(sign(self.key, text.encode()))}


def _usage(*, digital_signature: bool, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _scts(log: bytes, moment: int, signature: bytes) -> bytes:
    """A SignedCertificateTimestampList of one (RFC 6962, 3.2 and 3.3): ECDSA with SHA-256."""
    one = b"\0" + log + struct.pack("!QHBBH", moment, 0, 4, 3, len(signature)) + signature
    return struct.pack("!HH", len(one) + 2, len(one)) + one


def _canonical(value: Any) -> bytes:
    """JSON as RFC 8785 has it, of texts and small numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
