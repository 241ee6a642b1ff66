-- One row that `/readyz` writes, to check that the database accepts writes.
CREATE TABLE write_probe (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    written_at BIGINT NOT NULL
);

-- Artifacts are read in pieces: a piece of an uncompressed value is found without the rest.
ALTER TABLE artifacts ALTER COLUMN content SET STORAGE EXTERNAL;
