-- The tables of schema.sql, for SQLite: what the tests and `make gop-lite` run on. Each statement can be run again.

CREATE TABLE IF NOT EXISTS login_grant (
    platform      INTEGER NOT NULL,
    uid           INTEGER NOT NULL,
    app_id        INTEGER NOT NULL,
    last_use_time INTEGER NOT NULL,
    PRIMARY KEY (platform, uid, app_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS app (
    app_id   INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS app_event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id     INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'fresh',
    created_at TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS app_event_fresh_of_app ON app_event (app_id, state, id);
CREATE INDEX IF NOT EXISTS app_event_by_age ON app_event (state, created_at);

CREATE TABLE IF NOT EXISTS account (
    account_id INTEGER PRIMARY KEY,
    version    INTEGER NOT NULL DEFAULT 0,
    level      INTEGER NOT NULL DEFAULT 1,
    coins      INTEGER NOT NULL DEFAULT 0,
    is_banned  INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS account_change (
    account_id INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    change_id  TEXT    NOT NULL,
    what       TEXT    NOT NULL,
    value      INTEGER NOT NULL,
    noted_at   TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (account_id, version)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS account_odd_change (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    change_id  TEXT    NOT NULL,
    verdict    TEXT    NOT NULL,
    noted_at   TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE IF NOT EXISTS payment (
    payment_id INTEGER PRIMARY KEY,
    app_id     INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    channel    TEXT    NOT NULL,
    amount     INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    said_since REAL,
    settled_by TEXT,
    settled_on TEXT
);

CREATE TABLE IF NOT EXISTS payment_check (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_id INTEGER NOT NULL UNIQUE,
    channel    TEXT    NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'pending',
    due_at     REAL    NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0),
    attempts   INTEGER NOT NULL DEFAULT 0,
    first_at   REAL,
    lease      TEXT,
    settled_at REAL
);
CREATE INDEX IF NOT EXISTS payment_check_due ON payment_check (state, due_at);

CREATE TABLE IF NOT EXISTS webhook (
    app_id          INTEGER PRIMARY KEY,
    url             TEXT NOT NULL,
    secret          TEXT NOT NULL,
    previous_secret TEXT,
    gone_at         TEXT
);

CREATE TABLE IF NOT EXISTS payment_notification (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id     INTEGER NOT NULL,
    payment_id INTEGER NOT NULL UNIQUE,
    body       TEXT    NOT NULL,
    created_at TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP,
    state      TEXT    NOT NULL DEFAULT 'pending',
    due_at     REAL    NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0),
    attempts   INTEGER NOT NULL DEFAULT 0,
    first_at   REAL,
    lease      TEXT,
    settled_at REAL
);
CREATE INDEX IF NOT EXISTS payment_notification_due ON payment_notification (state, due_at);
CREATE INDEX IF NOT EXISTS payment_notification_due_of_app ON payment_notification (state, app_id, due_at)
    WHERE state = 'pending';

CREATE TABLE IF NOT EXISTS notification_attempt (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    notification_id INTEGER NOT NULL,
    app_id          INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    status          INTEGER,
    latency_ms      INTEGER NOT NULL,
    error           TEXT,
    attempted_at    TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS attempts_of_notification ON notification_attempt (notification_id);

CREATE TABLE IF NOT EXISTS game_order (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  INTEGER NOT NULL,
    item        TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'open',
    finished_at TEXT
);
CREATE INDEX IF NOT EXISTS game_order_by_age ON game_order (state, finished_at);

CREATE TABLE IF NOT EXISTS game_order_archive (
    id          INTEGER PRIMARY KEY,
    account_id  INTEGER NOT NULL,
    item        TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    finished_at TEXT
);

CREATE TABLE IF NOT EXISTS app_event_archive (
    id         INTEGER PRIMARY KEY,
    app_id     INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    created_at TEXT    NOT NULL
);
