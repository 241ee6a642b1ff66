-- The second wall between tenants. The services own nothing here; a transaction acts as one of:
--   restroy_app     for one team, named by `app.team_id`: it sees and writes that team's rows only
--   restroy_system  for what knows no team yet or serves all of them: login, token lookup,
--                   admission, recovery, purge
-- Both are made by `restroy migrate` before this runs, since roles belong to the whole cluster.
-- FORCE: the policies bind the owner of the tables too.

-- Before version 15 everybody might make tables here.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO restroy_app, restroy_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO restroy_system;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO restroy_system;
REVOKE ALL ON _sqlx_migrations FROM restroy_system;
GRANT SELECT ON _sqlx_migrations TO restroy_system;

-- The team of the transaction; null, which matches nothing, unless it was set.
CREATE FUNCTION app_team() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('app.team_id', true), '')::uuid $$;

DO $$
DECLARE
    tenant record;
BEGIN
    FOR tenant IN
        SELECT c.table_name, CASE WHEN c.table_name = 'teams' THEN 'id' ELSE 'team_id' END AS team
        FROM information_schema.tables c
        WHERE c.table_schema = 'public' AND c.table_type = 'BASE TABLE'
          AND (c.table_name = 'teams' OR EXISTS (
              SELECT 1 FROM information_schema.columns k
              WHERE k.table_schema = 'public' AND k.table_name = c.table_name AND k.column_name = 'team_id'))
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant.table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant.table_name);
        EXECUTE format(
            'CREATE POLICY team ON %I TO restroy_app USING (%I = (SELECT app_team())) WITH CHECK (%I = (SELECT app_team()))',
            tenant.table_name, tenant.team, tenant.team);
        EXECUTE format('CREATE POLICY everything ON %I TO restroy_system USING (true) WITH CHECK (true)', tenant.table_name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO restroy_app', tenant.table_name);
    END LOOP;
END $$;

-- Of people a team sees who they are, not how they sign in. The answers of idempotent requests are
-- found by the team that is their scope.
GRANT SELECT (id, name, email, deleted_at) ON users TO restroy_app;
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON idempotency_keys TO restroy_app
    USING (scope = (SELECT app_team())) WITH CHECK (scope = (SELECT app_team()));
CREATE POLICY everything ON idempotency_keys TO restroy_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO restroy_app;
