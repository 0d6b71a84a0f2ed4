"""Which names files of a version may have, in every protocol."""

from __future__ import annotations

import pytest

from shared.protocols import PROTOCOLS, protocol_named

FIT = [
    ("pypi", "demo", "1.0.0", "demo-1.0-py3-none-any.whl"),
    ("pypi", "demo", "1.0", "Demo-1.0.0-7-cp311-cp311-linux_x86_64.whl"),  # a build tag
    ("pypi", "zope-interface", "3.0", "Zope.Interface-3.0.tar.gz"),
    ("pypi", "zope-interface", "3.0", "zope_interface-3.0.zip"),
    ("pypi", "torch", "2.1+cpu", "torch-2.1.0+cpu-cp311-cp311-linux_x86_64.whl"),
    ("pypi", "pytz", "2004b", "pytz-2004b.tar.gz"),
    ("pypi", "setuptools", "0.6c11", "setuptools-0.6rc11-py2.7.egg"),
    ("pypi", "demo", "1.0-r5", "demo-1.0_r5-py2.7.egg"),
    ("pypi", "demo", "1.0", "demo-1.0.win32-py2.7.exe"),
    ("pypi", "demo", "1.0", "demo-1.0.linux-x86_64.tar.gz"),
    ("pypi", "demo", "1.0", "python3-demo_1.0-1_all.deb"),  # it tells nothing, as the next
    ("pypi", "demo", "1.0", "v7.tar.gz"),
    ("pypi", "demo", "1.0", "demo-2.0-src.tar.gz"),
    ("npm", "@s/demo", "1.0.0", "demo-1.0.0.tgz"),
    ("npm", "@s/demo", "1.0.0-rc.1", "s-demo-1.0.0-rc.1.tgz"),
    ("npm", "demo", "1.0.0+build", "demo-1.0.0.tgz"),
    ("npm", "demo", "1.0.0", "package.tgz"),
    ("cargo", "demo-x", "1.0.0+meta", "Demo-x-1.0.0+meta.crate"),
    ("cargo", "demo", "1.0.0", "download"),
    ("maven", "g:demo", "1.0", "demo-1.0-sources.jar"),
    ("maven", "g:demo", "1.0", "demo-1.0.tar.gz"),
    ("maven", "g:demo", "1.0", "demo.jar"),
    ("maven", "g:demo", "1.0", "demo-metadata-1.0-all.jar"),
    ("maven", "g:demo", "1.0", "demo-1.0-7-linux.jar"),
]
OTHERS = [
    ("pypi", "demo", "2.0", "demo-1.0-py3-none-any.whl"),
    ("pypi", "demo", "1.0", "demo-1.0+cpu-py3-none-any.whl"),
    ("pypi", "demo", "1.0", "other-1.0-py3-none-any.whl"),
    ("pypi", "demo", "2.0", "demo-1.0.tar.gz"),
    ("pypi", "demo", "1.0", "other-1.0.tar.gz"),
    ("pypi", "demo", "2.0", "demo-1.0-py2.7.egg"),
    ("pypi", "demo", "2.0", "demo-1.0.win32-py2.7.exe"),
    ("npm", "@s/demo", "2.0.0", "demo-1.0.0.tgz"),
    ("npm", "demo", "1.0.0", "demo-1.0.0-rc.1.tgz"),
    ("cargo", "demo", "2.0.0", "demo-1.0.0.crate"),
    ("cargo", "demo", "1.0.0", "other-1.0.0.crate"),
    ("maven", "g:demo", "2.0", "demo-1.0.jar"),
    ("maven", "g:demo", "1.0", "other-1.0.jar"),
    ("maven", "g:demo", "1.0", "demo-1.0.1.jar"),
    ("maven", "g:demo", "1.0", "demo-11.0.jar"),
]


@pytest.mark.parametrize(("protocol", "project", "version", "filename"), FIT)
def test_a_name_of_the_version_in_any_spelling_or_of_none__fits(
    protocol: str, project: str, version: str, filename: str
) -> None:
    assert protocol_named(protocol).pins.fits(project, version, filename)


@pytest.mark.parametrize(("protocol", "project", "version", "filename"), OTHERS)
def test_a_name_of_another_version_or_project__does_not(
    protocol: str, project: str, version: str, filename: str
) -> None:
    assert not protocol_named(protocol).pins.fits(project, version, filename)


def test_every_protocol__is_in_both_tables() -> None:
    names = {each.name for each in PROTOCOLS}
    assert {each[0] for each in FIT} == names == {each[0] for each in OTHERS}
