-- Overrides of the plan's limits, set by the operator. `runs_at_once` and `runs_queued` are
-- columns of `teams`, where admission reads them.
CREATE TABLE team_limits (
    team_id        UUID    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    name           TEXT COLLATE "C" NOT NULL,
    value          BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (team_id, name)
);

-- Usage of a team by the hour. It is counted in the transaction that records it, in one of a few rows per hour, so
-- that the runs of a team do not wait for each other.
CREATE TABLE usage (
    team_id        UUID    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    hour           BIGINT NOT NULL,          -- start of the hour
    shard          BIGINT NOT NULL,
    runs           BIGINT NOT NULL DEFAULT 0,
    steps          BIGINT NOT NULL DEFAULT 0, -- attempts that ended
    fuel           BIGINT NOT NULL DEFAULT 0,
    cpu_ms         BIGINT NOT NULL DEFAULT 0,
    emails         BIGINT NOT NULL DEFAULT 0, -- each recipient
    egress_bytes   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, hour, shard)
);
CREATE INDEX usage_age ON usage (hour);

-- The lists by name.
CREATE INDEX boards_by_name ON boards (team_id, name, id) WHERE deleted_at IS NULL;
CREATE INDEX pipelines_by_name ON pipelines (team_id, board_id, name, id) WHERE deleted_at IS NULL;
CREATE INDEX pipelines_by_age ON pipelines (team_id, board_id, id) WHERE deleted_at IS NULL;
CREATE INDEX boards_by_age ON boards (team_id, id) WHERE deleted_at IS NULL;
CREATE INDEX outbox_status ON outbox (team_id, status, id);
CREATE INDEX runs_status ON runs (team_id, status, id);

-- For sums over a team's versions.
CREATE INDEX artifacts_team ON artifacts (team_id, bytes);

SELECT tenant_wall('team_limits');
SELECT tenant_wall('usage');
