"""What the environment says about the servers of the tests."""

import os


def address_variable(server: str) -> str:
    """The variable that names a foreign `kafka`, `mariadb` or `postgres`, to be used instead of one of our own."""
    return f"CONSUMERD_TEST_{server.upper()}"


def foreign_address(server: str) -> str | None:
    """The brokers, or the SQLAlchemy URL, of the foreign server that stands in for ours; None where none is named."""
    return os.environ.get(address_variable(server)) or None


def is_ci() -> bool:
    """Whether a missing server is a failure, not a reason to skip."""
    return os.environ.get("CI") == "true"
