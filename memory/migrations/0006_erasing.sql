-- Deletions whose words are still in the full-text indexes: `asked` counts them, up to `done` they are erased.

CREATE TABLE erasures (
    asked INTEGER NOT NULL,
    done  INTEGER NOT NULL
) STRICT;

INSERT INTO erasures VALUES (0, 0);
