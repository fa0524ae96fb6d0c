"""What a user's `iterate_task` yields: (offset, record)."""

from __future__ import annotations

from consumerd.errors import SourceRefusedError

LARGEST_OFFSET = 2**63 - 1


def parted(yielded: object) -> tuple[int, object]:
    """The pair. SourceRefusedError where it is none, or its offset is no whole number of 64 bits."""
    match yielded:
        case (int() as offset, record) if -LARGEST_OFFSET <= offset <= LARGEST_OFFSET:
            return offset, record
    raise SourceRefusedError(
        f"iterate_task yielded {type(yielded).__name__}, not (offset, record) whose offset is a whole number of "
        f"64 bits: let it yield such pairs"
    )
