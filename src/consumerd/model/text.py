"""What a text can be: whether UTF-8 can write it."""

from __future__ import annotations


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can write a text. A file's name whose bytes the locale cannot read is no such text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
