-- How many tasks an operator lets each executor hold at once. Executors from before keep what they said of
-- themselves last, at least 4.
ALTER TABLE executors ADD COLUMN slot_limit INTEGER NOT NULL DEFAULT 4 CHECK (slot_limit BETWEEN 1 AND 256);
UPDATE executors SET slot_limit = MIN(slots, 256) WHERE slots > 4;

-- Until when a credential is in force; null: until it is revoked.
ALTER TABLE executors ADD COLUMN expires_at INTEGER;

-- SHA-256 of the client certificate, in DER, that a credential is bound to; null: it is bound to none.
ALTER TABLE executors ADD COLUMN certificate BLOB;

-- What an executor holds.
CREATE INDEX tasks_owner ON tasks (owner) WHERE state = 'leased';
