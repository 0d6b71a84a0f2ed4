"""A start on a full disk: it has room after all, or one line says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.standalone.preflight import LEAST_BYTES, RESERVE_BYTES, bound_of, make_room
from shared.errors import ConfigurationError
from shared.settings import load_settings
from tests.support.small_disk import fill, small_disk


def test_room__disk_has_some__a_reserve_is_kept_and_given_up_when_it_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 200) as folder:
        assert make_room(folder) == ""
        assert (folder / "reserve").stat().st_blocks * 512 >= RESERVE_BYTES
        fill(folder)
        assert "reserve" in make_room(folder)
        assert not (folder / "reserve").exists()


def test_room__no_reserve__what_is_made_again_goes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 60) as folder:
        pages = folder / "objects" / "variants" / "ab"
        pages.mkdir(parents=True)
        (pages / "page").write_bytes(bytes(LEAST_BYTES + 1024 * 1024))
        fill(folder)
        assert "pages" in make_room(folder)
        assert not pages.exists()


def test_room__nothing_to_give_up__one_line_names_folder_and_variable(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 30) as folder:
        fill(folder)
        with pytest.raises(ConfigurationError) as refused:
            make_room(folder)
        assert "\n" not in refused.value.message
        assert "ORCHARD_DATA_DIR" in refused.value.message and str(folder) in refused.value.message


def test_bound__unset__half_of_the_disk_and_what_is_set_counts(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100) as folder:
        assert bound_of(load_settings({}), folder) == 50 * 1024 * 1024
        assert bound_of(load_settings({"ORCHARD_EVICT_BYTES": "0"}), folder) == 0
        assert bound_of(load_settings({"ORCHARD_EVICT_BYTES": "7"}), folder) == 7
