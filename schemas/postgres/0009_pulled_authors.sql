-- Authors whose posts readers pull, each with the post it began with. Rows stay: after the flag is
-- cleared, the posts that were pulled still are.

CREATE TABLE pulled_authors (
    user_id text COLLATE "C" PRIMARY KEY,
    post_id text COLLATE "C" NOT NULL
);
