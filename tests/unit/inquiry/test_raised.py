"""What user code raised, as people read it."""

import importlib
import sys
from pathlib import Path

import pytest

from consumerd.inquiry.raised import last_line, traceback_of


def test_an_error_is_its_last_line_on_one_line() -> None:
    assert last_line(RuntimeError("no\n  database"), "/") == "RuntimeError: no database"


def test_the_last_line_is_the_error_and_not_its_note_and_a_group_names_its_errors() -> None:
    error = RuntimeError("no database")
    error.add_note("see the wiki")
    assert last_line(error, "/") == "RuntimeError: no database"
    group = ExceptionGroup("both are gone", [KeyError("alpha"), KeyError("beta")])
    assert last_line(group, "/").endswith("; KeyError: 'alpha'; KeyError: 'beta'")


@pytest.mark.parametrize(("directory", "shown"), [("/site", "jobs/login.py"), ("/other", "/site/jobs/login.py")])
def test_what_does_not_parse_is_named_with_its_place(directory: str, shown: str) -> None:
    error = SyntaxError("invalid syntax", ("/site/jobs/login.py", 7, 1, "class = 3", 7, 2))
    assert last_line(error, directory) == f"SyntaxError: invalid syntax ({shown}, line 7)"


def test_a_text_that_came_from_no_file_has_no_place() -> None:
    assert last_line(SyntaxError("invalid syntax"), "/") == "SyntaxError: invalid syntax"


def test_a_traceback_has_no_frame_of_the_import_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outer_raises.py").write_text("try:\n    import inner_raises\nfinally:\n    1 / 0\n")
    (tmp_path / "inner_raises.py").write_text("raise KeyError('deep')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module("outer_raises")
    text = traceback_of(caught.value)
    assert "importlib" not in text.replace("importlib.import_module", "")
    assert ["raise KeyError('deep')" in text, "1 / 0" in text, "test_raised.py" in text] == [True, True, True]
    assert "inner_raises" not in sys.modules
