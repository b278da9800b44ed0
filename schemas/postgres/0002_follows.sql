-- The graph, and the outbox that carries its changes to Kafka in the same commit.

-- Newer is greater for one edge, because a version is taken under the edge's row lock; so no CACHE.
CREATE SEQUENCE edge_version;

CREATE TABLE follows (
    follower_id text COLLATE "C" NOT NULL REFERENCES users,
    followee_id text COLLATE "C" NOT NULL REFERENCES users,
    version     bigint  NOT NULL,
    following   boolean NOT NULL,  -- false: a tombstone, kept so that versions never start again
    changed_at  bigint  NOT NULL,
    PRIMARY KEY (follower_id, followee_id),
    CHECK (follower_id <> followee_id)
);

-- Present edges only, one index a question: each is answered by an index scan in its order.
CREATE INDEX follows_followees ON follows (follower_id, followee_id) WHERE following;
CREATE INDEX follows_followers ON follows (followee_id, follower_id) WHERE following;
CREATE INDEX follows_followees_by_time
    ON follows (follower_id, changed_at DESC, followee_id DESC) INCLUDE (version) WHERE following;
CREATE INDEX follows_followers_by_time
    ON follows (followee_id, changed_at DESC, follower_id DESC) INCLUDE (version) WHERE following;

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic      text        NOT NULL,
    key        bytea       NOT NULL,
    payload    bytea       NOT NULL,
    headers    jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
-- Rows live for milliseconds: vacuum by their number, not by a share of an empty table.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
