"""The state directory: where it is, whose it is, and who it says it is."""

import os
import stat
from pathlib import Path

import pytest

from consumerd.errors import StateDirectoryError
from consumerd.model.identity import ConsumerName
from consumerd.state.host_identity import known_id, machine_id, own_id
from consumerd.state.state_dir import LONGEST_SOCKET_PATH_BYTES, StateDirectory


def located(chosen: str | None, uid: int = 1000, **environ: str) -> Path:
    return StateDirectory.locate(chosen, environ, uid).path


def test_the_default_follows_the_environment() -> None:
    assert located(None, XDG_STATE_HOME="/x", HOME="/h") == Path("/x/consumerd")
    assert located(None, XDG_STATE_HOME="relative", HOME="/h") == Path("/h/.local/state/consumerd")
    assert located(None, HOME="/h") == Path("/h/.local/state/consumerd")
    assert located(None, uid=0, HOME="/root") == Path("/var/lib/consumerd")
    assert located("/chosen", XDG_STATE_HOME="/x") == Path("/chosen")


def test_without_a_home_the_option_is_named() -> None:
    with pytest.raises(StateDirectoryError, match="--state-dir"):
        located(None)


def test_a_path_that_is_not_utf8_names_the_option() -> None:
    with pytest.raises(StateDirectoryError, match=r"not UTF-8.*--state-dir"):
        located("/pr\udcfcfung")


def test_a_socket_path_of_107_bytes_is_the_longest() -> None:
    longest = "/" + "ö" * ((LONGEST_SOCKET_PATH_BYTES - 1 - len("/control.sock")) // 2)
    longest += "x" * (LONGEST_SOCKET_PATH_BYTES - len("/control.sock") - len(longest.encode()))
    assert len(os.fsencode(StateDirectory.locate(longest, {}, 0).control_socket)) == LONGEST_SOCKET_PATH_BYTES
    with pytest.raises(StateDirectoryError, match="--state-dir"):
        located(longest + "x")


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "deep" / "state")
    directory.prepare()
    directory.prepare()
    for made in (directory.path, directory.path / "slots"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_one_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    directory.prepare()
    directory.path.chmod(0o777)
    directory.prepare()
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "somebody's").touch()
    with pytest.raises(StateDirectoryError, match="other things"):
        StateDirectory(tmp_path).prepare()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(StateDirectoryError, match="--state-dir"):
            StateDirectory(path).prepare()


def test_no_two_slots_share_a_lock() -> None:
    directory = StateDirectory(Path("/state"))
    names = [ConsumerName("a.b", "c"), ConsumerName("a", "b.c"), ConsumerName("a", "b.c.1"), ConsumerName("a", "b.c-1")]
    locks = {directory.slot_lock(name, slot) for name in names for slot in (0, 1, 10, 11)}
    assert len(locks) == len(names) * 4


def prepared(path: Path) -> StateDirectory:
    directory = StateDirectory(path)
    directory.prepare()
    return directory


def test_the_id_is_made_once(tmp_path: Path) -> None:
    directory = prepared(tmp_path / "state")
    made = own_id(directory)
    assert own_id(directory) == made
    assert len(made) == 16
    assert int(made, 16) >= 0
    assert stat.S_IMODE(directory.id_file.stat().st_mode) == 0o600


def test_another_machine_gets_another_id_from_the_same_files(tmp_path: Path) -> None:
    directory = prepared(tmp_path / "state")
    assert own_id(directory, machine="one") != own_id(directory, machine="two")


def test_a_copy_on_the_same_machine_gets_another_id(tmp_path: Path) -> None:
    original, copy = prepared(tmp_path / "state"), prepared(tmp_path / "copy")
    made = own_id(original)
    copy.id_file.write_bytes(original.id_file.read_bytes())
    assert (known_id(original), known_id(copy)) == (made, None)
    assert own_id(copy) != made
    assert own_id(original) == made


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"id=", b"bound_to=x\nid=abc", b"id"])
def test_a_spoilt_id_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    directory = prepared(tmp_path / "state")
    directory.id_file.write_bytes(content)
    assert own_id(directory) == own_id(directory)


def test_the_machine_id_itself_is_not_written(tmp_path: Path) -> None:
    directory = prepared(tmp_path / "state")
    own_id(directory)
    assert machine_id() not in directory.id_file.read_text()
