"""`orchard completion`: scripts that have the shell ask this command itself what may follow.

So there is one table, the parsers', and an upgraded command needs no new script.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from services.cli.output import Output
from services.cli.parser import build_parser

# Each hands over the words before the cursor, the last one begun. File names, where a file is wanted, are the
# shell's own affair.
_SCRIPTS = {
    "bash": """\
_orchard() {
  local line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    COMPREPLY+=("$line")
  done < <(orchard completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _orchard orchard
""",
    "zsh": """\
#compdef orchard
_orchard() {
  local -a found
  found=("${(@f)$(orchard completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null \\
    | sed 's/:/\\\\:/g; s/\\t/:/')}")
  if [[ -n "$found" ]]; then _describe orchard found; else _files; fi
}
if [[ "$funcstack[1]" == _orchard ]]; then _orchard "$@"; else compdef _orchard orchard; fi
""",
    "fish": """\
complete -c orchard -f -a '(
    set -l words (commandline -opc) (commandline -ct)
    set -l found (orchard completion words -- $words[2..] 2>/dev/null)
    if test -n "$found"; printf "%s\\n" $found; else; __fish_complete_path (commandline -ct); end
)'
""",
}


def run(options: argparse.Namespace, output: Output) -> None:
    """A script, or lines of a word, a tab and what it means."""
    if options.shell in _SCRIPTS:
        output.result(_SCRIPTS[options.shell], _SCRIPTS[options.shell])
        return
    found = list(candidates(build_parser(), options.words or [""]))
    output.result(dict(found), "\n".join(f"{word}\t{text}" for word, text in found))


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the last of `words` may become, with a few words on each; nothing where that is free."""
    *before, begun = words
    if before[:1] == ["help"]:  # what may follow it is a command again
        before = before[1:]
    wanted: argparse.Action | None = None  # the option whose value comes next
    given = 0  # positional arguments of this command
    for word in before:
        if wanted is not None:
            wanted = None
        elif word.startswith("-"):
            option = parser._option_string_actions.get(word)
            wanted = option if option is not None and option.nargs is None else None
        elif (below := _commands(parser)) is not None:
            if word not in below.choices:
                return
            parser, given = below.choices[word], 0
        else:
            given += 1
    if wanted is None and begun.startswith("-"):
        found = {
            name: str(action.help)
            for action in parser._actions
            for name in action.option_strings
            if name.startswith("--")
        }
    elif wanted is None and (below := _commands(parser)) is not None:
        found = {each.dest: str(each.help) for each in below._choices_actions}
    else:
        found = dict.fromkeys(map(str, _choices(wanted or _positional(parser, given))), "")
    for word, text in found.items():
        if word.startswith(begun) and word:
            yield word, " ".join(text.split())


def _commands(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action
    return None


def _positional(parser: argparse.ArgumentParser, number: int) -> argparse.Action | None:
    """The one that argument `number`, from 0, belongs to; the last takes what is left, if it may."""
    actions = [each for each in parser._actions if not each.option_strings]
    if number < len(actions):
        return actions[number]
    return actions[-1] if actions and actions[-1].nargs in ("*", "+") else None


def _choices(action: argparse.Action | None) -> tuple[object, ...]:
    return tuple(action.choices or ()) if action is not None else ()
