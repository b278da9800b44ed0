-- What operators decided about dead letters, by the address of the record in Kafka. Rows are needed
-- only as long as the record itself is kept.

CREATE TABLE dead_letter_decisions (
    topic         text COLLATE "C" NOT NULL,
    "partition"   integer     NOT NULL,
    record_offset bigint      NOT NULL,
    decision      text        NOT NULL CHECK (decision IN ('replayed', 'discarded')),
    why           text        NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, "partition", record_offset)
);
