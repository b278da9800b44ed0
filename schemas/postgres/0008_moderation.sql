-- Blocked content: the list of perceptual hashes, the cases of photos that matched, and who decided
-- what about them.

CREATE TABLE blocked_hashes (
    hash     bytea  PRIMARY KEY CHECK (octet_length(hash) = 32),
    source   text   NOT NULL,
    reason   text   NOT NULL,
    added_at bigint NOT NULL
);

-- One row, one up with every change of the list: what was loaded is compared with it.
CREATE TABLE blocklist_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL
);
INSERT INTO blocklist_version (version) VALUES (0);

CREATE TABLE moderation_cases (
    photo_id    text COLLATE "C" PRIMARY KEY,
    user_id     text   NOT NULL,
    opened_at   bigint NOT NULL,
    phash       bytea  NOT NULL,
    matched     bytea  NOT NULL,
    distance    integer NOT NULL,
    source      text   NOT NULL,
    reason      text   NOT NULL,
    kept_key    text   NOT NULL,  -- of the upload's bytes in the uploads bucket, kept for review
    upload      bytea  NOT NULL,  -- the upload.completed event, framed Avro
    status      text   NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'restored', 'upheld'))
);
CREATE INDEX moderation_cases_open ON moderation_cases (opened_at, photo_id) WHERE status = 'open';

-- Append-only: every decision stays.
CREATE TABLE moderation_decisions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    photo_id   text COLLATE "C" NOT NULL REFERENCES moderation_cases,
    decision   text   NOT NULL CHECK (decision IN ('restored', 'upheld')),
    decided_by text   NOT NULL,
    decided_at bigint NOT NULL,
    why        text   NOT NULL CHECK (why <> '')
);
CREATE INDEX moderation_decisions_by_photo ON moderation_decisions (photo_id, id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'decisions are never changed or removed';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON moderation_decisions
    EXECUTE FUNCTION refuse_change();
