"""From the setting `parking` to a store: the embedded file in the state directory, or a database behind a URL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sqlalchemy import URL, inspect

from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolver
from consumerd.config.shape import EMBEDDED
from consumerd.database.causes import may_pass
from consumerd.database.database import Away
from consumerd.database.embedded import EmbeddedDatabase, EmbeddedFile
from consumerd.database.lock import FileLock
from consumerd.database.server import ServerDatabase
from consumerd.database.urls import check_driver, read_url, shown
from consumerd.errors import StoreAwayError, UsageError
from consumerd.parking.presence import has_nothing_in_file, has_nothing_on_server
from consumerd.parking.schema import SCHEMA, check_rights, ensure_schema
from consumerd.parking.store import ParkingStore
from consumerd.parking.thread import StoreThread
from consumerd.state.locks import is_slot_held
from consumerd.state.state_dir import StateDirectory


def resolve_parking(parking: str | None, environ: Mapping[str, str], directory: Path) -> tuple[str | None, Redactor]:
    """The setting `parking` with what its references stand for, and what takes the secrets among that out of a text.

    `file:` is relative to `directory`. UsageError where a reference stands for nothing.
    """
    resolved = Resolver(environ, directory).resolve(parking)
    if resolved.failures:
        raise UsageError(f"`parking` cannot be resolved: {resolved.failures[0][1]}")
    return resolved.value, Redactor(resolved.secrets)


def parking_url(parking: str | None, state_dir: Path) -> URL:
    """Where the parking store is. UsageError where `parking`, resolved, is no URL of a database that we know."""
    if parking is None or parking == EMBEDDED:
        return URL.create("sqlite", database=str(StateDirectory(state_dir).parked_database))
    url = read_url(parking, "parking")
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_absolute():
        raise UsageError("`parking` names a SQLite file that is not absolute: write sqlite:////folder/file")
    return url


def check_parking(parking: str | None, state_dir: Path) -> None:
    """Check that a store can be opened there: that its driver is installed, and takes its options. Nothing is opened.

    UsageError where `parking`, resolved, cannot be understood; MissingExtraError where its driver is not installed.
    """
    check_driver(parking_url(parking, state_dir), "parking")


def ask_parking(parking: str | None) -> None:
    """Connect to the server of the parking store, and check that its user may do what workers do. Nothing is changed.

    UsageError where it refuses; StoreAwayError where it cannot be reached now. A file is not looked at.
    """
    url = parking_url(parking, Path())
    if url.get_backend_name() == "sqlite":
        return
    unusable = f"the parking store {shown(url)} cannot be used"
    database = ServerDatabase(url, lambda cause: StoreAwayError(f"{unusable}: {cause}"))
    try:
        database.read(check_rights)
    except StoreAwayError as error:
        if error.__cause__ is None or may_pass(error.__cause__):
            raise
        raise UsageError(str(error)) from error
    finally:
        database.close()


def open_store(parking: str | None, state_dir: Path, *, is_kept: bool = False) -> ParkingStore:
    """The parking store; it connects at first use. UsageError where `parking` cannot be understood.

    is_kept: the connection to a server stays open from one use to the next.
    """
    url = parking_url(parking, state_dir)
    if url.get_backend_name() != "sqlite":
        return ParkingStore(ServerDatabase(url, _away(shown(url)), ensure_schema, is_kept=is_kept))
    path = Path(url.database or "")
    file = EmbeddedFile(path, is_created=True, journal="persist", prepare=ensure_schema)
    return ParkingStore(EmbeddedDatabase(file, FileLock(path.with_suffix(".lock")), _away(str(path))))


def open_made_store(parking: str | None, state_dir: Path) -> ParkingStore | None:
    """The parking store as it is; None where it was never made: who only asks makes nothing. Raises as above, and
    StoreAwayError.
    """
    url = parking_url(parking, state_dir)
    if url.get_backend_name() == "sqlite":
        return open_store(parking, state_dir) if Path(url.database or "").exists() else None
    store = ParkingStore(ServerDatabase(url, _away(shown(url)), is_kept=True))
    if store.database.read(lambda connection: inspect(connection).has_table(SCHEMA.name)):
        return store
    store.close()
    return None


def open_store_thread(parking: str | None, state_dir: Path) -> StoreThread:
    """The store thread of a worker; nothing runs before the first call. UsageError as above."""
    url = parking_url(parking, state_dir)
    store = partial(open_store, parking, state_dir)
    if url.get_backend_name() == "sqlite":
        is_shared = parking not in (None, EMBEDDED)
        has_nothing = partial(has_nothing_in_file, Path(url.database or ""))
        is_held = partial(is_slot_held, StateDirectory(state_dir))
        return StoreThread(store, has_nothing, is_shared=is_shared, is_slot_held=is_held)
    return StoreThread(store, partial(has_nothing_on_server, url), is_remote=True, is_shared=True)


def _away(where: str) -> Away:
    return lambda cause: StoreAwayError(f"the parking store {where} is away, and what fails stays unfinished: {cause}")
