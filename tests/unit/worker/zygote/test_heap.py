from __future__ import annotations

import ctypes

import pytest

from consumerd.worker.zygote.heap import fill_holes

PIECES = 2_000
KEPT = 8
"""More than a thread keeps of one size for itself; of those it has freed, some may be of another thread's heap."""


@pytest.fixture
def libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("only glibc since 2.33 tells where its heap ends")
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    return libc


@pytest.mark.parametrize("size_bytes", [40, 200, 1_000, 5_000])
def test_what_is_allocated_after_the_filling_lies_beyond_what_was_freed_before(
    libc: ctypes.CDLL, size_bytes: int
) -> None:
    kept = [libc.malloc(size_bytes) for _ in range(KEPT)]
    pieces = [libc.malloc(size_bytes) for _ in range(PIECES)]
    for piece in pieces[::2]:
        libc.free(piece)
    fill_holes()
    after = [libc.malloc(size_bytes) for _ in range(100)]
    assert min(after) > max(pieces)
    for piece in (*kept, *pieces[1::2], *after):
        libc.free(piece)
