-- A team's own roles, invitations, the members of boards.

-- A named set of permissions in addition to the built-in roles.
CREATE TABLE roles (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name           TEXT    NOT NULL,           -- never that of a built-in role
    description    TEXT    NOT NULL DEFAULT '',
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (team_id, name)
) STRICT;

CREATE TABLE role_permissions (
    team_id        BLOB    NOT NULL,
    role_id        BLOB    NOT NULL,
    permission     TEXT    NOT NULL,
    PRIMARY KEY (role_id, permission),
    FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- A membership names a built-in role or one of the team's own. SQLite adds no such constraint to a table that is
-- there: it is made anew. Nothing refers to it.
CREATE TABLE memberships_new (
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role           TEXT,                       -- a built-in role
    role_id        BLOB,                       -- or one of the team's own
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (team_id, user_id),
    CHECK ((role IS NULL) <> (role_id IS NULL)),
    FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO memberships_new (team_id, user_id, role, created_at)
SELECT team_id, user_id, role, created_at FROM memberships;
DROP TABLE memberships;
ALTER TABLE memberships_new RENAME TO memberships;
CREATE INDEX memberships_user ON memberships (user_id);
CREATE INDEX memberships_role ON memberships (role_id) WHERE role_id IS NOT NULL;

-- Visible only to its members and to people who administer boards.
ALTER TABLE boards ADD COLUMN private INTEGER NOT NULL DEFAULT 0;

-- The role of a team member on one board, in addition to (on a private board: instead of) their role in the
-- team. Leaving the team removes it.
CREATE TABLE board_members (
    team_id        BLOB    NOT NULL,
    board_id       BLOB    NOT NULL,
    user_id        BLOB    NOT NULL,
    role           TEXT,
    role_id        BLOB,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (board_id, user_id),
    CHECK ((role IS NULL) <> (role_id IS NULL)),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, user_id) REFERENCES memberships (team_id, user_id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX board_members_user ON board_members (team_id, user_id);
CREATE INDEX board_members_role ON board_members (role_id) WHERE role_id IS NOT NULL;

-- Invitations into a team, for the owner of the address, with or without an account. A settled invitation is
-- removed with its role.
CREATE TABLE invitations (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    email          TEXT    NOT NULL,           -- as typed
    email_folded   TEXT    NOT NULL,
    role           TEXT,
    role_id        BLOB,
    token_hash     BLOB    NOT NULL UNIQUE,    -- SHA-256 of the token in the e-mail
    state          TEXT    NOT NULL CHECK (state IN ('pending', 'accepted', 'declined', 'revoked', 'expired')),
    mailed         INTEGER NOT NULL,           -- an e-mail was sent: the address was below its limit
    invited_by     BLOB REFERENCES users (id) ON DELETE SET NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    settled_at     INTEGER,
    UNIQUE (team_id, id),
    CHECK ((role IS NULL) <> (role_id IS NULL)),
    FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX invitations_pending ON invitations (team_id, email_folded) WHERE state = 'pending';
CREATE INDEX invitations_team ON invitations (team_id, id);
CREATE INDEX invitations_address ON invitations (email_folded, created_at);
CREATE INDEX invitations_role ON invitations (role_id) WHERE role_id IS NOT NULL;
CREATE INDEX invitations_expiry ON invitations (expires_at);

CREATE INDEX teams_deleted ON teams (deleted_at) WHERE deleted_at IS NOT NULL;
