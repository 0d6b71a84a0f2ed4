"""Tells the C library to keep what it frees: streams allocate and free the same buffers all the time.

By default glibc gives every buffer of 128 KiB and more back to the kernel, and gets it again as empty
pages. Measured on 1 MB files from S3: 1.57 s of CPU per GB, a fifth of it page faults; 1.24 without.
"""

from __future__ import annotations

import contextlib
import ctypes

KEPT_BYTES = 64 * 1024 * 1024  # at most, of what is free at the heap's end
OWN_MAPPING_BYTES = 32 * 1024 * 1024  # only larger blocks are mapped by themselves (glibc's upper limit)
_M_TRIM_THRESHOLD = -1  # mallopt(3)
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """For this process, from now on; does nothing where the C library has no mallopt."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
