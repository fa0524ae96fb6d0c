import pytest

from consumerd.master.host.durability import shown_parking


@pytest.mark.parametrize(
    ("parking", "shown"),
    [
        (None, "embedded"),
        ("embedded", "embedded"),
        ("mysql+pymysql://app:${DB_PASSWORD}@db/tasks", "mysql+pymysql://app:${DB_PASSWORD}@db/tasks"),
        ("${PARKING_URL}", "${PARKING_URL}"),
        ("postgresql://db/tasks?user=app&password=hunter2&x=1", "postgresql://db/tasks?user=app&password=***&x=1"),
        ("mysql://db/tasks?sslPassword=hunter2", "mysql://db/tasks?sslPassword=***"),
        ("postgresql://app:hunter2@db:5432/tasks", "postgresql://app:***@db:5432/tasks"),
        ("postgresql://app@db:5432/tasks", "postgresql://app@db:5432/tasks"),
        ("postgresql://app:p@ss$1/2@db/tasks", "postgresql://app:***@db/tasks"),
    ],
)
def test_the_parking_store_is_shown_as_it_is_written_but_for_a_password(parking: str | None, shown: str) -> None:
    assert shown_parking(parking) == shown
