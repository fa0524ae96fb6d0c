"""What a message says is to be installed can be, from whatever index there is."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from consumerd.errors import MissingExtraError, install_command

ROOT = Path(__file__).parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_packages_of_an_extra_are_named_with_their_versions(extra: str) -> None:
    python, *pip, install = (words := shlex.split(install_command(extra)))[:4]
    packages = words[4:]
    assert (python, pip, install) == (sys.executable, ["-m", "pip"], "install")
    named = {(found.name.lower(), found.specifier) for found in map(Requirement, packages)}
    assert named == {(found.name.lower(), found.specifier) for found in map(Requirement, EXTRAS[extra])}


def test_what_is_missing_is_named_with_what_it_is_for() -> None:
    told = str(MissingExtraError("A Kafka consumer", "kafka"))
    assert told.startswith("A Kafka consumer needs what the extra `kafka` brings: ")
    assert " -m pip install 'confluent-kafka" in told


def test_an_extra_that_nobody_knows_is_named_all_the_same() -> None:
    assert install_command("other") == "install consumerd with the extra other"
