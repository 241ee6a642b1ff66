-- The first schema. Ids are UUIDv7 (16 bytes), times microseconds since the epoch in UTC, JSON is text.
-- Every tenant table carries team_id, and its references to other tenant tables name the team too:
-- a row cannot refer to another team, whatever the code does.

CREATE TABLE users (
    id             BLOB PRIMARY KEY,
    email          TEXT    NOT NULL,           -- as typed; compared case-folded
    email_folded   TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    password_hash  TEXT    NOT NULL,           -- PHC string, argon2id
    email_verified_at INTEGER,
    last_login_at  INTEGER,
    created_at     INTEGER NOT NULL,
    deleted_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX users_email ON users (email_folded) WHERE deleted_at IS NULL;

-- A login. Its refresh token rotates: the newest works once, an older one ends the session.
CREATE TABLE sessions (
    id             BLOB PRIMARY KEY,
    user_id        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    refresh_hash   BLOB    NOT NULL,           -- SHA-256 of the newest refresh token
    generation     INTEGER NOT NULL,           -- counts the rotations
    user_agent     TEXT,
    created_at     INTEGER NOT NULL,
    refreshed_at   INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    revoked_at     INTEGER
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);

-- E-mail verification, password reset, stream tickets: used once, stored as hashes.
CREATE TABLE one_time_tokens (
    hash           BLOB PRIMARY KEY,           -- SHA-256
    purpose        TEXT    NOT NULL CHECK (purpose IN ('verify_email', 'reset_password', 'stream')),
    user_id        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    subject        TEXT    NOT NULL DEFAULT '', -- for a stream: the path
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER
) STRICT;
CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at);

CREATE TABLE teams (
    id             BLOB PRIMARY KEY,
    name           TEXT    NOT NULL,
    data_key       BLOB    NOT NULL,           -- the team's key, sealed by the master key `key_id`
    key_id         TEXT    NOT NULL,
    max_running    INTEGER NOT NULL DEFAULT 5,
    max_queued     INTEGER NOT NULL DEFAULT 1000,
    created_at     INTEGER NOT NULL,
    deleted_at     INTEGER
) STRICT;

CREATE TABLE memberships (
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role           TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (team_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE boards (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name           TEXT    NOT NULL,
    description    TEXT    NOT NULL DEFAULT '',
    archived_at    INTEGER,
    kv_bytes       INTEGER NOT NULL DEFAULT 0, -- size of its kv_entries; maintained by triggers, so it never drifts
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    deleted_at     INTEGER,
    UNIQUE (team_id, id)
) STRICT;
CREATE UNIQUE INDEX boards_name ON boards (team_id, name) WHERE deleted_at IS NULL;

CREATE TABLE pipelines (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    board_id       BLOB    NOT NULL,
    name           TEXT    NOT NULL,
    published_version INTEGER,
    latest_version INTEGER,
    config_revision INTEGER NOT NULL DEFAULT 0, -- raised by every change of its scripts' configuration
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    deleted_at     INTEGER,
    UNIQUE (team_id, id),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX pipelines_name ON pipelines (board_id, name) WHERE deleted_at IS NULL;

CREATE TABLE pipeline_versions (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    pipeline_id    BLOB    NOT NULL,
    number         INTEGER NOT NULL,
    definition     TEXT    NOT NULL,           -- the document, JSON
    message        TEXT    NOT NULL DEFAULT '',
    author_id      BLOB REFERENCES users (id) ON DELETE SET NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (pipeline_id, number),
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE scripts (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    pipeline_id    BLOB    NOT NULL,
    path           TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (pipeline_id, path),
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE
) STRICT;

-- Sources, by content; shared within a team only, so that nobody learns another team's sources.
CREATE TABLE script_versions (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    sha256         BLOB    NOT NULL,
    source         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (team_id, sha256)
) STRICT;

-- The sources of a pipeline version.
CREATE TABLE pipeline_version_scripts (
    team_id        BLOB    NOT NULL,
    version_id     BLOB    NOT NULL,
    script_id      BLOB    NOT NULL,
    script_version_id BLOB NOT NULL,
    PRIMARY KEY (version_id, script_id),
    FOREIGN KEY (team_id, version_id) REFERENCES pipeline_versions (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, script_id) REFERENCES scripts (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, script_version_id) REFERENCES script_versions (team_id, id)
) STRICT, WITHOUT ROWID;

-- Every revision of every value. The newest of a key is in force; a run reads plain values at the
-- pipeline's config_revision it started with, secrets at the newest.
CREATE TABLE configurations (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    script_id      BLOB    NOT NULL,
    key            TEXT    NOT NULL,
    revision       INTEGER NOT NULL,           -- counts the changes of this key
    config_revision INTEGER NOT NULL,          -- the pipeline's, after this change
    secret         INTEGER NOT NULL,
    plain          TEXT,                       -- a plain value
    sealed         BLOB,                       -- nonce and ciphertext of a secret
    removed        INTEGER NOT NULL DEFAULT 0, -- this change removed the key
    author_id      BLOB REFERENCES users (id) ON DELETE SET NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (script_id, key, revision),
    CHECK (removed = 1 OR (secret = 1 AND sealed IS NOT NULL AND plain IS NULL) OR (secret = 0 AND plain IS NOT NULL AND sealed IS NULL)),
    FOREIGN KEY (team_id, script_id) REFERENCES scripts (team_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE schedules (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    pipeline_id    BLOB    NOT NULL,
    name           TEXT    NOT NULL,
    cron           TEXT    NOT NULL,
    timezone       TEXT    NOT NULL,
    misfire        TEXT    NOT NULL CHECK (misfire IN ('run_once', 'skip')),
    overlap        TEXT    NOT NULL CHECK (overlap IN ('skip', 'allow')),
    next_fire_at   INTEGER,                    -- null if it never fires again
    created_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (pipeline_id, name),
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX schedules_due ON schedules (next_fire_at) WHERE next_fire_at IS NOT NULL;

CREATE TABLE runs (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    board_id       BLOB    NOT NULL,
    pipeline_id    BLOB    NOT NULL,
    version_id     BLOB    NOT NULL,
    version        INTEGER NOT NULL,
    pipeline_name  TEXT    NOT NULL,
    config_revision INTEGER NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'timed_out')),
    error          TEXT,
    params         TEXT    NOT NULL,
    seed           BLOB    NOT NULL,           -- 32 random bytes, from which the scripts' randomness is derived
    last_seq       INTEGER NOT NULL DEFAULT 0,
    event_bytes    INTEGER NOT NULL DEFAULT 0, -- size of its run_events
    journal_calls  INTEGER NOT NULL DEFAULT 0, -- rows in host_calls
    journal_bytes  INTEGER NOT NULL DEFAULT 0, -- size of their answers
    concurrency_limit INTEGER,                 -- from the document: concurrent runs of the pipeline
    started_by     BLOB REFERENCES users (id) ON DELETE SET NULL,
    schedule_id    BLOB REFERENCES schedules (id) ON DELETE SET NULL,
    fire_at        INTEGER,
    created_at     INTEGER NOT NULL,
    started_at     INTEGER,
    finished_at    INTEGER,
    UNIQUE (team_id, id),
    UNIQUE (schedule_id, fire_at),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, pipeline_id) REFERENCES pipelines (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, version_id) REFERENCES pipeline_versions (team_id, id)
) STRICT;
CREATE INDEX runs_pipeline ON runs (pipeline_id, id);
CREATE INDEX runs_team ON runs (team_id, id);
CREATE INDEX runs_active ON runs (team_id, status) WHERE status IN ('queued', 'running', 'waiting');
CREATE TRIGGER runs_terminal BEFORE UPDATE OF status ON runs
WHEN OLD.status IN ('succeeded', 'failed', 'cancelled', 'timed_out') AND NEW.status <> OLD.status
BEGIN SELECT RAISE(ABORT, 'a finished run keeps its status'); END;

-- Only tasks are leased. A claim raises the fence; every write of an executor is checked against it.
CREATE TABLE tasks (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    run_id         BLOB    NOT NULL,
    kind           TEXT    NOT NULL CHECK (kind IN ('drive', 'chunk')),
    step           TEXT,
    range_first    INTEGER,
    range_last     INTEGER,
    state          TEXT    NOT NULL CHECK (state IN ('pending', 'admitted', 'leased', 'waiting', 'done')),
    fence          INTEGER NOT NULL DEFAULT 0,
    token_hash     BLOB,                       -- SHA-256 of the token bound to (task, fence, owner)
    owner          BLOB,                       -- the executor
    lease_until    INTEGER,
    lost           INTEGER NOT NULL DEFAULT 0, -- leases lost so far
    last_batch     INTEGER NOT NULL DEFAULT 0, -- the newest batch accepted under this fence
    admitted_at    INTEGER,
    created_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX tasks_run ON tasks (run_id);
CREATE INDEX tasks_open ON tasks (state, id) WHERE state <> 'done';
CREATE INDEX tasks_team ON tasks (team_id, state, id) WHERE state <> 'done';
CREATE TRIGGER tasks_terminal BEFORE UPDATE OF state ON tasks
WHEN OLD.state = 'done' AND NEW.state <> 'done'
BEGIN SELECT RAISE(ABORT, 'a finished task stays finished'); END;

-- One row per attempt. idx is 0 for the step itself, 1.. for the items of a for_each.
CREATE TABLE step_runs (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    run_id         BLOB    NOT NULL,
    step           TEXT    NOT NULL,
    idx            INTEGER NOT NULL DEFAULT 0,
    attempt        INTEGER NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled', 'timed_out')),
    items          INTEGER,                    -- of a for_each step itself
    output         TEXT,
    error          TEXT,
    usage          TEXT,
    engine_id      TEXT,
    retry_at       INTEGER,                    -- when the next attempt may start
    retried        INTEGER NOT NULL DEFAULT 0, -- another attempt follows this one
    started_at     INTEGER,
    finished_at    INTEGER,
    UNIQUE (run_id, step, idx, attempt),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX step_runs_run ON step_runs (run_id, id);
CREATE TRIGGER step_runs_terminal BEFORE UPDATE OF status ON step_runs
WHEN OLD.status IN ('succeeded', 'failed', 'skipped', 'cancelled', 'timed_out') AND NEW.status <> OLD.status
BEGIN SELECT RAISE(ABORT, 'a finished attempt keeps its status'); END;

-- The versions of secrets that were read for the steps of runs.
CREATE TABLE secret_reads (
    team_id        BLOB    NOT NULL,
    run_id         BLOB    NOT NULL,
    fence          INTEGER NOT NULL,
    script_id      BLOB    NOT NULL,
    key            TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    read_at        INTEGER NOT NULL,
    PRIMARY KEY (run_id, fence, script_id, key),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One row per batch. (task, fence, n) makes a repost a no-op.
CREATE TABLE run_events (
    run_id         BLOB    NOT NULL,
    first_seq      INTEGER NOT NULL,
    last_seq       INTEGER NOT NULL,
    team_id        BLOB    NOT NULL,
    task_id        BLOB,
    fence          INTEGER,
    n              INTEGER,
    events         TEXT    NOT NULL,           -- a JSON array
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (run_id, first_seq),
    UNIQUE (task_id, fence, n),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The journal: effects of scripts and their answers. A repeat gets the stored answer.
CREATE TABLE host_calls (
    run_id         BLOB    NOT NULL,
    key            TEXT    NOT NULL,           -- the idempotency key
    team_id        BLOB    NOT NULL,
    step           TEXT    NOT NULL,
    idx            INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    call_number    INTEGER NOT NULL,
    method         TEXT    NOT NULL,
    answer         BLOB    NOT NULL,           -- sealed with the team's key
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (run_id, key),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE kv_entries (
    board_id       BLOB    NOT NULL,
    key            TEXT    NOT NULL,
    team_id        BLOB    NOT NULL,
    value          TEXT    NOT NULL,           -- JSON
    bytes          INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    expires_at     INTEGER,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (board_id, key),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX kv_expiry ON kv_entries (expires_at) WHERE expires_at IS NOT NULL;
CREATE TRIGGER kv_bytes_insert AFTER INSERT ON kv_entries
BEGIN UPDATE boards SET kv_bytes = kv_bytes + NEW.bytes WHERE id = NEW.board_id; END;
CREATE TRIGGER kv_bytes_update AFTER UPDATE OF bytes ON kv_entries
BEGIN UPDATE boards SET kv_bytes = kv_bytes + NEW.bytes - OLD.bytes WHERE id = NEW.board_id; END;
CREATE TRIGGER kv_bytes_delete AFTER DELETE ON kv_entries
BEGIN UPDATE boards SET kv_bytes = kv_bytes - OLD.bytes WHERE id = OLD.board_id; END;

CREATE TABLE artifacts (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    run_id         BLOB    NOT NULL,
    name           TEXT    NOT NULL,
    step           TEXT    NOT NULL,
    bytes          INTEGER NOT NULL,
    sha256         BLOB    NOT NULL,
    content        BLOB    NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (run_id, name),
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
) STRICT;

-- Outgoing e-mail. team_id is null for the installation's own (verification).
CREATE TABLE outbox (
    id             BLOB PRIMARY KEY,
    team_id        BLOB REFERENCES teams (id) ON DELETE CASCADE,
    run_id         BLOB,
    message_id     TEXT    NOT NULL UNIQUE,    -- RFC 5322
    recipients     TEXT    NOT NULL,           -- a JSON array
    reply_to       TEXT,
    subject        TEXT    NOT NULL,
    body_text      TEXT    NOT NULL,
    body_html      TEXT,
    status         TEXT    NOT NULL CHECK (status IN ('held', 'queued', 'sent', 'failed')),
    created_at     INTEGER NOT NULL,
    FOREIGN KEY (team_id, run_id) REFERENCES runs (team_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX outbox_team ON outbox (team_id, id);

CREATE TABLE idempotency_keys (
    scope          BLOB    NOT NULL,           -- the team, or the user where there is no team yet
    route          TEXT    NOT NULL,
    key            TEXT    NOT NULL,
    request_hash   BLOB    NOT NULL,
    status         INTEGER,                    -- null while in flight
    answer         TEXT,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (scope, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency_keys (created_at);

CREATE TABLE audit_log (
    id             BLOB PRIMARY KEY,
    team_id        BLOB REFERENCES teams (id) ON DELETE CASCADE,
    user_id        BLOB REFERENCES users (id) ON DELETE SET NULL,
    action         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,           -- kind and id of the object
    details        TEXT    NOT NULL DEFAULT '{}',
    created_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_team ON audit_log (team_id, id);

CREATE TABLE executors (
    id             BLOB PRIMARY KEY,
    name           TEXT    NOT NULL,
    token_hash     BLOB    NOT NULL UNIQUE,    -- SHA-256 of its credential
    slots          INTEGER NOT NULL DEFAULT 0,
    engine_id      TEXT    NOT NULL DEFAULT '',
    protocol       INTEGER NOT NULL DEFAULT 0,
    heartbeat_at   INTEGER,
    created_at     INTEGER NOT NULL,
    revoked_at     INTEGER
) STRICT;

-- Leaders for admission, schedules and reconciliation; the fence keeps a stopped leader from acting.
CREATE TABLE leader_leases (
    name           TEXT PRIMARY KEY,
    owner          BLOB    NOT NULL,
    fence          INTEGER NOT NULL,
    lease_until    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
