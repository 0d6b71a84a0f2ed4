"""Package URLs of what is shown, and of what is kept or signed."""

from __future__ import annotations

import pytest

from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import exact_purl, purl

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)


@each_protocol
def test_no_name__is_shown_as_none_and_never_kept(protocol: PackageProxyBase) -> None:
    assert purl(protocol.name, "", "1.0") == f"pkg:{protocol.names.purl_type}/-@1.0"
    with pytest.raises(ValueError, match="name"):
        exact_purl(protocol.name, "", "1.0")


@each_protocol
def test_named__both_are_the_same(protocol: PackageProxyBase) -> None:
    project = protocol.names.project_of_purl("org.demo", "thing")
    assert purl(protocol.name, project, "1.0") == exact_purl(protocol.name, project, "1.0")
