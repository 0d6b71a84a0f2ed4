"""Prints services/cli/table.py from the registry: what the command has to know of protocols, which it may not
import."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

import msgspec

from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.resolving.ensure_file import manifests
from shared.resolving.pinned import all_kinds

HEAD = '''\
"""What the command knows of protocols. Generated: `python -m scripts.cli_table > services/cli/table.py`."""

from __future__ import annotations

'''


def main() -> None:
    """Write the module to standard output."""
    out = [HEAD + _tuple("PROTOCOLS", [each.name for each in PROTOCOLS])]
    exports = [name for each in PROTOCOLS for name in each.locks.exports]
    out.append(_tuple("EXPORTS", exports))
    out.append("KINDS = {")
    for name, kind in all_kinds().items():
        mark = f'("{kind.mark.member}", "{kind.mark.begins}")' if kind.mark is not None else "None"
        out.append(f"    {_text(name)}: ({_raw(kind.filename.pattern)}, {mark}),")
    out.append('}\n"""Locks by kind: expressions of their files\' names, and the member that marks one."""\n')
    out.append(_tuple("MANIFESTS", list(manifests())) + '"""What is taken for an ensure file, by kind."""\n')
    out.append("MEMBERS = {")
    out += [f'    "{kind}": "{form.members}",' for kind, (_, form) in manifests().items() if form.members]
    out.append(
        '}\n"""Which of them have members, and under which key the patterns of their folders stand."""\n'
    )
    out.append("CLIENTS = {")
    out += [f'    "{client}": "{each.name}",' for each in PROTOCOLS for client in _clients(each)]
    out.append('}\n"""By the name of a client\'s command: its protocol."""\n\nREQUIREMENTS_IN = {')
    for each in PROTOCOLS:
        if each.locks.table is not None:
            out.append(f'    "{each.name}": ("{each.locks.requirements_in}", {_is_by_name(each)}),')
    out.append('}\n"""Where a table of an ensure file lists requirements, and whether by name."""')
    sys.stdout.write("\n".join(out) + "\n")


def _clients(protocol: PackageProxyBase) -> list[str]:
    module = f"shared.protocols.{protocol.name}.clients"
    return list(import_module(module).CLIENTS) if find_spec(module) is not None else []


def _is_by_name(protocol: PackageProxyBase) -> bool:
    assert protocol.locks.table is not None
    fields = {field.name: field for field in msgspec.structs.fields(protocol.locks.table)}
    return fields[protocol.locks.requirements_in].default_factory is dict


def _text(value: str) -> str:
    return f'"{value}"'


def _raw(value: str) -> str:
    quote = "'" if '"' in value else '"'
    return f"{'r' if chr(92) in value else ''}{quote}{value}{quote}"


def _tuple(name: str, values: list[str]) -> str:
    if len(values) == 1:
        return f'{name} = ("{values[0]}",)\n'  # as ruff lays it out
    lines = "".join(f'    "{value}",\n' for value in values)
    return f"{name} = (\n{lines})\n"


if __name__ == "__main__":
    main()
