"""Reads a Dockerfile as far as tests need it: stages, their instructions, ENV."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Stage:
    """One `FROM` and what follows it, in order: (instruction, rest of the line)."""

    image: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction."""
        return [rest for name, rest in self.instructions if name == instruction]

    def one(self, instruction: str) -> str:
        """The arguments of the only such instruction."""
        found = self.all(instruction)
        assert len(found) == 1, f"expected one {instruction}, found {found}"
        return found[0]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = (word.partition("=") for line in self.all("ENV") for word in shlex.split(line))
        return {name: value for name, _, value in pairs}


def read_dockerfile(path: Path) -> list[Stage]:
    """The stages of a Dockerfile, last one final."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", "", text)
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            words = rest.split()
            stages.append(Stage(words[0], words[2] if len(words) > 2 else ""))
        elif stages:
            stages[-1].instructions.append((instruction, rest.strip()))
    return stages
