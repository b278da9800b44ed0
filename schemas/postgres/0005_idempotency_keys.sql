-- First answers of unsafe calls.

CREATE TABLE idempotency_keys (
    user_id     text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint text        NOT NULL,
    status      integer     NOT NULL DEFAULT 0,  -- 0: the first call still runs
    body        bytea       NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
