-- E-mails that a run has sent, each recipient counted.
ALTER TABLE runs ADD COLUMN emails BIGINT NOT NULL DEFAULT 0;
