-- When an attempt that waits, or the attempt that follows, is due.
ALTER TABLE step_runs RENAME COLUMN retry_at TO due_at;

-- When a run that has not ended is ended as too old: after so long in the queue, after so long active, or, while it is
-- suspended, after so long in all.
ALTER TABLE runs ADD COLUMN deadline_at BIGINT;
-- While a run is suspended: how long it may still be active, in microseconds.
ALTER TABLE runs ADD COLUMN active_left BIGINT;
-- The owner of the tables is behind their wall too.
ALTER TABLE runs NO FORCE ROW LEVEL SECURITY;
UPDATE runs SET deadline_at = COALESCE(started_at + 86400000000, created_at + 604800000000)
WHERE status IN ('queued', 'running');
UPDATE runs SET active_left = 86400000000, deadline_at = started_at + 34560000000000 WHERE status = 'waiting';
ALTER TABLE runs FORCE ROW LEVEL SECURITY;
CREATE INDEX runs_deadline ON runs (deadline_at) WHERE status IN ('queued', 'running', 'waiting');
