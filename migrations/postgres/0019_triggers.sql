-- What started a run: its kind, who or what by (of `manual`: user, api_token or service_account), the id of the API
-- token or the schedule, and the schedule's name. The time that a schedule's run was due is in `fire_at`.
ALTER TABLE runs
    ADD COLUMN trigger_kind TEXT COLLATE "C" NOT NULL DEFAULT 'manual',
    ADD COLUMN trigger_by TEXT COLLATE "C",
    ADD COLUMN trigger_id UUID,
    ADD COLUMN trigger_name TEXT COLLATE "C";

ALTER TABLE runs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE schedules NO FORCE ROW LEVEL SECURITY;
UPDATE runs SET trigger_kind = 'schedule', trigger_id = schedule_id,
    trigger_name = (SELECT s.name FROM schedules s WHERE s.id = runs.schedule_id)
WHERE fire_at IS NOT NULL;
ALTER TABLE schedules FORCE ROW LEVEL SECURITY;
ALTER TABLE runs FORCE ROW LEVEL SECURITY;

-- When a schedule was paused; null while it is enabled. A paused one has no `next_fire_at`.
ALTER TABLE schedules ADD COLUMN paused_at BIGINT;
