-- A user's receiver of signed calls, and how its last calls went. Times are milliseconds since the epoch, UTC.

CREATE TABLE webhooks (
    user_id       text COLLATE "C" PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    url           text   NOT NULL,
    secret        bytea  NOT NULL,  -- encrypted
    set_at        bigint NOT NULL,
    failures      bigint NOT NULL DEFAULT 0,  -- in a row
    failing_since bigint,
    failed_at     bigint,
    failure       text,
    disabled_at   bigint
);
