"""Which errors are retried, and which are dead at once."""

from __future__ import annotations

import abc

from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.by_error import ByError, Listed

KINDS = (Exception, OSError, ConnectionError, ConnectionResetError, TimeoutError, ValueError, UnicodeDecodeError)
kinds = st.sampled_from(KINDS)


@given(st.sets(kinds), st.sets(kinds), kinds)
def test_the_nearest_class_of_both_lists_counts(
    retry_on: set[type[Exception]], dead_on: set[type[Exception]], kind: type[Exception]
) -> None:
    dead_on -= retry_on
    found = ByError(tuple(retry_on), tuple(dead_on)).list_of(kind)
    nearest = next((base for base in kind.__mro__ if base in retry_on | dead_on), None)
    if nearest is None:
        assert found is (Listed.LEFT_OUT if retry_on else Listed.RETRIED)
    else:
        assert found is (Listed.RETRIED if nearest in retry_on else Listed.DEAD_ON)


def test_a_class_that_others_are_registered_with_is_the_farthest() -> None:
    class Foreign(Exception, metaclass=abc.ABCMeta): ...  # noqa: N818 - a family of errors of other libraries

    Foreign.register(KeyError)
    assert ByError(dead_on=(Foreign,)).list_of(KeyError) is Listed.DEAD_ON
    assert ByError((LookupError,), (Foreign,)).list_of(KeyError) is Listed.RETRIED
