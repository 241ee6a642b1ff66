-- Positions of pipelines on their board, revisions for If-Match, restoring and purging of deleted things, and a
-- team's library of modules.

-- The position among the board's pipelines, with gaps between neighbours. When a gap is used up, all positions of
-- the board are rebalanced, which order_epoch counts: it tells whether the position in a cursor is outdated.
ALTER TABLE pipelines ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pipelines ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE pipelines ADD COLUMN revision INTEGER NOT NULL DEFAULT 1; -- raised by every change of this row except its position
ALTER TABLE boards ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;    -- raised by every change of its own fields
ALTER TABLE boards ADD COLUMN order_epoch INTEGER NOT NULL DEFAULT 0;
UPDATE pipelines SET position = 4294967296 * (
    SELECT count(*) FROM pipelines o WHERE o.board_id = pipelines.board_id AND o.id <= pipelines.id);
CREATE INDEX pipelines_board ON pipelines (board_id, position, id);

-- Indexes for the purge: deleted things, and references to each thing, so that removing it scans no whole table.
CREATE INDEX boards_deleted ON boards (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX pipelines_deleted ON pipelines (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX runs_version ON runs (version_id);
CREATE INDEX runs_board ON runs (board_id);
CREATE INDEX outbox_run ON outbox (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX pipeline_version_scripts_script ON pipeline_version_scripts (script_id);
CREATE INDEX pipeline_version_scripts_source ON pipeline_version_scripts (script_version_id);

-- A team's own modules, which scripts load with `require "lib.NAME"`.
CREATE TABLE library_modules (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name           TEXT    NOT NULL,
    description    TEXT    NOT NULL DEFAULT '',
    latest_version INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (team_id, name)
) STRICT;

-- Their immutable versions; the source lies with the team's other sources.
CREATE TABLE library_versions (
    id             BLOB PRIMARY KEY,
    team_id        BLOB    NOT NULL,
    module_id      BLOB    NOT NULL,
    number         INTEGER NOT NULL,
    script_version_id BLOB NOT NULL,
    message        TEXT    NOT NULL DEFAULT '',
    author_id      BLOB REFERENCES users (id) ON DELETE SET NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (team_id, id),
    UNIQUE (module_id, number),
    FOREIGN KEY (team_id, module_id) REFERENCES library_modules (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, script_version_id) REFERENCES script_versions (team_id, id)
) STRICT;
CREATE INDEX library_versions_source ON library_versions (script_version_id);

-- The modules that a pipeline version is pinned to. Without a cascade: modules in use cannot be removed.
CREATE TABLE pipeline_version_library (
    team_id        BLOB    NOT NULL,
    version_id     BLOB    NOT NULL,
    library_version_id BLOB NOT NULL,
    PRIMARY KEY (version_id, library_version_id),
    FOREIGN KEY (team_id, version_id) REFERENCES pipeline_versions (team_id, id) ON DELETE CASCADE,
    FOREIGN KEY (team_id, library_version_id) REFERENCES library_versions (team_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pipeline_version_library_module ON pipeline_version_library (library_version_id);
