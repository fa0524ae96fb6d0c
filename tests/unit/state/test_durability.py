"""Whether the embedded store lasts as long as a source needs it to."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.state.durability import Surroundings, Verdict, filesystem_of, judge, look_around

STATE = Path("/var/lib/consumerd")
DISK = Surroundings("ext4", in_kubernetes=False)
MEMORY = Surroundings("tmpfs", in_kubernetes=False)
CONTAINER = Surroundings("overlay", in_kubernetes=False)
POD = Surroundings("ext4", in_kubernetes=True)
PASSING = [MEMORY, CONTAINER, POD]


def verdict(parking: str | None, where: Surroundings, *, is_positional: bool = True) -> Verdict:
    return judge(parking, is_positional=is_positional, where=where, state_dir=STATE)


def test_on_a_disk_it_is_said_how_lasting_the_store_is() -> None:
    said = verdict(None, DISK)
    assert not said.is_refused
    assert "not the loss of its disk" in said.sentence


@pytest.mark.parametrize("where", PASSING)
def test_a_place_that_passes_is_refused_unless_somebody_wants_it(where: Surroundings) -> None:
    assert verdict(None, where).is_refused
    assert not verdict("embedded", where).is_refused
    assert verdict("embedded", where).sentence


@pytest.mark.parametrize("where", [DISK, *PASSING])
def test_a_source_that_keeps_its_tasks_needs_nothing(where: Surroundings) -> None:
    assert verdict(None, where, is_positional=False) == Verdict()


@pytest.mark.parametrize("where", [DISK, *PASSING])
def test_a_database_of_its_own_is_not_judged(where: Surroundings) -> None:
    assert verdict("mysql://h/d", where) == Verdict()


def test_a_refusal_says_why_and_what_to_do() -> None:
    sentence = verdict(None, MEMORY).sentence
    assert str(STATE) in sentence
    assert "tmpfs" in sentence
    assert "--parking embedded" in sentence


MOUNTS = r"""22 28 0:20 / /proc rw,nosuid - proc proc rw
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
40 28 0:30 / /run rw - tmpfs tmpfs rw
41 28 0:31 / /srv/my\040state rw master:2 - xfs /dev/sdb rw
42 41 0:32 / /srv/my\040state rw - overlay overlay rw"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/run/x/y", "tmpfs"),
        ("/runner", "ext4"),
        ("/srv/my state/d", "overlay"),
        ("/", "ext4"),
    ],
)
def test_the_innermost_and_latest_mount_counts(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind


def test_without_a_table_of_mounts_the_type_is_unknown() -> None:
    assert filesystem_of(Path("/x"), "") == "unknown"


def test_kubernetes_is_known_by_its_variable(state_dir: Path) -> None:
    assert look_around(state_dir, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).in_kubernetes
    assert not look_around(state_dir, {}).in_kubernetes
