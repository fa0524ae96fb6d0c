"""Sizes as people write them."""

import pytest

from consumerd.config.sizes import size_bytes, size_text


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


def test_a_size_is_shown_in_the_unit_that_fits() -> None:
    assert [size_text(size) for size in (5, 2**20, 300 * 2**20, 3 * 2**30)] == ["5 B", "1 MiB", "300 MiB", "3.0 GiB"]
