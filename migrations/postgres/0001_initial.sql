-- The first schema. Ids are UUIDv7, times microseconds since the epoch in UTC, JSON is text: it is
-- returned unchanged, including key order and numbers, which jsonb does not do.
-- Every tenant table carries team_id, and its references to other tenant tables name the team too:
-- a row cannot refer to another team, whatever the code does.

-- Terminal statuses are absorbing, whatever the code does.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation'; END $$;

CREATE TABLE users (
    id             UUID PRIMARY KEY,
    email          TEXT COLLATE "C" NOT NULL,           -- as typed; compared case-folded
    email_folded   TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    password_hash  TEXT COLLATE "C" NOT NULL,           -- PHC string, argon2id
    email_verified_at BIGINT,
    last_login_at  BIGINT,
    created_at     BIGINT NOT NULL,
    deleted_at     BIGINT
);
CREATE UNIQUE INDEX users_email ON users (email_folded) WHERE deleted_at IS NULL;
CREATE INDEX users_unverified ON users (created_at) WHERE email_verified_at IS NULL;

-- A login. Its refresh token rotates: the newest works once, an older one ends the session.
CREATE TABLE sessions (
    id             UUID PRIMARY KEY,
    user_id        UUID    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    refresh_hash   BYTEA    NOT NULL,           -- SHA-256 of the newest refresh token
    generation     BIGINT NOT NULL,           -- counts the rotations
    user_agent     TEXT COLLATE "C",
    created_at     BIGINT NOT NULL,
    refreshed_at   BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    revoked_at     BIGINT
);
CREATE INDEX sessions_user ON sessions (user_id);

-- E-mail verification, password reset, stream tickets: used once, stored as hashes.
CREATE TABLE one_time_tokens (
    hash           BYTEA PRIMARY KEY,           -- SHA-256
    purpose        TEXT COLLATE "C" NOT NULL CHECK (purpose IN ('verify_email', 'reset_password', 'stream')),
    user_id        UUID    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    subject        TEXT COLLATE "C" NOT NULL DEFAULT '', -- for a stream: the path
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT
);
CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at);

CREATE TABLE teams (
    id             UUID PRIMARY KEY,
    name           TEXT COLLATE "C" NOT NULL,
    data_key       BYTEA    NOT NULL,           -- the team's key, sealed by the master key `key_id`
    key_id         TEXT COLLATE "C" NOT NULL,
    max_running    BIGINT NOT NULL DEFAULT 5,
    max_queued     BIGINT NOT NULL DEFAULT 1000,
    created_at     BIGINT NOT NULL,
    deleted_at     BIGINT
);

CREATE TABLE memberships (
    team_id        UUID    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id        UUID    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role           TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE boards (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name           TEXT COLLATE "C" NOT NULL,
    description    TEXT COLLATE "C" NOT NULL DEFAULT '',
    archived_at    BIGINT,
    kv_bytes       BIGINT NOT NULL DEFAULT 0, -- size of its kv_entries; maintained by triggers, so it never drifts
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    deleted_at     BIGINT,
    UNIQUE (team_id, id)
);
CREATE UNIQUE INDEX boards_name ON boards (team_id, name) WHERE deleted_at IS NULL;

CREATE TABLE pipelines (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    board_id       UUID    NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    published_version BIGINT,
    latest_version BIGINT,
    config_revision BIGINT NOT NULL DEFAULT 0, -- raised by every change of its scripts' configuration
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    deleted_at     BIGINT,
    UNIQUE (team_id, id),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX pipelines_name ON pipelines (board_id, name) WHERE deleted_at IS NULL;

CREATE TABLE pipeline_versions (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    pipeline_id    UUID    NOT NULL,
    number         BIGINT NOT NULL,
    definition     TEXT COLLATE "C" NOT NULL,           -- the document, JSON
    message        TEXT COLLATE "C" NOT NULL DEFAULT '',
    author_id      UUID REFERENCES users (id) ON DELETE SET NULL,
    created_at     BIGINT NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (pipeline_id, number),
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE
);

CREATE TABLE scripts (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    pipeline_id    UUID    NOT NULL,
    path           TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (pipeline_id, path),
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE
);

-- Sources, by content; shared within a team only, so that nobody learns another team's sources.
CREATE TABLE script_versions (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    sha256         BYTEA    NOT NULL,
    source         TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (team_id, sha256)
);

-- The sources of a pipeline version.
CREATE TABLE pipeline_version_scripts (
    team_id        UUID    NOT NULL,
    version_id     UUID    NOT NULL,
    script_id      UUID    NOT NULL,
    script_version_id UUID NOT NULL,
    PRIMARY KEY (version_id, script_id),
    FOREIGN KEY (team_id, version_id) REFERENCES pipeline_versions (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, script_id) REFERENCES scripts (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, script_version_id) REFERENCES script_versions (team_id, id)
);

-- Every revision of every value. The newest of a key is in force; a run reads plain values at the
-- pipeline's config_revision it started with, secrets at the newest.
CREATE TABLE configurations (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    script_id      UUID    NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    revision       BIGINT NOT NULL,           -- counts the changes of this key
    config_revision BIGINT NOT NULL,          -- the pipeline's, after this change
    secret         BOOLEAN NOT NULL,
    plain          TEXT COLLATE "C",                       -- a plain value
    sealed         BYTEA,                       -- nonce and ciphertext of a secret
    removed        BOOLEAN NOT NULL DEFAULT FALSE, -- this change removed the key
    author_id      UUID REFERENCES users (id) ON DELETE SET NULL,
    created_at     BIGINT NOT NULL,
    UNIQUE (script_id, key, revision),
    CHECK (removed OR (secret AND sealed IS NOT NULL AND plain IS NULL) OR (NOT secret AND plain IS NOT NULL AND sealed IS NULL)),
    FOREIGN KEY (team_id, script_id) REFERENCES scripts (team_id, id) ON DELETE CASCADE
);

CREATE TABLE schedules (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    pipeline_id    UUID    NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    cron           TEXT COLLATE "C" NOT NULL,
    timezone       TEXT COLLATE "C" NOT NULL,
    misfire        TEXT COLLATE "C" NOT NULL CHECK (misfire IN ('run_once', 'skip')),
    overlap        TEXT COLLATE "C" NOT NULL CHECK (overlap IN ('skip', 'allow')),
    next_fire_at   BIGINT,                    -- null if it never fires again
    created_at     BIGINT NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (pipeline_id, name),
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE
);
CREATE INDEX schedules_due ON schedules (next_fire_at) WHERE next_fire_at IS NOT NULL;

CREATE TABLE runs (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    board_id       UUID    NOT NULL,
    pipeline_id    UUID    NOT NULL,
    version_id     UUID    NOT NULL,
    version        BIGINT NOT NULL,
    pipeline_name  TEXT COLLATE "C" NOT NULL,
    config_revision BIGINT NOT NULL,
    status         TEXT COLLATE "C" NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'timed_out')),
    error          TEXT COLLATE "C",
    params         TEXT COLLATE "C" NOT NULL,
    seed           BYTEA    NOT NULL,           -- 32 random bytes, from which the scripts' randomness is derived
    last_seq       BIGINT NOT NULL DEFAULT 0,
    event_bytes    BIGINT NOT NULL DEFAULT 0, -- size of its run_events
    journal_calls  BIGINT NOT NULL DEFAULT 0, -- rows in host_calls
    journal_bytes  BIGINT NOT NULL DEFAULT 0, -- size of their answers
    concurrency_limit BIGINT,                 -- from the document: concurrent runs of the pipeline
    started_by     UUID REFERENCES users (id) ON DELETE SET NULL,
    schedule_id    UUID REFERENCES schedules (id) ON DELETE SET NULL,
    fire_at        BIGINT,
    created_at     BIGINT NOT NULL,
    started_at     BIGINT,
    finished_at    BIGINT,
    UNIQUE (team_id, id),
    UNIQUE (schedule_id, fire_at),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, version_id) REFERENCES pipeline_versions (team_id, id)
);
CREATE INDEX runs_pipeline ON runs (pipeline_id, id);
CREATE INDEX runs_team ON runs (team_id, id);
CREATE INDEX runs_active ON runs (team_id, status) WHERE status IN ('queued', 'running', 'waiting');
CREATE TRIGGER runs_terminal BEFORE UPDATE OF status ON runs FOR EACH ROW
WHEN (OLD.status IN ('succeeded', 'failed', 'cancelled', 'timed_out') AND NEW.status <> OLD.status)
EXECUTE FUNCTION refuse('a finished run keeps its status');

-- Only tasks are leased. A claim raises the fence; every write of an executor is checked against it.
CREATE TABLE tasks (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    run_id         UUID    NOT NULL,
    kind           TEXT COLLATE "C" NOT NULL CHECK (kind IN ('drive', 'chunk')),
    step           TEXT COLLATE "C",
    range_first    BIGINT,
    range_last     BIGINT,
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'admitted', 'leased', 'waiting', 'done')),
    fence          BIGINT NOT NULL DEFAULT 0,
    token_hash     BYTEA,                       -- SHA-256 of the token bound to (task, fence, owner)
    owner          UUID,                       -- the executor
    lease_until    BIGINT,
    lost           BIGINT NOT NULL DEFAULT 0, -- leases lost in a row, with no step ending in between
    last_batch     BIGINT NOT NULL DEFAULT 0, -- the newest batch accepted under this fence
    claim_id       UUID,                      -- the claim that leased it, with the executor's id for it
    admitted_at    BIGINT,
    created_at     BIGINT NOT NULL,
    UNIQUE (team_id, id),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
);
CREATE INDEX tasks_run ON tasks (run_id);
CREATE INDEX tasks_open ON tasks (state, id) WHERE state <> 'done';
CREATE INDEX tasks_team ON tasks (team_id, state, id) WHERE state <> 'done';
CREATE TRIGGER tasks_terminal BEFORE UPDATE OF state ON tasks FOR EACH ROW
WHEN (OLD.state = 'done' AND NEW.state <> 'done')
EXECUTE FUNCTION refuse('a finished task stays finished');

-- One row per attempt. idx is 0 for the step itself, 1.. for the items of a for_each.
CREATE TABLE step_runs (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    run_id         UUID    NOT NULL,
    step           TEXT COLLATE "C" NOT NULL,
    idx            BIGINT NOT NULL DEFAULT 0,
    attempt        BIGINT NOT NULL,
    status         TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled', 'timed_out')),
    items          BIGINT,                    -- of a for_each step itself
    output         TEXT COLLATE "C",
    error          TEXT COLLATE "C",
    usage          TEXT COLLATE "C",
    engine_id      TEXT COLLATE "C",
    retry_at       BIGINT,                    -- when the next attempt may start
    retried        BOOLEAN NOT NULL DEFAULT FALSE, -- another attempt follows this one
    started_at     BIGINT,
    finished_at    BIGINT,
    UNIQUE (run_id, step, idx, attempt),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
);
CREATE INDEX step_runs_run ON step_runs (run_id, id);
CREATE TRIGGER step_runs_terminal BEFORE UPDATE OF status ON step_runs FOR EACH ROW
WHEN (OLD.status IN ('succeeded', 'failed', 'skipped', 'cancelled', 'timed_out') AND NEW.status <> OLD.status)
EXECUTE FUNCTION refuse('a finished attempt keeps its status');

-- The versions of secrets that were read for the steps of runs.
CREATE TABLE secret_reads (
    team_id        UUID    NOT NULL,
    run_id         UUID    NOT NULL,
    fence          BIGINT NOT NULL,
    script_id      UUID    NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    revision       BIGINT NOT NULL,
    read_at        BIGINT NOT NULL,
    PRIMARY KEY (run_id, fence, script_id, key),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
);

-- One row per batch. (task, fence, n) makes a repost a no-op.
CREATE TABLE run_events (
    run_id         UUID    NOT NULL,
    first_seq      BIGINT NOT NULL,
    last_seq       BIGINT NOT NULL,
    team_id        UUID    NOT NULL,
    task_id        UUID,
    fence          BIGINT,
    n              BIGINT,
    events         TEXT COLLATE "C" NOT NULL,           -- a JSON array
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (run_id, first_seq),
    UNIQUE (task_id, fence, n),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
);

-- The journal: effects of scripts and their answers. A repeat gets the stored answer.
CREATE TABLE host_calls (
    run_id         UUID    NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,           -- the idempotency key
    team_id        UUID    NOT NULL,
    step           TEXT COLLATE "C" NOT NULL,
    idx            BIGINT NOT NULL,
    attempt        BIGINT NOT NULL,
    call_number    BIGINT NOT NULL,
    method         TEXT COLLATE "C" NOT NULL,
    answer         BYTEA    NOT NULL,           -- sealed with the team's key
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (run_id, key),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
);

CREATE TABLE kv_entries (
    board_id       UUID    NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    team_id        UUID    NOT NULL,
    value          TEXT COLLATE "C" NOT NULL,           -- JSON
    bytes          BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    expires_at     BIGINT,
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (board_id, key),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE
);
CREATE INDEX kv_expiry ON kv_entries (expires_at) WHERE expires_at IS NOT NULL;
CREATE FUNCTION count_kv_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE boards SET kv_bytes = kv_bytes - OLD.bytes WHERE team_id = OLD.team_id AND id = OLD.board_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE boards SET kv_bytes = kv_bytes + NEW.bytes WHERE team_id = NEW.team_id AND id = NEW.board_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER kv_bytes AFTER INSERT OR UPDATE OF bytes OR DELETE ON kv_entries
FOR EACH ROW EXECUTE FUNCTION count_kv_bytes();

CREATE TABLE artifacts (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL,
    run_id         UUID    NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    step           TEXT COLLATE "C" NOT NULL,
    bytes          BIGINT NOT NULL,
    sha256         BYTEA    NOT NULL,
    content        BYTEA    NOT NULL,
    created_at     BIGINT NOT NULL,
    UNIQUE (run_id, name),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
);

-- Outgoing e-mail. team_id is null for the installation's own (verification).
CREATE TABLE outbox (
    id             UUID PRIMARY KEY,
    team_id        UUID REFERENCES teams (id) ON DELETE CASCADE,
    run_id         UUID,
    message_id     TEXT COLLATE "C" NOT NULL UNIQUE,    -- RFC 5322
    recipients     TEXT COLLATE "C" NOT NULL,           -- a JSON array
    reply_to       TEXT COLLATE "C",
    subject        TEXT COLLATE "C" NOT NULL,
    body_text      TEXT COLLATE "C" NOT NULL,
    body_html      TEXT COLLATE "C",
    status         TEXT COLLATE "C" NOT NULL CHECK (status IN ('held', 'queued', 'sent', 'failed')),
    attempts       BIGINT NOT NULL DEFAULT 0, -- attempts to send it
    next_attempt_at BIGINT NOT NULL DEFAULT 0, -- while queued: not before this time
    error          TEXT COLLATE "C",                      -- why the newest attempt failed
    created_at     BIGINT NOT NULL,
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
);
CREATE INDEX outbox_team ON outbox (team_id, id);
CREATE INDEX outbox_due ON outbox (next_attempt_at, id) WHERE status = 'queued';
CREATE INDEX outbox_age ON outbox (created_at) WHERE status <> 'queued';

CREATE TABLE idempotency_keys (
    scope          UUID    NOT NULL,           -- the team, or the user where there is no team yet
    route          TEXT COLLATE "C" NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    request_hash   BYTEA    NOT NULL,
    status         BIGINT,                    -- null while in flight
    answer         TEXT COLLATE "C",
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (scope, route, key)
);
CREATE INDEX idempotency_age ON idempotency_keys (created_at);

CREATE TABLE audit_log (
    id             UUID PRIMARY KEY,
    team_id        UUID REFERENCES teams (id) ON DELETE CASCADE,
    user_id        UUID REFERENCES users (id) ON DELETE SET NULL,
    action         TEXT COLLATE "C" NOT NULL,
    subject        TEXT COLLATE "C" NOT NULL,           -- kind and id of the object
    details        TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    created_at     BIGINT NOT NULL
);
CREATE INDEX audit_team ON audit_log (team_id, id);

CREATE TABLE executors (
    id             UUID PRIMARY KEY,
    name           TEXT COLLATE "C" NOT NULL,
    token_hash     BYTEA    NOT NULL UNIQUE,    -- SHA-256 of its credential
    slots          BIGINT NOT NULL DEFAULT 0,
    engine_id      TEXT COLLATE "C" NOT NULL DEFAULT '',
    protocol       BIGINT NOT NULL DEFAULT 0,
    heartbeat_at   BIGINT,
    created_at     BIGINT NOT NULL,
    revoked_at     BIGINT
);

-- Leaders for admission, schedules and reconciliation; the fence keeps a stopped leader from acting.
CREATE TABLE leader_leases (
    name           TEXT COLLATE "C" PRIMARY KEY,
    owner          UUID    NOT NULL,
    fence          BIGINT NOT NULL,
    lease_until    BIGINT NOT NULL
);
