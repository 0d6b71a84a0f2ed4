"""A full disk, at the start and while Orchard runs: it has room after all, or one line says what is wrong."""

from __future__ import annotations

import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from services.standalone.room import LEAST_BYTES, RESERVE_BYTES, bound_of, make_room, tend_reserve
from shared.errors import ConfigurationError
from shared.settings import load_settings
from tests.services.standalone.harness import Standalone, wait_for
from tests.support.builders import build_wheel
from tests.support.small_disk import fill, small_disk
from tests.support.upstream import Upstream


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


def test_reserve__disk_fills_and_empties_while_orchard_runs__is_given_up_and_made_again(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 250) as folder:
        assert tend_reserve(folder) == "" and (folder / "reserve").exists()
        ballast = fill(folder)
        assert "reserve was given up" in tend_reserve(folder)
        assert tend_reserve(folder) == "" and not (folder / "reserve").exists()
        ballast.unlink()
        assert tend_reserve(folder) == "" and (folder / "reserve").exists()


@pytest.mark.slow
def test_disk_is_filled_by_others_while_orchard_runs__what_was_never_asked_for_is_passed_on(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 500) as disk, Upstream() as upstream:
        for name in ("before", "after"):
            upstream.add_project(name, {f"{name}-1.0-py3-none-any.whl": build_wheel(name, "1.0")})
        settings = {"ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/"}
        with Standalone(disk / "data", environment=settings, module="services.standalone") as orchard:
            orchard.wait_until_ready()
            fill(disk)

            def told(name: str) -> bool:
                page = f"http://127.0.0.1:{orchard.port}/pypi/simple/{name}/"
                try:
                    with urllib.request.urlopen(page, timeout=30) as answer:
                        return name in answer.read().decode()
                except urllib.error.HTTPError as error:
                    assert error.code == 503  # until the reserve is given up
                    return False

            for name in ("before", "after"):
                wait_for(partial(told, name), f"the page of {name}")
            assert not (disk / "data" / "reserve").exists()
            assert "the disk is full" in orchard.text


def test_bound__unset__half_of_the_disk_and_what_is_set_counts(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100) as folder:
        assert bound_of(load_settings({}), folder) == 50 * 1024 * 1024
        assert bound_of(load_settings({"ORCHARD_EVICT_BYTES": "0"}), folder) == 0
        assert bound_of(load_settings({"ORCHARD_EVICT_BYTES": "7"}), folder) == 7
