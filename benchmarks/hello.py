"""What a worker of the restart benchmark writes at its first task."""

from __future__ import annotations

import struct

HELLO = struct.Struct("=IIq")
"""slot, pid, monotonic nanoseconds"""
