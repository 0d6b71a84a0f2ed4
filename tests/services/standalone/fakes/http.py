"""A server that answers its readiness, notes its end in order, and can be told to misbehave."""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from shared.settings import load_settings


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = str(os.getpid()).encode()
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(name: str, port: int) -> None:
    folder = Path(load_settings().data_dir)
    # As a server with worker processes has them: a child that knows nothing of the supervisor.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)

    def end(*_: object) -> None:
        while (folder / f"{name}-hangs").exists():
            time.sleep(0.1)
        with (folder / "ends").open("a") as ends:
            ends.write(f"{name}\n")
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    print(f"{name} listens", flush=True)
    server.serve_forever()
