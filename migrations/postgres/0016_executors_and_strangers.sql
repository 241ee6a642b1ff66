-- The operator's limit of concurrent tasks for each executor. Existing executors keep what they reported last, at
-- least 4.
ALTER TABLE executors ADD COLUMN slot_limit BIGINT NOT NULL DEFAULT 4 CHECK (slot_limit BETWEEN 1 AND 256);
UPDATE executors SET slot_limit = LEAST(slots, 256) WHERE slots > 4;

-- Expiry of a credential; null: valid until it is revoked.
ALTER TABLE executors ADD COLUMN expires_at BIGINT;

-- SHA-256 of the client certificate, in DER, that a credential is bound to; null: not bound.
ALTER TABLE executors ADD COLUMN certificate BYTEA;

-- The tasks that an executor holds.
CREATE INDEX tasks_owner ON tasks (owner) WHERE state = 'leased';

-- E-mails within the last hour to addresses unrelated to the installation, by the network that caused them.
CREATE TABLE stranger_mails (
    id             UUID PRIMARY KEY,
    kind           TEXT COLLATE "C" NOT NULL CHECK (kind IN ('visitor', 'account')), -- who caused it
    network        TEXT COLLATE "C" NOT NULL,           -- a network of IPv4/24 or IPv6/48
    created_at     BIGINT NOT NULL
);
CREATE INDEX stranger_mails_network ON stranger_mails (kind, network, created_at);
CREATE INDEX stranger_mails_age ON stranger_mails (created_at);
