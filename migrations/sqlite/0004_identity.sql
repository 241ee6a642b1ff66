-- Accounts: profiles, a second factor, password resets, changes of address, tokens for programs, service
-- accounts, sign-in by an OpenID provider.

-- A service account is an account without a person, a password or an address that mail reaches; it is a member of
-- one team and acts by API tokens.
ALTER TABLE users ADD COLUMN kind TEXT NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service'));
ALTER TABLE users ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN timezone TEXT NOT NULL DEFAULT 'UTC'; -- IANA
ALTER TABLE users ADD COLUMN purged_at INTEGER;           -- when name and address of a deleted account were removed
CREATE INDEX users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
CREATE INDEX users_service ON users (id) WHERE kind = 'service' AND deleted_at IS NULL;

ALTER TABLE sessions ADD COLUMN address TEXT;             -- the address that signed in

-- More purposes. Of a password reset for an address without an account there is a row too, which nobody can use.
CREATE TABLE one_time_tokens_new (
    hash           BLOB PRIMARY KEY,           -- SHA-256
    purpose        TEXT    NOT NULL CHECK (purpose IN
        ('verify_email', 'reset_password', 'stream', 'second_factor', 'email_old', 'email_new', 'oidc')),
    user_id        BLOB REFERENCES users (id) ON DELETE CASCADE,
    subject        TEXT    NOT NULL DEFAULT '', -- for a stream: the path; for a reset: the address
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER,
    CHECK (user_id IS NOT NULL OR purpose IN ('reset_password', 'oidc'))
) STRICT;
INSERT INTO one_time_tokens_new SELECT hash, purpose, user_id, subject, created_at, expires_at, used_at FROM one_time_tokens;
DROP TABLE one_time_tokens;
ALTER TABLE one_time_tokens_new RENAME TO one_time_tokens;
CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at);
CREATE INDEX one_time_tokens_user ON one_time_tokens (user_id, purpose, created_at);
CREATE INDEX one_time_tokens_address ON one_time_tokens (subject, created_at) WHERE purpose = 'reset_password';

-- The second factor (RFC 6238).
CREATE TABLE totp (
    user_id        BLOB PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed         BLOB    NOT NULL,           -- the secret, sealed with the master key `key_id`
    key_id         TEXT    NOT NULL,
    confirmed_at   INTEGER,                    -- required at logins since
    last_step      INTEGER NOT NULL DEFAULT 0, -- the newest accepted time step: a code works once
    failures       INTEGER NOT NULL DEFAULT 0, -- wrong codes since `failures_since`
    failures_since INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL
) STRICT;
CREATE TABLE recovery_codes (
    user_id        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash           BLOB    NOT NULL,           -- SHA-256
    used_at        INTEGER,
    PRIMARY KEY (user_id, hash)
) STRICT;

-- Tokens for programs: of a person or a service account.
CREATE TABLE api_tokens (
    id             BLOB PRIMARY KEY,
    user_id        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    only_team      BLOB REFERENCES teams (id) ON DELETE CASCADE, -- reaches no other team
    name           TEXT    NOT NULL,
    hash           BLOB    NOT NULL UNIQUE,    -- SHA-256
    permissions    TEXT,                       -- a JSON array of names; null for all that its holder may
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    last_used_at   INTEGER,                    -- to a minute
    revoked_at     INTEGER
) STRICT;
CREATE INDEX api_tokens_user ON api_tokens (user_id, id);
CREATE INDEX api_tokens_ended ON api_tokens (revoked_at, expires_at) WHERE revoked_at IS NOT NULL OR expires_at IS NOT NULL;

-- A person's token that a team has excluded: it no longer reaches that team.
CREATE TABLE api_token_bars (
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    token_id       BLOB    NOT NULL REFERENCES api_tokens (id) ON DELETE CASCADE,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (team_id, token_id)
) STRICT;
CREATE INDEX api_token_bars_token ON api_token_bars (token_id);

-- Identities at OpenID providers.
CREATE TABLE oidc_identities (
    issuer         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    user_id        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX oidc_identities_user ON oidc_identities (user_id);
