-- Indexes so that a page and a claim cost only what they read; the size of a team's sources.

-- Whether a revision is its key's newest, without reading the others. Maintained by a trigger, so it never
-- drifts.
ALTER TABLE configurations ADD COLUMN newest BOOLEAN NOT NULL DEFAULT true;
-- The newest version of its pipeline that a script is part of.
ALTER TABLE scripts ADD COLUMN version_id UUID;

-- Row-level security binds the owner of the tables too; it is disabled for these statements, which change every
-- team's rows.
ALTER TABLE configurations NO FORCE ROW LEVEL SECURITY;
ALTER TABLE scripts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pipeline_version_scripts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pipeline_versions NO FORCE ROW LEVEL SECURITY;
UPDATE configurations SET newest = false WHERE EXISTS (
    SELECT 1 FROM configurations n
    WHERE n.place_id = configurations.place_id AND n.key = configurations.key AND n.revision > configurations.revision);
UPDATE scripts SET version_id = (
    SELECT v.id FROM pipeline_version_scripts p
    JOIN pipeline_versions v ON v.team_id = p.team_id AND v.id = p.version_id
    WHERE p.script_id = scripts.id ORDER BY v.number DESC LIMIT 1);
ALTER TABLE configurations FORCE ROW LEVEL SECURITY;
ALTER TABLE scripts FORCE ROW LEVEL SECURITY;
ALTER TABLE pipeline_version_scripts FORCE ROW LEVEL SECURITY;
ALTER TABLE pipeline_versions FORCE ROW LEVEL SECURITY;

CREATE INDEX configurations_newest ON configurations (team_id, place_id, key) WHERE newest;
CREATE INDEX configurations_pinned ON configurations (team_id, place_id, key, config_revision) WHERE NOT newest;
CREATE FUNCTION configuration_superseded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE configurations SET newest = false
    WHERE team_id = NEW.team_id AND place_id = NEW.place_id AND key = NEW.key AND newest AND revision < NEW.revision;
    RETURN NULL;
END $$;
CREATE TRIGGER configurations_newest AFTER INSERT ON configurations
FOR EACH ROW EXECUTE FUNCTION configuration_superseded();

-- A script's sources in their order.
CREATE INDEX pipeline_version_scripts_sources ON pipeline_version_scripts (script_id, script_version_id);
DROP INDEX pipeline_version_scripts_script;

-- The runs of a pipeline, in addition to those of the team.
CREATE INDEX runs_of_pipeline ON runs (team_id, pipeline_id, id);
DROP INDEX runs_pipeline;

-- The team's sources.
ALTER TABLE script_versions ADD COLUMN bytes BIGINT GENERATED ALWAYS AS (octet_length(source)) STORED;
ALTER TABLE pipeline_versions ADD COLUMN bytes BIGINT GENERATED ALWAYS AS (octet_length(definition)) STORED;
CREATE INDEX script_versions_bytes ON script_versions (team_id, bytes);
CREATE INDEX pipeline_versions_bytes ON pipeline_versions (team_id, bytes);
