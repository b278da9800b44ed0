-- The post of a pulled author is the one whose fan-out tells the followers; `told` once it has read
-- whom to tell. Until then each further post tells them.

ALTER TABLE pulled_authors ADD COLUMN told boolean NOT NULL DEFAULT false;
