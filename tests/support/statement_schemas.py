"""What statements must look like, written from the specifications (in-toto attestation v1; SLSA's draft of
the dependency predicate, its provenance v1): JSON Schema, 2020-12. Others' fields may be there."""

from __future__ import annotations

import base64
import json
from typing import Any

from jsonschema import Draft202012Validator
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from shared.tlog.notes import Key

_TEXT = {"type": "string"}
_URI = {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:.|^/"}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
_DIGEST = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "sha256": {"pattern": "^[0-9a-f]{64}$"},
        "sha512": {"pattern": "^[0-9a-f]{128}$"},
        "sha1": {"pattern": "^[0-9a-f]{40}$"},
    },
    "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"},
}
_RESOURCE = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "uri": _URI,
        "digest": _DIGEST,
        "downloadLocation": _URI,
        "mediaType": _TEXT,
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
}
STATEMENT = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": {**_RESOURCE, "required": ["digest"]}},
        "predicateType": _URI,
        "predicate": {"type": "object"},
    },
}


def _of(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties, **more}


def _verdict(results: list[str], *if_verified: str) -> dict[str, Any]:
    """A result, or that there was nothing; with what it was reached by."""
    verified = {"required": ["result"], "properties": {"result": {"const": "verified"}}}
    return _of(
        {"result": {"enum": results}, "availability": {"const": "unavailable"}, "expected": _DIGEST},
        oneOf=[{"required": ["result"]}, {"required": ["availability"]}],
        **{"if": verified, "then": {"required": list(if_verified)}},
    )


DEPENDENCY = _of(
    {
        "ingestor": _of({"id": _URI, "name": _TEXT}, "id"),
        "ingestionPlatform": _of({"id": _URI, "version": _TEXT}, "id"),
        "upstream": _of(
            {"registry": _URI, "name": _TEXT, "version": _TEXT, "digest": _DIGEST},
            "registry",
            "name",
            "version",
        ),
        "ingestion": _of({"timestamp": _TIME, "path": _URI}, "timestamp", "path"),
        "resolvedFrom": _of({"subject": _DIGEST}, "subject"),
        "scans": {"type": "array"},
        "integrity": _verdict(["verified", "unverified"], "method", "expected"),
        "publisherSignature": _verdict(["verified", "unverified"], "method", "keyId"),
        "policyEvaluations": {
            "type": "array",
            "items": _of(
                {
                    "policy": _of({"id": _URI, "version": {"minLength": 1}}, "id", "version"),
                    "timestamp": _TIME,
                    "result": {"const": "allow"},
                },
                "policy",
                "timestamp",
                "result",
            ),
        },
        "upstreamProvenance": _of({"verification": _of({"result": _TEXT}, "result")}),
        "signingIsolation": _of(
            {
                "method": {
                    "enum": [
                        "separate-signer-process",
                        "hardware-backed-key",
                        "post-ingestion-signing",
                        "other",
                    ]
                },
                "description": {"minLength": 20},
                "signerIdentity": _URI,
            },
            "method",
            "description",
            "signerIdentity",
        ),
        "ingestionIsolation": _of(
            {
                "method": {"enum": ["no-dep-code-executed", "ephemeral-per-dep-environment", "other"]},
                "description": {"minLength": 20},
            },
            "method",
            "description",
        ),
    },
    "ingestor",
    "ingestionPlatform",
    "upstream",
    "ingestion",
    patternProperties={"^orchard_[a-z]+$": True},
    additionalProperties=False,
)
PROVENANCE = _of(
    {
        "buildDefinition": _of(
            {
                "buildType": _URI,
                "externalParameters": {"type": "object"},
                "internalParameters": {"type": "object"},
                "resolvedDependencies": {"type": "array", "items": _RESOURCE},
            },
            "buildType",
            "externalParameters",
        ),
        "runDetails": _of(
            {
                "builder": _of({"id": _URI, "version": {"type": "object"}}, "id"),
                "metadata": _of({"invocationId": _TEXT, "startedOn": _TIME, "finishedOn": _TIME}),
                "byproducts": {"type": "array", "items": _RESOURCE},
            },
            "builder",
        ),
    },
    "buildDefinition",
    "runDetails",
    additionalProperties=False,
)
PREDICATES = {
    "https://slsa.dev/dependency/v1": DEPENDENCY,
    "https://slsa.dev/provenance/v1": PROVENANCE,
}


def checked(envelope: bytes, key: Key) -> dict[str, Any]:
    """The statement in an envelope, verified by `securesystemslib` and by its schemas. Raises what these
    raise."""
    found = Envelope.from_dict(json.loads(envelope))
    named = f"{key.name}+{key.id.hex()}"
    found.verify([SSlibKey(named, "ed25519", "ed25519", {"public": key.public.hex()})], 1)
    assert found.payload_type == "application/vnd.in-toto+json"
    statement: dict[str, Any] = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    Draft202012Validator(STATEMENT).validate(statement)
    schema = PREDICATES.get(statement["predicateType"])
    if schema is not None:
        Draft202012Validator(schema).validate(statement["predicate"])
    return statement
