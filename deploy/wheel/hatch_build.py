"""Gives the wheel its extra `server`: the pins that are tested, without their hashes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PINS = "services/standalone/requirements.txt"


class ServerExtra(MetadataHookInterface):
    """Called by hatchling for `dynamic = ["optional-dependencies"]`."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / PINS).read_text()
        pins = re.findall(r"^([a-z0-9][^\\\n]*?==[^\\\n]*?) *\\?$", text, re.MULTILINE)
        metadata["optional-dependencies"] = {"server": pins}
