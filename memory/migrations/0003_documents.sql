-- Files that people upload, and the stores in which they are searched. A file's contents lie beside the database, in
-- files/<id>. Numbers are never used again: indexes in RAM name chunks by theirs.

CREATE TABLE files (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,         -- "file-…"
    account  TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    filename TEXT NOT NULL,
    purpose  TEXT NOT NULL,
    bytes    INTEGER NOT NULL,
    digest   TEXT NOT NULL,                -- "sha256:…"
    created  REAL NOT NULL
) STRICT;

CREATE INDEX files_listed ON files (account, number);

CREATE TABLE vector_stores (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,         -- "vs_…"
    account  TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}',   -- JSON object, the client's own
    created  REAL NOT NULL,
    used     REAL NOT NULL
) STRICT;

CREATE INDEX vector_stores_listed ON vector_stores (account, number);

-- A file in a store.
CREATE TABLE vector_store_files (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    store      INTEGER NOT NULL REFERENCES vector_stores (number) ON DELETE CASCADE,
    file       INTEGER NOT NULL REFERENCES files (number) ON DELETE CASCADE,
    batch      TEXT,                       -- "vsfb_…", if it came with others
    attributes TEXT NOT NULL DEFAULT '{}', -- JSON object of texts, numbers and booleans
    most       INTEGER NOT NULL,           -- tokens of a chunk
    overlap    INTEGER NOT NULL,           -- tokens
    created    REAL NOT NULL,
    status     TEXT NOT NULL DEFAULT 'in_progress'
        CHECK (status IN ('in_progress', 'completed', 'failed', 'cancelled')),
    cut        INTEGER NOT NULL DEFAULT 0, -- 1 = all its chunks are here, and can be found
    code       TEXT,                       -- why it failed, in OpenAI's word and in ours
    message    TEXT,
    bytes      INTEGER NOT NULL DEFAULT 0, -- of its chunks
    UNIQUE (store, file)
) STRICT;

CREATE INDEX vector_store_files_of_file ON vector_store_files (file);
CREATE INDEX vector_store_files_of_batch ON vector_store_files (batch) WHERE batch IS NOT NULL;
CREATE INDEX vector_store_files_waiting ON vector_store_files (cut, number) WHERE status = 'in_progress';

CREATE TABLE chunks (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    entry    INTEGER NOT NULL REFERENCES vector_store_files (number) ON DELETE CASCADE,
    store    INTEGER NOT NULL,             -- its entry's
    start    INTEGER NOT NULL,             -- characters of the file's text
    end      INTEGER NOT NULL,
    page     INTEGER,
    embedder INTEGER NOT NULL DEFAULT 0,   -- embedders (number); 0 = no vector yet
    bits     BLOB,                         -- see memory/recall/codec.py
    vector   BLOB,
    headings TEXT NOT NULL,                -- from the outermost to the nearest, a line each
    text     TEXT NOT NULL
) STRICT;

CREATE INDEX chunks_of_entry ON chunks (entry, embedder);
CREATE INDEX chunks_waiting ON chunks (embedder);
CREATE INDEX chunks_signs ON chunks (store, embedder, number, bits); -- all that an index in RAM reads, in a row

-- The store is a word of the index, so that a search meets no row of another store.
CREATE VIRTUAL TABLE chunks_fts USING fts5 (
    headings, text, store, content = 'chunks', content_rowid = 'number',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

CREATE TRIGGER chunks_inserted AFTER INSERT ON chunks BEGIN
    INSERT INTO chunks_fts (rowid, headings, text, store) VALUES (new.number, new.headings, new.text, new.store);
END;

CREATE TRIGGER chunks_deleted AFTER DELETE ON chunks BEGIN
    INSERT INTO chunks_fts (chunks_fts, rowid, headings, text, store)
    VALUES ('delete', old.number, old.headings, old.text, old.store);
END;
