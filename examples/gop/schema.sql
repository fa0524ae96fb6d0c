-- GOP's tables, for MariaDB 10.11. Each statement can be run again.

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
    KEY fresh_of_app (app_id, state, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
