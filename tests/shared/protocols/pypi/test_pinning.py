"""The locks of Python's clients as pins, and which file of a page a pin is."""

from __future__ import annotations

import pytest

from shared.errors import EnsureInvalid
from shared.models import FileName
from shared.protocols import protocol_named
from shared.protocols.pypi.document import Document, Envelope
from shared.protocols.roles.pins import LockRead, NotFound, Pin

PINS = protocol_named("pypi").pins
A, B = "a" * 64, "b" * 64
WHEEL, SDIST = "demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"
BOTH = [Pin("demo", "1.0", WHEEL, (("sha256", A),)), Pin("demo", "1.0", SDIST, (("sha256", B),))]

UV = f"""version = 1
requires-python = ">=3.11"
[[package]]
name = "here"
version = "0.1"
source = {{ virtual = "." }}
[[package]]
name = "Demo"
version = "1.0"
source = {{ registry = "https://packages.example.com/simple" }}
sdist = {{ url = "https://files.example.com/x/{SDIST}", hash = "sha256:{B}", size = 1 }}
wheels = [{{ url = "https://files.example.com/y/{WHEEL}#sha256=x", hash = "sha256:{A}" }}]
[[package]]
name = "other"
version = "1"
source = {{ git = "https://git.example.com/other?rev=1#abc" }}
"""
PYLOCK = f"""lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "demo"
version = "1.0"
sdist = {{ url = "https://files.example.com/{SDIST}", hashes = {{ sha256 = "{B.upper()}" }} }}
[[packages.wheels]]
name = "{WHEEL}"
path = "wheels/any.whl"
hashes = {{ sha256 = "{A}", md5 = "{"c" * 32}" }}
[[packages]]
name = "here"
directory = {{ path = "." }}
[[packages]]
name = "other"
vcs = {{ type = "git", url = "https://git.example.com/other", commit-id = "abc" }}
"""
POETRY = f"""[[package]]
name = "Demo"
version = "1.0"
files = [{{file = "{WHEEL}", hash = "sha256:{A}"}}, {{file = "{SDIST}", hash = "sha256:{B}"}}]
[[package]]
name = "here"
version = "1"
files = []
source = {{type = "directory", url = "here"}}
[[package]]
name = "other"
version = "1"
files = []
source = {{type = "git", url = "https://git.example.com/other"}}
"""
OLD_POETRY = f"""[[package]]
name = "demo"
version = "1.0"
[metadata.files]
demo = [{{file = "{WHEEL}", hash = "sha256:{A}"}}, {{file = "{SDIST}", hash = "sha256:{B}"}}]
"""
PDM = f"""[[package]]
name = "demo"
version = "1.0"
files = [
    {{file = "{WHEEL}", hash = "sha256:{A}"}}, {{url = "https://example.com/{SDIST}", hash = "sha256:{B}"}},
]
[[package]]
name = "other"
version = "1"
git = "https://git.example.com/other"
"""
OLD_PDM = f"""[[package]]
name = "demo"
version = "1.0"
[metadata.files]
"demo 1.0" = [{{file = "{WHEEL}", hash = "sha256:{A}"}}, {{file = "{SDIST}", hash = "sha256:{B}"}}]
"""
REQUIREMENTS = f"""# comment
--index-url https://packages.example.com/simple
Demo[extra]==1.0 ; python_version > "3" \\
    --hash=sha256:{A} \\
    --hash sha256:{B}  # via x
other @ https://files.example.com/other-1.tar.gz --hash=sha256:{A}
"""


def read(kind: str, text: str | bytes) -> LockRead:
    return PINS.kinds[kind].read(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("kind", "text"),
    [("uv.lock", UV), ("pylock.toml", PYLOCK), ("poetry.lock", POETRY), ("poetry.lock", OLD_POETRY),
     ("pdm.lock", PDM), ("pdm.lock", OLD_PDM)],
)  # fmt: skip
@pytest.mark.parametrize("shape", ["as it is", "CRLF", "BOM"])
def test_every_lock__names_its_files__and_leaves_out_what_no_registry_has(
    kind: str, text: str, shape: str
) -> None:
    body = text.replace("\n", "\r\n") if shape == "CRLF" else "\ufeff" * (shape == "BOM") + text
    found = read(kind, body)
    named = [(pin.name, pin.version, pin.filename, dict(pin.digests)["sha256"]) for pin in found.pins]
    assert sorted(named) == [("demo", "1.0", WHEEL, A), ("demo", "1.0", SDIST, B)]
    assert {each.name for each in found.elsewhere} == ({"other"} if "other" in text else set())


def test_requirements__a_pin_for_each_hash() -> None:
    found = read("requirements.txt", REQUIREMENTS)
    assert found.pins == [Pin("demo", "1.0", "", (("sha256", each),)) for each in (A, B)]
    assert [each.name for each in found.elsewhere] == ["other"]


BAD = [
    ("uv.lock", UV.replace(A, "z" * 64), "package 2, `Demo`, wheel 1: hash is not hex"),
    ("uv.lock", UV.replace(A, "a" * 63), "package 2, `Demo`, wheel 1: hash has 63 digits, sha256 has 64"),
    ("uv.lock", UV.replace(f"sha256:{A}", f"blake9:{A}"), "wheel 1: it has no hash of a kind"),
    ("uv.lock", UV.replace(WHEEL, "..%2f..%2fetc%2fpasswd"), "`passwd` cannot be the name of a distribution"),
    ("uv.lock", UV.replace('"Demo"', '"../x"'), "package 2, `../x`: its name cannot be a project's"),
    ("uv.lock", UV.replace('"1.0"', '"../1"'), "package 2, `Demo`: `../1` is no version"),
    ("uv.lock", UV.replace("version = 1\n", "version = 9\n", 1), "version: only 1 of uv.lock"),
    ("uv.lock", UV.replace("version = 1\n", "version = true\n", 1), "version is no whole number"),
    ("uv.lock", UV.replace("version = 1\n", "version = 1.0\n", 1), "version is no whole number"),
    ("uv.lock", UV.replace("size = 1", "size = inf"), "package 2, `Demo`: size is no whole number"),
    ("uv.lock", UV.replace("size = 1", "size = -1"), "size is no whole number"),
    ("pylock.toml", PYLOCK.replace("hashes", "size = 1.5, hashes", 1), "package 1, `demo`: size is no whole"),
    ("uv.lock", UV + 'name = "twice"\n', "Cannot overwrite a value"),
    ("uv.lock", UV + "x = " + "[" * 5000, "nested too deeply"),
    ("uv.lock", UV + "x = " + "[" * 80 + "]" * 80, "nested deeper than 64"),
    ("uv.lock", UV + ".".join("a" * 40) + " = 1", "more than 32 parts with dots between"),
    ("uv.lock", UV + "x = " + "9" * 5000, "a number is too long"),
    ("uv.lock", UV + "# \0", "line 17, column 3: a control character, U+0000"),
    ("uv.lock", UV + "# \x1b[2J", "a control character, U+001B"),
    ("uv.lock", UV.encode() + b"# \xff", "line 17: this is not UTF-8"),
    ("uv.lock", "x" * (4 * 1024 * 1024 + 1), "at most 4194304 are read"),
    ("uv.lock", "package = 3\nversion = 1", "package is no list"),
    ("uv.lock", "package = [3]\nversion = 1", "package 1: it is no table"),
    ("pylock.toml", PYLOCK.replace('"1.0"', '"2.0"', 1), "lock-version: only 1.x"),
    ("pylock.toml", PYLOCK.replace(WHEEL, "a/../b.whl"), "cannot be the name of a distribution"),
    ("poetry.lock", POETRY.replace(WHEEL, "/etc/passwd.whl"), "package 1, `Demo`, file 1: `/etc/passwd.whl`"),
    ("poetry.lock", OLD_POETRY.replace("demo = [", "dome = ["), "package 1, `demo`: it lists no files"),
    ("pdm.lock", PDM.replace(f'"sha256:{A}"', "7"), "hash is no text"),
    ("requirements.txt", "demo==1.0\n", "line 1, `demo`: it has no --hash"),
    ("requirements.txt", f"\ndemo>=1.0 --hash=sha256:{A}", "line 2, `demo`: it is not pinned"),
    ("requirements.txt", f"demo==1.* --hash=sha256:{A}", "it is not pinned to one version"),
    ("requirements.txt", "-r more.txt", "`-r more.txt` names another file"),
    ("requirements.txt", f"demo==1 --hash=sha256:{A[:-1]}g", "line 1, `demo`: hash is not hex"),
    ("requirements.txt", "demo==1 \\\n" * 40_000, "line 1: longer than"),
    ("requirements.txt", "demo==1" + " " * 250_000 + "x", "line 1: `demo==1"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "said"), BAD)
def test_what_is_wrong__is_told_with_its_place(kind: str, text: str | bytes, said: str) -> None:
    with pytest.raises(EnsureInvalid) as error:
        read(kind, text)
    assert said in error.value.message and len(error.value.message) < 400


def test_a_giant_count__is_refused() -> None:
    text = "demo==1 " + " ".join(f"--hash=sha256:{number:064x}" for number in range(2000)) + "\n"
    lines = (text.replace("demo", f"demo{number}") for number in range(6))
    with pytest.raises(EnsureInvalid, match="more than 10000 files"):
        read("requirements.txt", "".join(lines))
    assert len(read("requirements.txt", text * 6).pins) == 2000


def document(**hashes: str) -> Document:
    files = [
        {"filename": name, "url": f"https://files.example.com/{name}", "hashes": {"sha256": sha256}}
        for name, sha256 in hashes.items()
    ]
    page = {"name": "demo", "files": files, "meta": {"api-version": "1.0"}}
    return Document(Envelope(1, "simple/demo", "main", page))


PAGE = document(**{WHEEL: A, SDIST: B})


@pytest.mark.parametrize("pin", [*BOTH, *(Pin(each.name, "1.0.0", "", each.digests) for each in BOTH)])
def test_find__by_name_or_by_digest__the_one_file(pin: Pin) -> None:
    filename = WHEEL if dict(pin.digests)["sha256"] == A else SDIST
    assert PINS.find(PAGE, pin) == FileName("pypi", "demo", dict(pin.digests)["sha256"], filename)


@pytest.mark.parametrize(
    ("pin", "differs"),
    [
        (Pin("demo", "1.0", WHEEL, (("sha256", B),)), True),
        (Pin("demo", "1.0", "", (("sha256", "c" * 64),)), True),
        (Pin("demo", "2.0", "demo-2.0.tar.gz", (("sha256", A),)), False),
        (Pin("demo", "2.0", "", (("sha256", A),)), False),
    ],
)
def test_find__other_bytes_or_none(pin: Pin, differs: bool) -> None:
    with pytest.raises(NotFound) as error:
        PINS.find(PAGE, pin)
    assert error.value.differs is differs
