-- Storage of teams and runs, and retention.

-- Storage of a run: its parameters, events, outputs, journal and artifacts, plus an amount per row. Maintained by
-- every writer, who locks the run's row anyway. Not indexed: it changes with every batch.
ALTER TABLE runs ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
-- Kept by somebody, whatever the retention.
ALTER TABLE runs ADD COLUMN kept_at BIGINT;
-- Being removed: no longer visible, and cannot be kept any more.
ALTER TABLE runs ADD COLUMN expired_at BIGINT;
-- Runs due by age and by number, per pipeline.
CREATE INDEX runs_finished ON runs (team_id, pipeline_id, finished_at, id)
WHERE finished_at IS NOT NULL AND kept_at IS NULL AND expired_at IS NULL;
CREATE INDEX runs_expired ON runs (team_id, pipeline_id, id) WHERE expired_at IS NOT NULL;

-- Retention in days and in runs; null for the team's limits.
ALTER TABLE pipelines ADD COLUMN retention_days BIGINT CHECK (retention_days > 0);
ALTER TABLE pipelines ADD COLUMN retention_runs BIGINT CHECK (retention_runs > 0);

-- When the team's owners were notified that storage is nearly full; null again when it is not.
ALTER TABLE teams ADD COLUMN storage_warned_at BIGINT;

-- The bytes of a team, by kind.
CREATE TABLE team_storage (
    team_id        UUID   NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    part           TEXT COLLATE "C" NOT NULL,
    bytes          BIGINT NOT NULL DEFAULT 0,
    recounted_at   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, part)
);
CREATE INDEX team_storage_recounted ON team_storage (recounted_at);

-- Changes not yet folded into `team_storage`. Rows are only added, so that no two transactions of a team wait for
-- each other. No foreign key: rows deleted with their team count too.
CREATE TABLE storage_changes (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id        UUID   NOT NULL,
    part           TEXT COLLATE "C" NOT NULL,
    bytes          BIGINT NOT NULL
);
CREATE INDEX storage_changes_team ON storage_changes (team_id, part) INCLUDE (bytes);
SELECT tenant_wall('team_storage');
SELECT tenant_wall('storage_changes');

-- Counts a table: `size` is the size of a row (`row` is the row), `updates` the updates that change it. The size of
-- an external value is read from its header.
CREATE FUNCTION counts_as_storage(tab text, part text, team text, size text, updates text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($f$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql AS $t$
        DECLARE
            change BIGINT := 0;
            owner UUID;
        BEGIN
            IF TG_OP <> 'INSERT' THEN change := change - (%2$s); owner := OLD.%4$I; END IF;
            IF TG_OP <> 'DELETE' THEN change := change + (%3$s); owner := NEW.%4$I; END IF;
            IF change <> 0 AND owner IS NOT NULL THEN
                INSERT INTO storage_changes (team_id, part, bytes) VALUES (owner, %5$L, change);
            END IF;
            RETURN NULL;
        END $t$ $f$, 'count_' || tab, replace(size, 'row.', 'OLD.'), replace(size, 'row.', 'NEW.'), team, part);
    EXECUTE format('CREATE TRIGGER storage AFTER INSERT OR DELETE%s ON %I FOR EACH ROW EXECUTE FUNCTION %I()',
        coalesce(' OR UPDATE OF ' || updates, ''), tab, 'count_' || tab);
END $$;
REVOKE EXECUTE ON FUNCTION counts_as_storage FROM PUBLIC;

SELECT counts_as_storage('runs', 'runs', 'team_id', 'row.stored_bytes', 'stored_bytes');
SELECT counts_as_storage('kv_entries', 'kv', 'team_id', 'row.bytes + 256', 'bytes');
SELECT counts_as_storage('script_versions', 'versions', 'team_id', 'row.bytes + 1024', NULL);
SELECT counts_as_storage('pipeline_versions', 'versions', 'team_id', 'row.bytes + 1024', NULL);
SELECT counts_as_storage('pipeline_version_scripts', 'versions', 'team_id', '256', NULL);
SELECT counts_as_storage('pipeline_version_library', 'versions', 'team_id', '256', NULL);
SELECT counts_as_storage('library_versions', 'versions', 'team_id', '1024', NULL);
SELECT counts_as_storage('configurations', 'configurations', 'team_id',
    'coalesce(octet_length(row.plain), 0) + coalesce(octet_length(row.sealed), 0) + 512', NULL);
SELECT counts_as_storage('idempotency_keys', 'answers', 'scope', 'coalesce(octet_length(row.answer), 0) + 512', 'answer');
SELECT counts_as_storage('outbox', 'emails', 'team_id',
    'octet_length(row.recipients) + octet_length(row.subject) + octet_length(row.body_text)
     + coalesce(octet_length(row.body_html), 0) + 512', NULL);
DROP FUNCTION counts_as_storage;

-- The first recount counts existing rows; for runs, the values that it sums up are set here.
ALTER TABLE teams NO FORCE ROW LEVEL SECURITY;
ALTER TABLE team_storage NO FORCE ROW LEVEL SECURITY;
INSERT INTO team_storage (team_id, part)
SELECT t.id, p.part FROM teams t
CROSS JOIN (VALUES ('runs'), ('kv'), ('versions'), ('configurations'), ('answers'), ('emails')) AS p (part);
ALTER TABLE teams FORCE ROW LEVEL SECURITY;
ALTER TABLE team_storage FORCE ROW LEVEL SECURITY;
ALTER TABLE runs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE artifacts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE step_runs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE runs DISABLE TRIGGER storage;
UPDATE runs SET stored_bytes = 2048 + octet_length(params) + event_bytes + journal_bytes + 512 * journal_calls
    + (SELECT coalesce(sum(a.bytes + 512), 0) FROM artifacts a WHERE a.run_id = runs.id)
    + (SELECT coalesce(sum(coalesce(octet_length(s.output), 0) + coalesce(octet_length(s.error), 0) + 512), 0)
       FROM step_runs s WHERE s.run_id = runs.id);
ALTER TABLE runs ENABLE TRIGGER storage;
ALTER TABLE runs FORCE ROW LEVEL SECURITY;
ALTER TABLE artifacts FORCE ROW LEVEL SECURITY;
ALTER TABLE step_runs FORCE ROW LEVEL SECURITY;
