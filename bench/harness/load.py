"""wrk, driven and read: requests per second, latency, errors. Medians of interleaved repeats."""

from __future__ import annotations

import re
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.harness.processes import CLIENT_CORE, pinned

_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class Measurement(msgspec.Struct, frozen=True):
    """One wrk run. `errors` counts socket errors and answers other than 2xx and 3xx."""

    requests_per_second: float
    bytes_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def wrk(
    url: str, *, connections: int, seconds: float, headers: Mapping[str, str], script: Path | None = None
) -> Measurement:
    """One run against a loopback server."""
    if not url.startswith("http://127.0.0.1:"):
        raise ValueError("load goes to 127.0.0.1 only")
    command = [
        *pinned(CLIENT_CORE),
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--latency",
        "--timeout",
        "20s",
    ]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    if script is not None:
        command += ["-s", str(script)]
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 60, check=True)
    return parse(done.stdout)


def parse(text: str) -> Measurement:
    """Read wrk's report."""
    rate = float(_find(r"Requests/sec:\s+([\d.]+)", text))
    amount, unit = re.search(r"Transfer/sec:\s+([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    scale = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}[unit]
    errors = int(_find(r"Non-2xx or 3xx responses: (\d+)", text, "0"))
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    if socket_errors:
        errors += sum(int(count) for count in socket_errors.groups())
    return Measurement(
        requests_per_second=rate,
        bytes_per_second=float(amount) * scale,
        p50_ms=_latency("50%", text),
        p99_ms=_latency("99%", text),
        errors=errors,
    )


def _latency(label: str, text: str) -> float:
    found = re.search(rf"{label}\s+([\d.]+)(us|ms|s|m)", text)
    return float(found.group(1)) * _UNITS[found.group(2)] if found else float("nan")


def _find(pattern: str, text: str, default: str | None = None) -> str:
    found = re.search(pattern, text)
    if found is None:
        if default is None:
            raise ValueError(f"wrk said something unexpected:\n{text}")
        return default
    return found.group(1)


def interleaved(servers: Mapping[str, Callable[[], Measurement]], *, repeats: int) -> dict[str, Measurement]:
    """Run all servers in turn, `repeats` times; the median run (by rate) of each."""
    runs: dict[str, list[Measurement]] = {name: [] for name in servers}
    for _ in range(repeats):
        for name, run in servers.items():
            runs[name].append(run())
    return {name: _median(results) for name, results in runs.items()}


def _median(results: Sequence[Measurement]) -> Measurement:
    ordered = sorted(results, key=lambda each: each.requests_per_second)
    middle = ordered[len(ordered) // 2]
    errors = sum(each.errors for each in results)
    return msgspec.structs.replace(middle, errors=errors)


def median(values: Sequence[float]) -> float:
    """The median, for cold figures."""
    return statistics.median(values)


def distinct_script(path: Path, template: str, count: int) -> Path:
    """A wrk script that asks for `count` different paths in turn; `template` holds one %d form."""
    path.write_text(
        "local n = 0\n"
        "request = function()\n"
        "  n = (n + 7) % " + str(count) + "\n"
        f'  return wrk.format("GET", string.format("{template}", n))\n'
        "end\n"
    )
    return path
