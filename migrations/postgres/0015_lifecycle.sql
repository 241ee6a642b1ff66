-- When the newest event of a run was recorded: the times of a run's events never decrease. Null: none since this
-- column was added.
ALTER TABLE runs ADD COLUMN last_event_at BIGINT;

-- Whether the executor that claimed a task confirms that it has stopped working on it.
ALTER TABLE tasks ADD COLUMN confirms BOOLEAN NOT NULL DEFAULT FALSE;
-- For a task that was leased when its run ended: until when its executor may still be active, unless it confirms
-- its stop earlier. Until then the task counts towards the limits on concurrent runs.
ALTER TABLE tasks ADD COLUMN draining_until BIGINT;
CREATE INDEX tasks_draining ON tasks (team_id, draining_until) WHERE draining_until IS NOT NULL;

-- For a task in the state `waiting`: when it is due.
ALTER TABLE tasks ADD COLUMN wake_at BIGINT;
CREATE INDEX tasks_due ON tasks (wake_at) WHERE state = 'waiting';
