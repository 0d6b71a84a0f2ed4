"""The table of processes: who is given which secret."""

from __future__ import annotations

import pytest

from services.standalone.kept_files import Keys
from services.standalone.table import Counts, Modules, gateway_specs, worker_specs
from shared.settings import load_settings


@pytest.mark.parametrize("file", ["", "/kept/log-key"], ids=["told in the environment", "made here"])
def test_secrets__each_process_is_given_its_own_and_no_others(file: str) -> None:
    keys = Keys("token-of-operators", "somewhere", "key-of-sources", file)
    told = (Modules(), Counts(), load_settings({}), {}, keys)
    specs = [*gateway_specs(*told), *worker_specs(*told, set())]
    given = {each.name: each.launch().environment for each in specs}
    of_log = [name for name, env in given.items() if env.get("ORCHARD_LOG_KEY", "inherited") == "inherited"]
    assert of_log == ["extractor"]
    assert given["extractor"].get("ORCHARD_LOG_KEY_FILE", "") == file
    assert given["gateway"]["ORCHARD_LOG_KEY_FILE"] == given["fetcher"]["ORCHARD_LOG_KEY_FILE"] == ""
    for variable, owner in {"ORCHARD_ADMIN_TOKEN": "gateway", "ORCHARD_SECRET_KEY": "fetcher"}.items():
        assert [name for name, env in given.items() if variable in env] == [owner]
