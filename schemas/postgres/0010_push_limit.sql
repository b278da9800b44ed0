-- The adaptive threshold: where it is, and what the writers of feeds measured for it last.

CREATE TABLE push_limit (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    followers  bigint NOT NULL,
    stepped_at bigint NOT NULL  -- when it was last looked at, changed or not
);

CREATE TABLE writer_loads (
    writer      text PRIMARY KEY,
    lag_s       double precision NOT NULL,
    write_s     double precision,  -- of one feed; null before enough were written
    reported_at bigint NOT NULL
);
