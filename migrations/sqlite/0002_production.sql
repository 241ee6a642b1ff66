-- What came with production mode.
-- E-mail is sent from the outbox, tried again while the server is away, and removed when it is old; so
-- are accounts whose address nobody verified.
ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0; -- how often it was taken to be sent
ALTER TABLE outbox ADD COLUMN next_attempt_at INTEGER NOT NULL DEFAULT 0; -- while queued: nobody takes it before
ALTER TABLE outbox ADD COLUMN error TEXT; -- why the newest attempt failed
CREATE INDEX outbox_due ON outbox (next_attempt_at, id) WHERE status = 'queued';
CREATE INDEX outbox_age ON outbox (created_at) WHERE status <> 'queued';
CREATE INDEX users_unverified ON users (created_at) WHERE email_verified_at IS NULL;

-- The claim that a task is leased by, as its executor named it.
ALTER TABLE tasks ADD COLUMN claim_id BLOB;
