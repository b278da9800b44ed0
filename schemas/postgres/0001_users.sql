-- Accounts and devices. Ids are text that sorts bytewise, times are milliseconds since the epoch, UTC.

CREATE TABLE users (
    user_id         text COLLATE "C" PRIMARY KEY,
    username        text   NOT NULL,
    password_hash   text   NOT NULL,
    display_name    text   NOT NULL,
    bio             text   NOT NULL,
    avatar_photo_id text COLLATE "C",
    created_at      bigint NOT NULL
);
CREATE UNIQUE INDEX users_username ON users (lower(username));

CREATE TABLE devices (
    device_id  text COLLATE "C" PRIMARY KEY,
    user_id    text COLLATE "C" NOT NULL REFERENCES users,
    platform   text   NOT NULL CHECK (platform IN ('apns', 'fcm')),
    token      text   NOT NULL,
    created_at bigint NOT NULL,
    UNIQUE (platform, token)
);
CREATE INDEX devices_user ON devices (user_id);
