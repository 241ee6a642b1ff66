-- Storage of teams and runs, and retention.

-- What everything of a run takes: its parameters, events, outputs, journal and artifacts, with something for each
-- row. Maintained by every writer.
ALTER TABLE runs ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
-- Kept by somebody, whatever the retention.
ALTER TABLE runs ADD COLUMN kept_at INTEGER;
-- Being removed: no longer visible, and cannot be kept any more.
ALTER TABLE runs ADD COLUMN expired_at INTEGER;
-- Runs due by age and by number, per pipeline.
CREATE INDEX runs_finished ON runs (team_id, pipeline_id, finished_at, id)
WHERE finished_at IS NOT NULL AND kept_at IS NULL AND expired_at IS NULL;
CREATE INDEX runs_expired ON runs (team_id, pipeline_id, id) WHERE expired_at IS NOT NULL;

-- Retention in days and in runs; null for the team's limits.
ALTER TABLE pipelines ADD COLUMN retention_days INTEGER CHECK (retention_days > 0);
ALTER TABLE pipelines ADD COLUMN retention_runs INTEGER CHECK (retention_runs > 0);

-- When the team's owners were notified that storage is nearly full; null again when it is not.
ALTER TABLE teams ADD COLUMN storage_warned_at INTEGER;

-- The bytes of a team, by kind; maintained by triggers.
CREATE TABLE team_storage (
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    part           TEXT    NOT NULL,
    bytes          INTEGER NOT NULL DEFAULT 0,
    recounted_at   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, part)
) STRICT;
CREATE INDEX team_storage_recounted ON team_storage (recounted_at);

-- The first recount counts existing rows; for runs, the values that it sums up are set here.
INSERT INTO team_storage (team_id, part)
SELECT t.id, p.part FROM teams t
CROSS JOIN (SELECT 'runs' AS part UNION ALL SELECT 'kv' UNION ALL SELECT 'versions' UNION ALL SELECT 'configurations'
            UNION ALL SELECT 'answers' UNION ALL SELECT 'emails') AS p;
UPDATE runs SET stored_bytes = 2048 + octet_length(params) + event_bytes + journal_bytes + 512 * journal_calls
    + (SELECT coalesce(sum(a.bytes + 512), 0) FROM artifacts a WHERE a.run_id = runs.id)
    + (SELECT coalesce(sum(coalesce(octet_length(s.output), 0) + coalesce(octet_length(s.error), 0) + 512), 0)
       FROM step_runs s WHERE s.run_id = runs.id);

CREATE TRIGGER storage_runs_insert AFTER INSERT ON runs
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'runs', NEW.stored_bytes WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_runs_update AFTER UPDATE OF stored_bytes ON runs
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'runs', (NEW.stored_bytes) - (OLD.stored_bytes) WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_runs_delete AFTER DELETE ON runs
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'runs', -(OLD.stored_bytes) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_kv_entries_insert AFTER INSERT ON kv_entries
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'kv', NEW.bytes + 256 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_kv_entries_update AFTER UPDATE OF bytes ON kv_entries
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'kv', (NEW.bytes + 256) - (OLD.bytes + 256) WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_kv_entries_delete AFTER DELETE ON kv_entries
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'kv', -(OLD.bytes + 256) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_script_versions_insert AFTER INSERT ON script_versions
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'versions', NEW.bytes + 1024 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_script_versions_delete AFTER DELETE ON script_versions
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'versions', -(OLD.bytes + 1024) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_pipeline_versions_insert AFTER INSERT ON pipeline_versions
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'versions', NEW.bytes + 1024 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_pipeline_versions_delete AFTER DELETE ON pipeline_versions
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'versions', -(OLD.bytes + 1024) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_pipeline_version_scripts_insert AFTER INSERT ON pipeline_version_scripts
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'versions', 256 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_pipeline_version_scripts_delete AFTER DELETE ON pipeline_version_scripts
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'versions', -(256) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_pipeline_version_library_insert AFTER INSERT ON pipeline_version_library
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'versions', 256 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_pipeline_version_library_delete AFTER DELETE ON pipeline_version_library
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'versions', -(256) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_library_versions_insert AFTER INSERT ON library_versions
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'versions', 1024 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_library_versions_delete AFTER DELETE ON library_versions
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'versions', -(1024) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_configurations_insert AFTER INSERT ON configurations
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'configurations', coalesce(octet_length(NEW.plain), 0) + coalesce(octet_length(NEW.sealed), 0) + 512 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_configurations_delete AFTER DELETE ON configurations
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'configurations', -(coalesce(octet_length(OLD.plain), 0) + coalesce(octet_length(OLD.sealed), 0) + 512) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_idempotency_keys_insert AFTER INSERT ON idempotency_keys
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.scope, 'answers', coalesce(octet_length(NEW.answer), 0) + 512 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.scope)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_idempotency_keys_update AFTER UPDATE OF answer ON idempotency_keys
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.scope, 'answers', (coalesce(octet_length(NEW.answer), 0) + 512) - (coalesce(octet_length(OLD.answer), 0) + 512) WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.scope)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_idempotency_keys_delete AFTER DELETE ON idempotency_keys
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.scope, 'answers', -(coalesce(octet_length(OLD.answer), 0) + 512) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.scope)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_outbox_insert AFTER INSERT ON outbox
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT NEW.team_id, 'emails', octet_length(NEW.recipients) + octet_length(NEW.subject) + octet_length(NEW.body_text) + coalesce(octet_length(NEW.body_html), 0) + 512 WHERE EXISTS (SELECT 1 FROM teams WHERE id = NEW.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER storage_outbox_delete AFTER DELETE ON outbox
BEGIN
    INSERT INTO team_storage (team_id, part, bytes)
    SELECT OLD.team_id, 'emails', -(octet_length(OLD.recipients) + octet_length(OLD.subject) + octet_length(OLD.body_text) + coalesce(octet_length(OLD.body_html), 0) + 512) WHERE EXISTS (SELECT 1 FROM teams WHERE id = OLD.team_id)
    ON CONFLICT (team_id, part) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
