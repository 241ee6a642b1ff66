-- Columns for production mode.
-- E-mail is sent from the outbox, tried again while the server is away, and removed when it is old; so
-- are accounts whose address nobody verified.
ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0; -- attempts to send it
ALTER TABLE outbox ADD COLUMN next_attempt_at INTEGER NOT NULL DEFAULT 0; -- while queued: not before this time
ALTER TABLE outbox ADD COLUMN error TEXT; -- why the newest attempt failed
CREATE INDEX outbox_due ON outbox (next_attempt_at, id) WHERE status = 'queued';
CREATE INDEX outbox_age ON outbox (created_at) WHERE status <> 'queued';
CREATE INDEX users_unverified ON users (created_at) WHERE email_verified_at IS NULL;

-- The claim that leased a task, with the executor's id for it.
ALTER TABLE tasks ADD COLUMN claim_id BLOB;
