-- Every reference has an index on the referring side: removing a row scans no whole table. A test reads the
-- catalogue and fails on a reference without one.
CREATE INDEX runs_starter ON runs (started_by) WHERE started_by IS NOT NULL;
CREATE INDEX pipeline_versions_author ON pipeline_versions (author_id) WHERE author_id IS NOT NULL;
CREATE INDEX configurations_author ON configurations (author_id) WHERE author_id IS NOT NULL;
CREATE INDEX configurations_whole_team ON configurations (team_id);
CREATE INDEX library_versions_author ON library_versions (author_id) WHERE author_id IS NOT NULL;
CREATE INDEX invitations_inviter ON invitations (invited_by) WHERE invited_by IS NOT NULL;
CREATE INDEX api_tokens_of_team ON api_tokens (only_team) WHERE only_team IS NOT NULL;

-- The maker of a service account and of a token; null for older ones.
ALTER TABLE users ADD COLUMN created_by UUID REFERENCES users (id) ON DELETE SET NULL;
CREATE INDEX users_maker ON users (created_by) WHERE created_by IS NOT NULL;
GRANT SELECT (created_by) ON users TO restroy_app;
ALTER TABLE api_tokens ADD COLUMN created_by UUID REFERENCES users (id) ON DELETE SET NULL;
CREATE INDEX api_tokens_maker ON api_tokens (created_by) WHERE created_by IS NOT NULL;

-- The person who answers for an invitation: its sender, or the maker of the token that sent it. Not a foreign key:
-- it is only counted and compared.
ALTER TABLE invitations ADD COLUMN accountable_id UUID;
CREATE INDEX invitations_accountable ON invitations (accountable_id, created_at) WHERE accountable_id IS NOT NULL;

-- The invitation that an e-mail is about: once it is no longer pending, the e-mail is not sent.
ALTER TABLE outbox ADD COLUMN invitation_id UUID;
