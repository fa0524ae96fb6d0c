"""Whether the embedded store lasts as long as a source needs it to, and how the store is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.events.facts import Fact
from consumerd.master.host.durability import Durability, filesystem_of, why_it_passes
from consumerd.model.identity import ConsumerName
from consumerd.wire.messages import Loaded

STATE = Path("/var/lib/consumerd")
DISK = why_it_passes("ext4", {})
PASSING = [
    why_it_passes("tmpfs", {}),
    why_it_passes("overlay", {}),
    why_it_passes("ext4", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
]
NAME = ConsumerName("g", "n")


def judged(parking: str | None, passes: str | None, *, is_positional: bool = True) -> tuple[str | None, list[str]]:
    """Why the store is refused, and the notes that were emitted for two consumers of a kind."""
    facts: list[Fact] = []
    durability = Durability(parking, STATE, passes, facts.append)
    loaded = Loaded("kafka", {"positional": is_positional})
    refusals = {durability.judge(NAME, loaded) for _ in range(2)}
    assert len(refusals) == 1
    return refusals.pop(), [str(fact.fields["note"]) for fact in facts]


def test_on_a_disk_it_is_said_once_how_lasting_the_store_is() -> None:
    refusal, [note] = judged(None, DISK)
    assert refusal is None
    assert "not the loss of its disk" in note


@pytest.mark.parametrize("passes", PASSING)
def test_a_place_that_passes_is_refused_unless_somebody_wants_it(passes: str) -> None:
    refusal, notes = judged(None, passes)
    assert refusal is not None
    assert notes == []
    refusal, [note] = judged("embedded", passes)
    assert refusal is None
    assert note.endswith(f"(and {passes})")


@pytest.mark.parametrize("passes", [DISK, *PASSING])
def test_a_source_that_keeps_its_tasks_needs_nothing(passes: str | None) -> None:
    assert judged(None, passes, is_positional=False) == (None, [])


@pytest.mark.parametrize("passes", [DISK, *PASSING])
def test_a_database_of_its_own_is_not_judged(passes: str | None) -> None:
    assert judged("mysql://h/d", passes) == (None, [])


def test_a_refusal_says_why_and_what_to_do() -> None:
    refusal, _ = judged(None, PASSING[0])
    assert refusal is not None
    assert [part in refusal for part in (str(STATE), "tmpfs", "--parking embedded")] == [True, True, True]


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
def test_the_innermost_and_latest_mount_counts(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert filesystem_of(Path(path), tmp_path / "mountinfo") == kind


def test_without_a_table_of_mounts_the_type_is_unknown(tmp_path: Path) -> None:
    assert filesystem_of(Path("/x"), tmp_path / "mountinfo") == "unknown"
