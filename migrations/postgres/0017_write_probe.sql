-- One row that `/readyz` writes, to learn whether the database takes writes.
CREATE TABLE write_probe (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    written_at BIGINT NOT NULL
);

-- Artifacts are read piece by piece: a piece of what is not compressed is found without the rest.
ALTER TABLE artifacts ALTER COLUMN content SET STORAGE EXTERNAL;
