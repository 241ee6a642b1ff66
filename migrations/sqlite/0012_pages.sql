-- Indexes so that a page and a claim cost only what they read; the size of a team's sources.

-- Whether a revision is its key's newest, without reading the others. Maintained by a trigger, so it never
-- drifts.
ALTER TABLE configurations ADD COLUMN newest INTEGER NOT NULL DEFAULT 1;
UPDATE configurations SET newest = 0 WHERE EXISTS (
    SELECT 1 FROM configurations n
    WHERE n.place_id = configurations.place_id AND n.key = configurations.key AND n.revision > configurations.revision);
CREATE INDEX configurations_newest ON configurations (team_id, place_id, key) WHERE newest;
CREATE INDEX configurations_pinned ON configurations (team_id, place_id, key, config_revision) WHERE NOT newest;
CREATE TRIGGER configurations_newest AFTER INSERT ON configurations
BEGIN
    UPDATE configurations SET newest = 0
    -- By the index of the newest: the plus keeps SQLite from the one of all revisions.
    WHERE team_id = NEW.team_id AND place_id = NEW.place_id AND key = NEW.key AND newest AND +revision < NEW.revision;
END;

-- The newest version of its pipeline that a script is part of.
ALTER TABLE scripts ADD COLUMN version_id BLOB;
UPDATE scripts SET version_id = (
    SELECT v.id FROM pipeline_version_scripts p
    JOIN pipeline_versions v ON v.team_id = p.team_id AND v.id = p.version_id
    WHERE p.script_id = scripts.id ORDER BY v.number DESC LIMIT 1);

-- A script's sources in their order.
CREATE INDEX pipeline_version_scripts_sources ON pipeline_version_scripts (script_id, script_version_id);
DROP INDEX pipeline_version_scripts_script;

-- The runs of a pipeline, in addition to those of the team.
CREATE INDEX runs_of_pipeline ON runs (team_id, pipeline_id, id);
DROP INDEX runs_pipeline;

-- The team's sources.
ALTER TABLE script_versions ADD COLUMN bytes INTEGER GENERATED ALWAYS AS (length(CAST(source AS BLOB))) VIRTUAL;
ALTER TABLE pipeline_versions ADD COLUMN bytes INTEGER GENERATED ALWAYS AS (length(CAST(definition AS BLOB))) VIRTUAL;
CREATE INDEX script_versions_bytes ON script_versions (team_id, bytes);
CREATE INDEX pipeline_versions_bytes ON pipeline_versions (team_id, bytes);
