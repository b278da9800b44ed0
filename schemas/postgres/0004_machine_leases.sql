-- Machine ids of the id generators. No id is ever made for a millisecond above its row's used_until,
-- and the next holder starts above it: two holders can't collide, whatever any clock does.

CREATE TABLE machine_leases (
    machine_id integer PRIMARY KEY,
    holder     text,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    used_until bigint      NOT NULL DEFAULT 0
);
INSERT INTO machine_leases (machine_id) SELECT generate_series(0, 1023);
