-- Whether scripts may use a secret by reference and not read it.
ALTER TABLE configurations ADD COLUMN usable_only INTEGER NOT NULL DEFAULT 0;
