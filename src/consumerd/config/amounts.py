"""Numbers as people read them, the same wherever they do: counts, rates, durations in seconds, sizes in bytes. Pure."""

from __future__ import annotations


def count(number: float) -> str:
    """`0.25`, `12.3`, `1,234`, `123 k`, `4.5 M`: six characters, unless it is beyond all bounds."""
    for unit, one in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if number >= 0.9995 * one:
            return f"{number / one:.3g} {unit}"
    if number >= 99_999.5:
        return f"{number / 1e3:.0f} k"
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"


def rate(per_second: float) -> str:
    """`0.25/s`, `1,234/s`."""
    return f"{count(max(0.0, per_second))}/s"


def duration(seconds: float) -> str:
    """`0 s`, `2.1 µs`, `35 ms`, `1.2 s`, `12 s`, `5 min`, `3 h`, `4 d`."""
    for unit, one in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * one:
            return f"{seconds / one:.0f} {unit}"
    if seconds <= 0 or seconds >= 0.9995:
        return f"{seconds:.1f} s" if 0 < seconds < 9.95 else f"{max(0.0, seconds):.0f} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 0.9995e-3 else f"{seconds * 1e6:.3g} µs"


def size(size_bytes: float) -> str:
    """`5 B`, `512 MiB`, `1.2 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"
