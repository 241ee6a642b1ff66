-- Values and secrets of boards and teams in addition to those of scripts. A row belongs to one scope: the script
-- that it names, otherwise the board, otherwise the team.
CREATE TABLE configurations_new (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    script_id      BLOB,
    board_id       BLOB,
    place_id       BLOB    NOT NULL GENERATED ALWAYS AS (coalesce(script_id, board_id, team_id)) STORED,
    key            TEXT    NOT NULL,
    revision       INTEGER NOT NULL,           -- counts the changes of this key
    config_revision INTEGER NOT NULL,          -- the pipeline's, board's or team's, after this change
    secret         INTEGER NOT NULL,
    plain          TEXT,                       -- a plain value
    sealed         BLOB,                       -- nonce and ciphertext of a secret; only the newest is kept
    removed        INTEGER NOT NULL DEFAULT 0, -- this change removed the key
    author_id      BLOB REFERENCES users (id) ON DELETE SET NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (place_id, key, revision),
    CHECK (script_id IS NULL OR board_id IS NULL),
    CHECK (removed = 1 OR (secret = 1 AND plain IS NULL) OR (secret = 0 AND plain IS NOT NULL AND sealed IS NULL)),
    FOREIGN KEY (team_id, script_id) REFERENCES scripts (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE
) STRICT;
INSERT INTO configurations_new (id, team_id, script_id, key, revision, config_revision, secret, plain, sealed, removed,
                                author_id, created_at)
SELECT id, team_id, script_id, key, revision, config_revision, secret, plain, sealed, removed, author_id, created_at
FROM configurations;
DROP TABLE configurations;
ALTER TABLE configurations_new RENAME TO configurations;
CREATE INDEX configurations_script ON configurations (script_id) WHERE script_id IS NOT NULL;
CREATE INDEX configurations_board ON configurations (board_id) WHERE board_id IS NOT NULL;
CREATE INDEX configurations_team ON configurations (team_id) WHERE script_id IS NULL AND board_id IS NULL;

-- Counts the changes of the values of a board and of a team; a run uses those of its start.
ALTER TABLE boards ADD COLUMN config_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE teams ADD COLUMN config_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN board_config_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN team_config_revision INTEGER NOT NULL DEFAULT 0;

-- The scope of the secret that the script read.
ALTER TABLE secret_reads ADD COLUMN level TEXT NOT NULL DEFAULT 'script' CHECK (level IN ('script', 'board', 'team'));

-- The audit log: who did what, from where, and what it changed. It has no foreign keys, so that
-- no deletion removes entries: ids of deleted things stay.
CREATE TABLE audit_log_new (
    id             BLOB PRIMARY KEY,
    team_id        BLOB,                       -- null: of an account
    user_id        BLOB,                       -- null: no person, such as a schedule
    token_id       BLOB,                       -- the API token, if one was used
    address        TEXT,                       -- the address of the request, if known
    action         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,           -- kind and id of the object
    details        TEXT    NOT NULL DEFAULT '{}',
    state_before   TEXT,                       -- JSON, without secrets
    state_after    TEXT,
    created_at     INTEGER NOT NULL
) STRICT;
INSERT INTO audit_log_new (id, team_id, user_id, action, subject, details, created_at)
SELECT id, team_id, user_id, action, subject, details, created_at FROM audit_log;
DROP TABLE audit_log;
ALTER TABLE audit_log_new RENAME TO audit_log;
CREATE INDEX audit_team ON audit_log (team_id, id);
CREATE INDEX audit_account ON audit_log (user_id, id) WHERE team_id IS NULL;

-- Append-only; only old entries can be removed (after 400 days; the five fewer allow for clocks that differ).
CREATE TRIGGER audit_log_kept BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audit_log_young BEFORE DELETE ON audit_log
WHEN OLD.created_at > (unixepoch() - 395 * 86400) * 1000000
BEGIN SELECT RAISE(ABORT, 'the audit log is kept for 400 days'); END;
