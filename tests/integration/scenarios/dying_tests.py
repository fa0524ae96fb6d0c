"""Tests that take pytest along, for `test_last_words.py`. Nothing collects them of itself."""

import os
import resource
import signal

import pytest


def abort() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it is no finding
    os.abort()


def test_that_goes_well() -> None:
    pass


def test_that_aborts() -> None:
    abort()


def test_that_leaves() -> None:
    os._exit(3)


def test_that_is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_that_fails() -> None:
    pytest.fail("as it should", pytrace=False)


@pytest.fixture(scope="session")
def late_crash() -> object:
    yield
    abort()


def test_whose_server_takes_pytest_along(late_crash: object) -> None:
    pass
