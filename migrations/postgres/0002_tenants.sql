-- Row-level security between tenants. The services own nothing here; a transaction acts as one of:
--   restroy_app     for one team, named by `app.team_id`: it sees and writes only that team's rows
--   restroy_system  before the team is known, or for all teams: login, token lookup,
--                   admission, recovery, purge
-- `restroy migrate` creates both before this runs, because roles belong to the whole cluster.
-- FORCE: the policies bind the owner of the tables too.

-- Before version 15 everybody could create tables here.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO restroy_app, restroy_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO restroy_system;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO restroy_system;
REVOKE ALL ON _sqlx_migrations FROM restroy_system;
GRANT SELECT ON _sqlx_migrations TO restroy_system;

-- The team of the transaction; null, which matches nothing, unless it was set.
CREATE FUNCTION app_team() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('app.team_id', true), '')::uuid $$;

-- Enables row-level security for a table: a team sees the rows whose column `team` names it. Every migration
-- that creates a tenant table calls it; a test finds those that did not.
CREATE FUNCTION tenant_wall(tab text, team text DEFAULT 'team_id') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tab);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tab);
    EXECUTE format(
        'CREATE POLICY team ON %I TO restroy_app USING (%I = (SELECT app_team())) WITH CHECK (%I = (SELECT app_team()))',
        tab, team, team);
    EXECUTE format('CREATE POLICY everything ON %I TO restroy_system USING (true) WITH CHECK (true)', tab);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO restroy_app', tab);
END $$;
REVOKE EXECUTE ON FUNCTION tenant_wall FROM PUBLIC;

SELECT tenant_wall('teams', 'id');
SELECT tenant_wall(table_name::text)
FROM information_schema.columns
WHERE table_schema = 'public' AND column_name = 'team_id';

-- A team sees its members and the people who acted in it: who they are, not how they sign in. The answers of
-- idempotent requests are found by the team that is their scope.
GRANT SELECT (id, name, email, deleted_at) ON users TO restroy_app;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON users TO restroy_app USING (
    EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id AND m.team_id = (SELECT app_team()))
    OR EXISTS (SELECT 1 FROM audit_log a WHERE a.user_id = users.id AND a.team_id = (SELECT app_team())));
CREATE INDEX audit_user ON audit_log (user_id, team_id);
CREATE POLICY everything ON users TO restroy_system USING (true) WITH CHECK (true);
SELECT tenant_wall('idempotency_keys', 'scope');
