"""The configuration of an S3 store: addresses and credentials, checked once."""

from __future__ import annotations

import os
import ssl
from typing import Self
from urllib.parse import urlsplit

import msgspec

from shared.http.trust import ca_context
from shared.settings import Settings


class S3Config(msgspec.Struct, frozen=True):
    """One bucket on one server. Addresses are path-style: endpoint/bucket/prefix/key."""

    endpoint: str  # scheme://host[:port]
    bucket: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    prefix: str = ""  # without slashes at its ends
    create_bucket: bool = False
    public_endpoint: str = ""  # for presigned URLs; "" = endpoint
    ca_file: str = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """As ORCHARD_S3_* say."""
        return cls(
            endpoint=_plain(settings.s3_endpoint),
            bucket=settings.s3_bucket,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            region=settings.s3_region,
            prefix=settings.s3_prefix.strip("/"),
            create_bucket=settings.s3_create_bucket,
            public_endpoint=_plain(settings.s3_public_endpoint),
            ca_file=settings.ca_file,
        )

    @property
    def netloc(self) -> str:
        """host[:port], as the SDK wants it."""
        return urlsplit(self.endpoint).netloc

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.endpoint.startswith("https://")

    def name_of(self, key: str) -> str:
        """The object's name in the bucket."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def key_of(self, name: str) -> str:
        """The key of an object's name; the inverse of `name_of`."""
        return name[len(self.prefix) + 1 :] if self.prefix else name

    def __repr__(self) -> str:  # neither key in a log or traceback
        return f"S3Config({self.endpoint!r}, {self.bucket!r}, prefix={self.prefix!r})"


def tls_context(config: S3Config) -> ssl.SSLContext:
    """What an https endpoint's certificate is checked against.

    Raises `ConfigurationError` if ORCHARD_CA_FILE, or what a usual variable names, cannot be loaded.
    """
    return ca_context(config.ca_file, os.environ)


def _plain(endpoint: str) -> str:
    """Without a final slash and without its scheme's own port, which no client sends in Host."""
    endpoint = endpoint.rstrip("/")
    own = ":443" if endpoint.startswith("https://") else ":80"
    return endpoint.removesuffix(own)
