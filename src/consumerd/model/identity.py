"""Names: of groups, consumers, and the targets of verbs; which texts can be written."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def is_name(text: str) -> bool:
    """A group's or consumer's name: a letter, then up to 63 letters, digits, `_`, `.` or `-`."""
    return NAME_PATTERN.fullmatch(text) is not None


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can write a text. A file's name whose bytes the locale cannot read is no such text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True, order=True)
class ConsumerName:
    """`group/name`, unique under one master."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"

    @property
    def dotted(self) -> str:
        """`group.name` with the dots within each doubled, so that `a.b/c` and `a/b.c` differ where `/` cannot stand."""
        return ".".join(part.replace(".", "..") for part in (self.group, self.name))

    @classmethod
    def parse(cls, text: str) -> ConsumerName:
        """The inverse of `str`; the text comes from consumerd itself."""
        group, _, name = text.partition("/")
        assert is_name(group), text
        assert is_name(name), text
        return cls(group, name)

    def matches(self, target: str) -> bool:
        """Whether a verb's TARGET, a group or `group/name`, means this consumer."""
        return target in (self.group, str(self))
