"""Reading CONFIG: files of every kind that should not be there."""

import os
from pathlib import Path

import pytest

from consumerd.config.documents import read_document
from consumerd.config.loading import load
from consumerd.errors import ConfigurationError


def sentence(config: Path | str) -> str:
    written = read_document(str(config))
    assert written.data is None
    [problem] = written.problems
    assert problem.path == ()
    return problem.sentence


def file(directory: Path, name: str, content: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = file(tmp_path, "a.toml", '[[g]]\nclass = "m:C"\nconfigs = {workers = 2}\n')
    json = file(tmp_path, "a.json", '{"g": [{"class": "m:C", "configs": {"workers": 2}}]}')
    assert (
        read_document(str(toml)).data
        == read_document(str(json)).data
        == {"g": [{"class": "m:C", "configs": {"workers": 2}}]}
    )


def test_a_loaded_document_knows_its_directory(tmp_path: Path) -> None:
    document = load(str(file(tmp_path, "a.toml", '[[g]]\nclass = "m:C"\n')), {})
    assert document.directory == tmp_path
    assert document.origin == str(tmp_path / "a.toml")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert read_document(str(file(tmp_path, "a.json", b"\xef\xbb\xbf{}"))).data == {}


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.toml", "a = 1\nb = = 2\n", ["not valid TOML", "line 2, column 5"]),
        ("a.toml", "[[g]]\n[[g", ["not valid TOML"]),
        ("a.toml", "a = 1\na = 2\n", ["not valid TOML", "line 2"]),
        ("a.json", '{"a":\n 1,}', ["not valid JSON", "line 2, column 4"]),
        ("a.json", "", ["not valid JSON", "line 1"]),
        ("a.json", b'{"a": "\xff"}', ["not UTF-8", "line 1"]),
        ("a.toml", b"a = 1\nb = '\xe4'", ["not UTF-8", "line 2"]),
        ("a.json", "[" * 100_000, ["nested more than"]),
        ("a.toml", "a = " + "[" * 100_000, ["nested more than"]),
        ("a.json", "9" * 10_000, ["too many digits"]),
        ("a.json", b" " * 5_000_000, ["more than"]),
    ],
)
def test_a_file_that_cannot_be_read_says_where(
    tmp_path: Path, name: str, content: str | bytes, parts: list[str]
) -> None:
    found = sentence(file(tmp_path, name, content))
    assert all(part in found for part in parts), found


def test_nan_is_reported_with_its_path(tmp_path: Path) -> None:
    written = read_document(str(file(tmp_path, "a.json", '{"g": [{"configs": {"x": NaN}}]}')))
    assert [problem.path for problem in written.problems] == [("g", 0, "configs", "x")]


def test_a_key_that_stands_twice_is_reported_with_its_path(tmp_path: Path) -> None:
    written = read_document(str(file(tmp_path, "a.json", '{"g": [], "g": []}')))
    assert [problem.path for problem in written.problems] == [("g",)]


def test_a_file_that_is_not_there_brings_the_one_that_is_to_mind(tmp_path: Path) -> None:
    file(tmp_path, "consumers.toml", "")
    assert f"did you mean '{tmp_path}/consumers.toml'?" in sentence(tmp_path / "consumer.toml")
    assert "check the path" in sentence(tmp_path / "nowhere" / "a.toml")


@pytest.mark.parametrize("name", ["jobs.json", "jbs.toml"])
def test_files_are_alike_by_their_names_without_suffix(tmp_path: Path, name: str) -> None:
    file(tmp_path, "jobs.toml", "")
    assert f"did you mean '{tmp_path}/jobs.toml'?" in sentence(tmp_path / name)
    assert "check the path" in sentence(tmp_path / "mails.toml")


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_name_without_its_suffix_brings_the_file_to_mind(tmp_path: Path, suffix: str) -> None:
    file(tmp_path, f"jobs{suffix}", "")
    assert f"did you mean '{tmp_path}/jobs{suffix}'?" in sentence(tmp_path / "jobs")


def test_a_directory_and_a_fifo_and_a_device_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "d.toml").mkdir()
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    assert "is a directory" in sentence(tmp_path / "d.toml")
    assert "not a regular file" in sentence(tmp_path / "fifo.toml")
    assert "not a regular file" in sentence(tmp_path / "device.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = file(tmp_path, "a.toml", "")
    path.chmod(0)
    assert "Permission denied" in sentence(path)


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("a.yaml", "YAML is not read"),
        ("settings.py", "named by its object, module:NAME"),
        ("settings", "a .toml or .json file, or a Python object"),
        ("a b:C", "a .toml or .json file, or a Python object"),
        ("nul\0.toml", "cannot be read"),
    ],
)
def test_other_names_are_no_configuration(config: str, part: str) -> None:
    assert part in sentence(config)


@pytest.mark.parametrize("name", [b"pr\xfcfung.toml", b"pr\xfcfung/config.toml"])
def test_a_path_that_is_not_utf8_is_one_sentence(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    [problem] = read_document(str(path)).problems
    assert problem.sentence.startswith("its path is not UTF-8")


def test_an_unreadable_file_is_one_line_with_exit_code_2(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(str(tmp_path / "none.toml"))
    assert str(caught.value) == f"{tmp_path}/none.toml: there is no such file: check the path"
    assert caught.value.exit_code == 2
