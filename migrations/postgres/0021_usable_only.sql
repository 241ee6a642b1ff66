-- Whether scripts may use a secret by reference and not read it.
ALTER TABLE configurations ADD COLUMN usable_only BOOLEAN NOT NULL DEFAULT FALSE;
