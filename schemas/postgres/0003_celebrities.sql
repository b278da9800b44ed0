-- The sticky flag's durable home, and the operator's live settings.

CREATE TABLE celebrities (
    user_id    text COLLATE "C" PRIMARY KEY,
    followers  bigint NOT NULL,  -- when flagged
    flagged_at bigint NOT NULL
);

CREATE TABLE settings (
    name  text PRIMARY KEY,
    value bigint NOT NULL
);
