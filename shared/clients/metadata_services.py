"""Where clouds give a machine its credentials and its set-up: no upstream lies there, whoever says so.

Over and above "not a public address": some of these are global (168.63.129.16), or private as other hosts of
a company's network are (fd00:ec2::254), so no class of addresses tells them. Link-local belongs to them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NETWORKS = tuple(
    ip_network(each)
    for each in (
        "169.254.0.0/16",  # link-local, where nearly all have theirs (169.254.169.254)
        "fe80::/10",
        "168.63.129.16/32",  # Azure: the machine's agent, DNS and health
        "100.100.100.200/32",  # Alibaba Cloud
        "192.0.0.192/32",  # Oracle Cloud, the older one
        "fd00:ec2::/32",  # AWS: metadata (::254), pod identity (::23), DNS, time
        "fd20:ce::254/128",  # Google Cloud
        "fd00:42::42/128",  # Scaleway
        "fd00:c1::a9fe:a9fe/128",  # Oracle Cloud
    )
)
_NAMES = frozenset(
    (
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "metadata.platformequinix.com",
        "metadata.packet.net",
        "instance-data",
        "instance-data.ec2.internal",
        "api.metadata.cloud.ibm.com",
    )
)
_EMBEDDING = tuple(
    (ip_network(network), shift)
    for network, shift in (
        ("::/96", 0),  # IPv4-compatible (RFC 4291, 2.5.5.1)
        ("::ffff:0:0/96", 0),  # IPv4-mapped (RFC 4291, 2.5.5.2)
        ("::ffff:0:0:0/96", 0),  # IPv4-translated (RFC 2765)
        ("64:ff9b::/96", 0),  # NAT64 (RFC 6052)
        ("64:ff9b:1::/48", 0),  # NAT64 within a network (RFC 8215), as /96 prefixes of it embed
        ("2002::/16", 80),  # 6to4 (RFC 3056)
    )
)


def names_metadata(host: str) -> bool:
    """Whether a host's name is a metadata service's."""
    return host.rstrip(".").lower() in _NAMES


def is_metadata(address: str) -> bool:
    """Whether an address is a metadata service's, written as IPv4, IPv6, or IPv4 within IPv6."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(each in network for each in (ip, *_within(ip)) for network in _NETWORKS)


def _within(ip: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if ip.version == 4:
        return []
    found = [IPv4Address(int(ip) >> shift & 0xFFFFFFFF) for network, shift in _EMBEDDING if ip in network]
    return found if ip.teredo is None else [*found, *ip.teredo]
