"""The secrets that a standalone Orchard makes: once, for its owner's eyes only."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

from services.standalone.kept_files import remembered_keys
from shared.settings import Settings


def test_first_start__makes_both__in_files_for_the_owner_alone(tmp_path: Path) -> None:
    keys = remembered_keys(Settings(), tmp_path)
    assert (tmp_path / "admin-token").read_text().strip() == keys.admin_token
    assert keys.admin_token_at == str(tmp_path / "admin-token")
    assert len(b64decode(keys.secret_key)) == 32
    for name in ("admin-token", "secret-key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert keys.admin_token not in repr(keys)
    assert keys.secret_key not in repr(keys)


def test_next_start__takes_the_same__and_closes_files_that_were_opened(tmp_path: Path) -> None:
    first = remembered_keys(Settings(), tmp_path)
    (tmp_path / "admin-token").chmod(0o644)
    assert remembered_keys(Settings(), tmp_path) == first
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600


def test_settings_give_them__nothing_is_written(tmp_path: Path) -> None:
    given = Settings(admin_token="mine", secret_key=("a", "b"), log_key_file="elsewhere")
    keys = remembered_keys(given, tmp_path)
    assert (keys.admin_token, keys.admin_token_at) == ("mine", "ORCHARD_ADMIN_TOKEN")
    assert keys.secret_key == "a,b"
    assert list(tmp_path.iterdir()) == []
