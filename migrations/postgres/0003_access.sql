-- A team's own roles, invitations, the members of boards.

-- A named set of permissions in addition to the built-in roles.
CREATE TABLE roles (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name           TEXT COLLATE "C" NOT NULL,           -- never that of a built-in role
    description    TEXT COLLATE "C" NOT NULL DEFAULT '',
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (team_id, name)
);

CREATE TABLE role_permissions (
    team_id        UUID    NOT NULL,
    role_id        UUID    NOT NULL,
    permission     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (role_id, permission),
    FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id) ON DELETE CASCADE
);

-- A membership names a built-in role or one of the team's own.
ALTER TABLE memberships ALTER COLUMN role DROP NOT NULL;
ALTER TABLE memberships ADD COLUMN role_id UUID;
ALTER TABLE memberships ADD CHECK ((role IS NULL) <> (role_id IS NULL));
ALTER TABLE memberships ADD FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id);
CREATE INDEX memberships_role ON memberships (role_id) WHERE role_id IS NOT NULL;

-- Visible only to its members and to people who administer boards.
ALTER TABLE boards ADD COLUMN private BOOLEAN NOT NULL DEFAULT FALSE;

-- The role of a team member on one board, in addition to (on a private board: instead of) their role in the
-- team. Leaving the team removes it.
CREATE TABLE board_members (
    team_id        UUID    NOT NULL,
    board_id       UUID    NOT NULL,
    user_id        UUID    NOT NULL,
    role           TEXT COLLATE "C",
    role_id        UUID,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (board_id, user_id),
    CHECK ((role IS NULL) <> (role_id IS NULL)),
    FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, user_id) REFERENCES memberships (team_id, user_id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id)
);
CREATE INDEX board_members_user ON board_members (team_id, user_id);
CREATE INDEX board_members_role ON board_members (role_id) WHERE role_id IS NOT NULL;

-- Invitations into a team, for the owner of the address, with or without an account. A settled invitation is
-- removed with its role.
CREATE TABLE invitations (
    id             UUID PRIMARY KEY,
    team_id        UUID    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    email          TEXT COLLATE "C" NOT NULL,           -- as typed
    email_folded   TEXT COLLATE "C" NOT NULL,
    role           TEXT COLLATE "C",
    role_id        UUID,
    token_hash     BYTEA   NOT NULL UNIQUE,    -- SHA-256 of the token in the e-mail
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'accepted', 'declined', 'revoked', 'expired')),
    mailed         BOOLEAN NOT NULL,           -- an e-mail was sent: the address was below its limit
    invited_by     UUID REFERENCES users (id) ON DELETE SET NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    settled_at     BIGINT,
    UNIQUE (team_id, id),
    CHECK ((role IS NULL) <> (role_id IS NULL)),
    FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX invitations_pending ON invitations (team_id, email_folded) WHERE state = 'pending';
CREATE INDEX invitations_team ON invitations (team_id, id);
CREATE INDEX invitations_address ON invitations (email_folded, created_at);
CREATE INDEX invitations_role ON invitations (role_id) WHERE role_id IS NOT NULL;
CREATE INDEX invitations_expiry ON invitations (expires_at);

CREATE INDEX teams_deleted ON teams (deleted_at) WHERE deleted_at IS NOT NULL;

SELECT tenant_wall('roles');
SELECT tenant_wall('role_permissions');
SELECT tenant_wall('board_members');
SELECT tenant_wall('invitations');
