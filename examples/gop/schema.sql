-- GOP's tables, for MariaDB 10.11; schema_sqlite.sql has the same for SQLite. Each statement can be run again.
-- The columns state, due_at, attempts, first_at, lease and settled_at are what consumerd needs of a claimed table.

CREATE TABLE IF NOT EXISTS login_grant (
    platform      INT UNSIGNED    NOT NULL,
    uid           BIGINT UNSIGNED NOT NULL,
    app_id        INT UNSIGNED    NOT NULL,
    last_use_time BIGINT UNSIGNED NOT NULL COMMENT 'seconds since the epoch',
    PRIMARY KEY (platform, uid, app_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS app (
    app_id   INT UNSIGNED NOT NULL,
    endpoint VARCHAR(500) NOT NULL,
    PRIMARY KEY (app_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS app_event (
    id         BIGINT UNSIGNED                 NOT NULL AUTO_INCREMENT,
    app_id     INT UNSIGNED                    NOT NULL,
    name       VARCHAR(100)                    NOT NULL,
    body       TEXT                            NOT NULL,
    state      ENUM ('fresh', 'sent', 'failed') NOT NULL DEFAULT 'fresh',
    created_at DATETIME(6)                     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    KEY fresh_of_app (app_id, state, id),
    KEY by_age (state, created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS account (
    account_id BIGINT UNSIGNED NOT NULL,
    version    BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the last change that was applied',
    level      INT             NOT NULL DEFAULT 1,
    coins      BIGINT          NOT NULL DEFAULT 0,
    is_banned  BOOLEAN         NOT NULL DEFAULT FALSE,
    PRIMARY KEY (account_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS account_change (
    account_id BIGINT UNSIGNED NOT NULL,
    version    BIGINT UNSIGNED NOT NULL COMMENT 'above that of the account: it waits for those before it',
    change_id  VARCHAR(64)     NOT NULL,
    what       VARCHAR(16)     NOT NULL COMMENT 'level, coins or ban',
    value      BIGINT          NOT NULL,
    noted_at   DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (account_id, version)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS account_odd_change (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    account_id BIGINT UNSIGNED NOT NULL,
    version    BIGINT UNSIGNED NOT NULL,
    change_id  VARCHAR(64)     NOT NULL,
    verdict    VARCHAR(16)     NOT NULL COMMENT 'stale, duplicate or gap',
    noted_at   DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS payment (
    payment_id BIGINT UNSIGNED NOT NULL,
    app_id     INT UNSIGNED    NOT NULL,
    account_id BIGINT UNSIGNED NOT NULL,
    channel    VARCHAR(32)     NOT NULL,
    amount     BIGINT          NOT NULL,
    status     VARCHAR(16)     NOT NULL COMMENT 'pending, unknown, paid or declined',
    said_since DOUBLE              NULL COMMENT 'since when the channel says so, in Unix seconds',
    settled_by VARCHAR(16)         NULL COMMENT 'callback or poll: who learned it first',
    settled_on DATETIME(6)         NULL,
    PRIMARY KEY (payment_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS payment_check (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    payment_id BIGINT UNSIGNED NOT NULL,
    channel    VARCHAR(32)     NOT NULL,
    state      VARCHAR(32) COLLATE utf8mb4_bin NOT NULL DEFAULT 'pending',
    due_at     DOUBLE          NOT NULL DEFAULT (UNIX_TIMESTAMP(NOW(6))),
    attempts   INT             NOT NULL DEFAULT 0,
    first_at   DOUBLE              NULL,
    lease      VARCHAR(255) COLLATE utf8mb4_bin NULL,
    settled_at DOUBLE              NULL,
    PRIMARY KEY (id),
    UNIQUE KEY one_each (payment_id),
    KEY due (state, due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS webhook (
    app_id          INT UNSIGNED NOT NULL,
    url             VARCHAR(500) NOT NULL,
    secret          VARCHAR(120) NOT NULL COMMENT 'whsec_ and base64',
    previous_secret VARCHAR(120)     NULL COMMENT 'while the secret is changed: both sign',
    gone_at         DATETIME(6)      NULL COMMENT 'it answered 410: nothing is sent any more',
    PRIMARY KEY (app_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS payment_notification (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    app_id     INT UNSIGNED    NOT NULL,
    payment_id BIGINT UNSIGNED NOT NULL,
    body       TEXT            NOT NULL,
    created_at DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    state      VARCHAR(32) COLLATE utf8mb4_bin NOT NULL DEFAULT 'pending',
    due_at     DOUBLE          NOT NULL DEFAULT (UNIX_TIMESTAMP(NOW(6))),
    attempts   INT             NOT NULL DEFAULT 0,
    first_at   DOUBLE              NULL,
    lease      VARCHAR(255) COLLATE utf8mb4_bin NULL,
    settled_at DOUBLE              NULL,
    PRIMARY KEY (id),
    UNIQUE KEY one_each (payment_id),
    KEY due (state, due_at),
    KEY due_of_app (state, app_id, due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS notification_attempt (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    notification_id BIGINT UNSIGNED NOT NULL,
    app_id          INT UNSIGNED    NOT NULL,
    attempt         INT             NOT NULL,
    status          INT                 NULL COMMENT 'of HTTP, NULL where there was no answer',
    latency_ms      INT             NOT NULL,
    error           VARCHAR(255)        NULL,
    attempted_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    KEY of_notification (notification_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS game_order (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    account_id  BIGINT UNSIGNED NOT NULL,
    item        VARCHAR(64)     NOT NULL,
    amount      BIGINT          NOT NULL,
    state       VARCHAR(16)     NOT NULL DEFAULT 'open' COMMENT 'open or finished',
    finished_at DATETIME(6)         NULL,
    PRIMARY KEY (id),
    KEY by_age (state, finished_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS game_order_archive LIKE game_order;

CREATE TABLE IF NOT EXISTS app_event_archive LIKE app_event;
