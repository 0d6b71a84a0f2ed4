"""A large file into SeaweedFS: in parts as Orchard sends them, and by the SDK's `put_object`.

    python -m bench.s3_uploads

Printed: seconds, CPU seconds and the growth of the sending process in MB.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minio import Minio

from bench.harness import s3_servers
from bench.harness.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY
from shared.objects.port import artifact_key
from shared.objects.s3.config import S3Config
from shared.objects.s3.store import S3ObjectStore
from shared.objects.s3.upload import PART_BYTES, PARTS_AT_ONCE
from shared.process.threads import BoundedThreads

FILE_BYTES = 256 * 1024 * 1024


def _most_memory_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def _in_parts(config: S3Config, path: Path, sha256: str) -> None:
    threads = BoundedThreads(8)
    store = S3ObjectStore(config, threads)
    await store.open()
    await store.put_file(artifact_key(sha256), path, sha256=sha256)
    await store.aclose()
    await threads.aclose()


def _by_the_sdk(config: S3Config, path: Path) -> None:
    sdk = Minio(config.netloc, ACCESS_KEY, SECRET_KEY, secure=False, region=config.region)
    with path.open("rb") as file:
        sdk.put_object(
            BUCKET, "sdk", file, FILE_BYTES, part_size=PART_BYTES, num_parallel_uploads=PARTS_AT_ONCE
        )


def measure(way: str, endpoint: str, path: Path) -> None:
    """One upload in this process."""
    config = S3Config(endpoint=endpoint, bucket=BUCKET, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    before, began, cpu = _most_memory_mb(), time.perf_counter(), time.process_time()
    if way == "parts":
        asyncio.run(_in_parts(config, path, sha256))
    else:
        _by_the_sdk(config, path)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{way:<6} {took:5.1f} s {cpu:5.1f} s CPU {_most_memory_mb() - before:7.0f} MB more", flush=True)


def main() -> None:
    if len(sys.argv) == 4:
        measure(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as name, s3_servers.seaweedfs(Path(name) / "store") as endpoint:
        sdk = Minio(endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False)
        if not sdk.bucket_exists(BUCKET):
            sdk.make_bucket(BUCKET)
        path = Path(name) / "file"
        path.write_bytes(os.urandom(FILE_BYTES))
        for way in ("parts", "sdk", "parts", "sdk"):
            subprocess.run([sys.executable, "-m", "bench.s3_uploads", way, endpoint, str(path)], check=True)


if __name__ == "__main__":
    main()
