-- A team's data key can be replaced. While values of the previous key are sealed again, both exist.
ALTER TABLE teams
    ADD COLUMN data_key_no BIGINT NOT NULL DEFAULT 1,   -- the number of `data_key`; it only grows
    ADD COLUMN old_data_key BYTEA,                      -- the previous one, sealed by `old_key_id`
    ADD COLUMN old_key_id TEXT COLLATE "C";

-- The number of the team's data key that seals it.
ALTER TABLE configurations ADD COLUMN data_key_no BIGINT NOT NULL DEFAULT 1;
ALTER TABLE host_calls ADD COLUMN data_key_no BIGINT NOT NULL DEFAULT 1;
CREATE INDEX configurations_sealed ON configurations (team_id, data_key_no) WHERE sealed IS NOT NULL;
