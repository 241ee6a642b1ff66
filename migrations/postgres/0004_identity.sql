-- Accounts: profiles, a second factor, password resets, changes of address, tokens for programs, service
-- accounts, sign-in by an OpenID provider. Accounts are in several teams, so all of this is for
-- restroy_system, like sessions.

-- A service account is an account without a person, a password or an address that mail reaches; it is a member of
-- one team and acts by API tokens.
ALTER TABLE users ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service'));
ALTER TABLE users ADD COLUMN about TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN timezone TEXT COLLATE "C" NOT NULL DEFAULT 'UTC'; -- IANA
ALTER TABLE users ADD COLUMN purged_at BIGINT;            -- when name and address of a deleted account were removed
CREATE INDEX users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
CREATE INDEX users_service ON users (id) WHERE kind = 'service' AND deleted_at IS NULL;
GRANT SELECT (kind) ON users TO restroy_app;

ALTER TABLE sessions ADD COLUMN address TEXT COLLATE "C"; -- the address that signed in

-- A password reset for an address without an account has a row too, which nobody can use.
ALTER TABLE one_time_tokens DROP CONSTRAINT one_time_tokens_purpose_check;
ALTER TABLE one_time_tokens ADD CONSTRAINT one_time_tokens_purpose_check CHECK (purpose IN
    ('verify_email', 'reset_password', 'stream', 'second_factor', 'email_old', 'email_new', 'oidc'));
ALTER TABLE one_time_tokens ALTER COLUMN user_id DROP NOT NULL;
ALTER TABLE one_time_tokens ADD CONSTRAINT one_time_tokens_user_check
    CHECK (user_id IS NOT NULL OR purpose IN ('reset_password', 'oidc'));
CREATE INDEX one_time_tokens_user ON one_time_tokens (user_id, purpose, created_at);
CREATE INDEX one_time_tokens_address ON one_time_tokens (subject, created_at) WHERE purpose = 'reset_password';

-- The second factor (RFC 6238).
CREATE TABLE totp (
    user_id        UUID PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed         BYTEA  NOT NULL,           -- the secret, sealed with the master key `key_id`
    key_id         TEXT COLLATE "C" NOT NULL,
    confirmed_at   BIGINT,                    -- required at logins since
    last_step      BIGINT NOT NULL DEFAULT 0, -- the newest accepted time step: a code works once
    failures       BIGINT NOT NULL DEFAULT 0, -- wrong codes since `failures_since`
    failures_since BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL
);
CREATE TABLE recovery_codes (
    user_id        UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash           BYTEA  NOT NULL,           -- SHA-256
    used_at        BIGINT,
    PRIMARY KEY (user_id, hash)
);

-- Tokens for programs: of a person or a service account.
CREATE TABLE api_tokens (
    id             UUID PRIMARY KEY,
    user_id        UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    only_team      UUID REFERENCES teams (id) ON DELETE CASCADE, -- reaches no other team
    name           TEXT COLLATE "C" NOT NULL,
    hash           BYTEA  NOT NULL UNIQUE,    -- SHA-256
    permissions    TEXT COLLATE "C",          -- a JSON array of names; null for all that its holder may
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT,
    last_used_at   BIGINT,                    -- to a minute
    revoked_at     BIGINT
);
CREATE INDEX api_tokens_user ON api_tokens (user_id, id);
CREATE INDEX api_tokens_ended ON api_tokens (revoked_at, expires_at) WHERE revoked_at IS NOT NULL OR expires_at IS NOT NULL;

-- A person's token that a team has excluded: it no longer reaches that team.
CREATE TABLE api_token_bars (
    team_id        UUID   NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    token_id       UUID   NOT NULL REFERENCES api_tokens (id) ON DELETE CASCADE,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (team_id, token_id)
);
CREATE INDEX api_token_bars_token ON api_token_bars (token_id);
SELECT tenant_wall('api_token_bars');

-- Identities at OpenID providers.
CREATE TABLE oidc_identities (
    issuer         TEXT COLLATE "C" NOT NULL,
    subject        TEXT COLLATE "C" NOT NULL,
    user_id        UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX oidc_identities_user ON oidc_identities (user_id);
