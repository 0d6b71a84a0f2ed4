"""`python -m bench.replays.refusing PORT COUNTED READY`: an upstream that takes no request.

COUNTED gets a byte for each connection, READY is made once it listens. Ends with a signal.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path


def main() -> None:
    port, counted, ready = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    with socket.create_server(("127.0.0.1", port)) as server, counted.open("ab", buffering=0) as count:
        ready.touch()
        while True:
            connection, _ = server.accept()
            count.write(b"x")
            connection.close()


if __name__ == "__main__":
    main()
