"""Loading a configuration: CONFIG, as it is named on the command line, to a valid Document."""

from __future__ import annotations

import os
from collections.abc import Mapping

from consumerd.config.documents import read_document
from consumerd.config.problems import raise_problems
from consumerd.config.shape import Document
from consumerd.config.validate import Validated, validate


def examine(config: str, environ: Mapping[str, str] | None = None) -> Validated:
    """Read and check CONFIG, a file or `module:NAME`; raises nothing about it, for `check` wants all problems."""
    return validate(read_document(config), os.environ if environ is None else environ)


def load(config: str, environ: Mapping[str, str] | None = None) -> Document:
    """The configuration, valid, or ConfigurationError with one line for each mistake.

    The common keys are resolved; `configs` stays as written.
    """
    validated = examine(config, environ)
    raise_problems(validated.problems)
    assert validated.document is not None, "a document without a problem was read"
    return validated.document
