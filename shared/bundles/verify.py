"""The stand-alone verifier, which `/tlog/verify.pyz` is: what `shared.tlog.verify` checks, and bundles.

    python3 verify.pyz bundle BUNDLE [FILE …] --key KEY

Without FILE all of the bundle is checked: its objects, and that the log has admitted each file of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.bundles.form import BundleRefused, read_head
from shared.bundles.proving import BundleProofs, NotInBundle, check_objects
from shared.tlog import verify
from shared.tlog.dsse import statement_about
from shared.tlog.notes import Checkpoint, Key
from shared.tlog.trees import Unproven


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 proven, 1 not proven; 2 ends the process for wrong use."""
    parser, commands = verify.parser()
    command = commands.add_parser("bundle")
    command.set_defaults(run=_bundle, after="")
    command.add_argument("bundle")
    command.add_argument("files", nargs="*")
    command.add_argument("--key", required=True, help="who is to have signed it, name+id+base64")
    return verify.main(arguments, parser)


def _bundle(options: argparse.Namespace, key: Key, _: Checkpoint | None) -> str:
    try:
        with Path(options.bundle).open("rb") as file:
            head = read_head(file.read)
            proofs = BundleProofs(head, key)
            digests = [verify.sha256_of(each) for each in options.files] or proofs.files
            stated = 0
            for sha256 in digests:
                proofs.check(sha256)
                stated += statement_about(proofs.envelopes(sha256), sha256, key) is not None
            carried, left_out = (0, 0) if options.files else check_objects(file.read, head)
    except (BundleRefused, NotInBundle) as error:
        raise Unproven(str(error)) from None
    whole = "" if options.files else f"; {carried} objects, {left_out} left out"
    size = proofs.checkpoint.size
    return f"proven: {len(digests)} files in a log of {size} entries, {stated} of them stated{whole}"


if __name__ == "__main__":
    sys.exit(main())
