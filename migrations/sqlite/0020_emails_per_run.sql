-- E-mails that a run has sent, each recipient counted.
ALTER TABLE runs ADD COLUMN emails INTEGER NOT NULL DEFAULT 0;
