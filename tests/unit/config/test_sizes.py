"""Sizes as people write them."""

import pytest

from consumerd.config.sizes import size_bytes


@pytest.mark.parametrize(
    ("written", "size"),
    [("512MiB", 512 * 2**20), ("1.5 GiB", 3 * 2**29), ("64kB", 64_000), ("2GB", 2 * 10**9), ("7B", 7), (9, 9)],
)
def test_a_size_is_a_number_or_a_text_with_its_unit(written: object, size: int) -> None:
    assert size_bytes(written) == size


@pytest.mark.parametrize("written", ["", "512", "many", "-1MiB", "5 TiB", "1e9B", "MiB"])
def test_another_text_is_refused_in_a_sentence(written: str) -> None:
    with pytest.raises(ValueError, match="must be a number of bytes, or a text such as"):
        size_bytes(written)
