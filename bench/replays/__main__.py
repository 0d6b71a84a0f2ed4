"""Real projects, recorded, sealed, and built again where there is nothing but what the seal holds.

    python -m bench.replays                     # all projects, then what recording costs
    python -m bench.replays --only mvn pip      # projects of these clients
    python -m bench.replays --cost              # what recording costs, alone

Each is recorded through one standalone Orchard before this machine's registries (`orchard build exec`),
sealed, and written into a bundle. Then all that the build left is removed, an Orchard with an empty folder is
started in a network namespace that has nothing but a loopback, with upstreams that count connections and
refuse them, the bundle is imported (so that there is no other row and no other object), and the build runs
again beside it, with empty caches. Every file of the project and of the clients' caches is compared, byte for
byte. At last the project wants one thing more, which was not recorded: it must fail, and name that.
"""

from __future__ import annotations

import argparse
import signal
import sys

from bench.harness.table import print_figures
from bench.harness.work_folders import work_folder
from bench.replays import cost
from bench.replays.places import namespaces
from bench.replays.projects import PROJECTS
from bench.replays.suite import measure


def main() -> int:
    """Exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.replays", description=__doc__.splitlines()[0])
    clients = [each.client for each in PROJECTS]
    parser.add_argument("--only", nargs="+", metavar="CLIENT", choices=clients, help=", ".join(clients))
    parser.add_argument("--cost", action="store_true", help="measure what recording costs, alone")
    parser.add_argument("--no-cost", action="store_true", help="leave that out")
    parser.add_argument("--runs", type=int, default=cost.RUNS, help="of each, for the cost")
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    options = parser.parse_args()
    if not namespaces():
        print("no network namespaces can be made here (unshare --user --net, nsenter, ip)", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, as by Ctrl-C
    projects = [each for each in PROJECTS if not options.only or each.client in options.only]
    with work_folder("replays", keep=options.keep) as work:
        figures = measure(work, projects, 0 if options.no_cost else options.runs, again=not options.cost)
    print_figures("replays", figures)
    return 0 if all(each.met is not False for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
