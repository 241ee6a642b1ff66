-- Values and secrets of boards and teams in addition to those of scripts. A row belongs to one scope: the script
-- that it names, otherwise the board, otherwise the team.
ALTER TABLE configurations
    ALTER COLUMN script_id DROP NOT NULL,
    ADD COLUMN board_id UUID,
    ADD COLUMN place_id UUID NOT NULL GENERATED ALWAYS AS (coalesce(script_id, board_id, team_id)) STORED,
    DROP CONSTRAINT configurations_check,
    ADD CONSTRAINT configurations_place CHECK (script_id IS NULL OR board_id IS NULL),
    -- Only the newest value of a secret is kept, sealed.
    ADD CONSTRAINT configurations_value CHECK (
        removed OR (secret AND plain IS NULL) OR (NOT secret AND plain IS NOT NULL AND sealed IS NULL)),
    ADD CONSTRAINT configurations_board FOREIGN KEY (team_id, board_id) REFERENCES boards (team_id, id)
        ON DELETE CASCADE,
    ADD CONSTRAINT configurations_team FOREIGN KEY (team_id) REFERENCES teams (id) ON DELETE CASCADE,
    ADD CONSTRAINT configurations_revision UNIQUE (place_id, key, revision),
    DROP CONSTRAINT configurations_script_id_key_revision_key;
CREATE INDEX configurations_script ON configurations (script_id) WHERE script_id IS NOT NULL;
CREATE INDEX configurations_of_board ON configurations (board_id) WHERE board_id IS NOT NULL;
CREATE INDEX configurations_of_team ON configurations (team_id) WHERE script_id IS NULL AND board_id IS NULL;

-- Counts the changes of the values of a board and of a team; a run uses those of its start.
ALTER TABLE boards ADD COLUMN config_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE teams ADD COLUMN config_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs
    ADD COLUMN board_config_revision BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN team_config_revision BIGINT NOT NULL DEFAULT 0;

-- The scope of the secret that the script read.
ALTER TABLE secret_reads ADD COLUMN level TEXT COLLATE "C" NOT NULL DEFAULT 'script'
    CHECK (level IN ('script', 'board', 'team'));

-- The audit log: who did what, from where, and what it changed. It has no foreign keys, so that
-- no deletion removes entries: ids of deleted things stay.
ALTER TABLE audit_log
    DROP CONSTRAINT audit_log_team_id_fkey,
    DROP CONSTRAINT audit_log_user_id_fkey,
    ADD COLUMN token_id UUID,                    -- the API token, if one was used
    ADD COLUMN address TEXT COLLATE "C",         -- the address of the request, if known
    ADD COLUMN state_before TEXT COLLATE "C",    -- JSON, without secrets
    ADD COLUMN state_after TEXT COLLATE "C";
CREATE INDEX audit_account ON audit_log (user_id, id) WHERE team_id IS NULL;

-- Append-only; only old entries can be removed (after 400 days; the five fewer allow for clocks that differ).
REVOKE UPDATE, DELETE ON audit_log FROM restroy_app;
REVOKE UPDATE ON audit_log FROM restroy_system;
CREATE TRIGGER audit_log_kept BEFORE UPDATE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse('the audit log is only appended to');
CREATE TRIGGER audit_log_young BEFORE DELETE ON audit_log FOR EACH ROW
    WHEN (OLD.created_at > (extract(epoch FROM now()) - 395 * 86400) * 1000000)
    EXECUTE FUNCTION refuse('the audit log is kept for 400 days');
CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('the audit log is kept for 400 days');
