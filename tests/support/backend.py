"""A small PEP 517 backend and what is built with it: by a real client in its own build environment.

The backend makes a wheel of PKG-INFO and the package's folder, and writes into that which version of the
helper it was built with. It is a source archive itself, which builds itself (`backend-path`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.support.builders import build_sdist, build_wheel

BACKEND = """
import base64, hashlib, pathlib, zipfile

def _field(name):
    lines = pathlib.Path("PKG-INFO").read_text().splitlines()
    return next(line.split(": ", 1)[1] for line in lines if line.startswith(name + ": "))

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    stem = _field("Name").replace("-", "_") + "-" + _field("Version")
    module = stem.split("-")[0]
    files = {path.as_posix(): path.read_bytes() for path in pathlib.Path(module).rglob("*.py")}
    if pathlib.Path("HELPED").exists():
        import HELPER
        files[module + "/built_with.txt"] = HELPER.__version__.encode()
    info = stem + ".dist-info/"
    files[info + "METADATA"] = pathlib.Path("PKG-INFO").read_bytes()
    files[info + "WHEEL"] = b"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\\n"
    files[info + "RECORD"] = (record + info + "RECORD,,\\n").encode()
    name = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as archive:
        for each, data in files.items():
            archive.writestr(each, data)
    return name
"""


def pyproject(requires: Sequence[str], backend: str, *, path: str = "") -> bytes:
    """`[build-system]`."""
    lines = ["[build-system]", f"requires = {json.dumps(list(requires))}", f"build-backend = {backend!r}"]
    return "\n".join([*lines, *([f"backend-path = [{path!r}]"] if path else []), ""]).encode()


def backend_sdist(name: str, version: str, helper: str) -> bytes:
    """The backend as a source archive that is built by itself. Installed, it needs the helper."""
    module = name.replace("-", "_")
    code = BACKEND.replace("HELPER", helper.replace("-", "_"))
    top = f"{module}-{version}"
    members = {
        f"{top}/{module}/__init__.py": code.encode(),
        f"{top}/pyproject.toml": pyproject([], module, path="."),
    }
    return build_sdist(name, version, requires=[helper], members=members)


def helped_sdist(name: str, version: str, backend: str, *, requires: Sequence[str] = ()) -> bytes:
    """A package that is built with the backend. `requires`: of what is installed."""
    module = name.replace("-", "_")
    top = f"{module}-{version}"
    system = pyproject([f"{backend}>=1"], backend.replace("-", "_"))
    members = {f"{top}/HELPED": b"", f"{top}/pyproject.toml": system}
    return build_sdist(name, version, requires=requires, members=members)


def helper_wheel(name: str, version: str) -> bytes:
    """What the backend needs; its version is what the package tells."""
    return build_wheel(name, version)
