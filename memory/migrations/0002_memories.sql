-- Facts and turns for recall. A memory goes with its account, conversation and turn.

CREATE TABLE embedders (
    number     INTEGER PRIMARY KEY AUTOINCREMENT, -- from 1, never used again; 0 stands for "no vector yet"
    model      TEXT NOT NULL UNIQUE,         -- digest
    dimensions INTEGER NOT NULL
) STRICT;

CREATE TABLE memories (
    number       INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: indexes in RAM name memories by it
    id           TEXT NOT NULL UNIQUE,       -- "mem_…"
    account      TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    source       TEXT NOT NULL CHECK (source IN ('fact', 'turn', 'document')),
    created      REAL NOT NULL,
    updated      REAL NOT NULL,
    conversation INTEGER REFERENCES conversations (number) ON DELETE CASCADE,
    turn         INTEGER REFERENCES turns (number) ON DELETE CASCADE,
    embedder     INTEGER NOT NULL DEFAULT 0, -- which one made `bits` and `vector`
    bits         BLOB,                       -- signs, see memory/recall/codec.py
    vector       BLOB,                       -- int8 and scale; before the text, so that a long one is not read for it
    text         TEXT NOT NULL
) STRICT;

CREATE INDEX memories_listed ON memories (account, number);
CREATE INDEX memories_waiting ON memories (embedder);
CREATE INDEX memories_signs ON memories (account, embedder, number, bits); -- all that an index in RAM reads, in a row
CREATE INDEX memories_of_conversation ON memories (conversation) WHERE conversation IS NOT NULL;
CREATE INDEX memories_of_turn ON memories (turn) WHERE turn IS NOT NULL;

CREATE VIRTUAL TABLE memories_fts USING fts5 (
    text, content = 'memories', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE VIRTUAL TABLE memories_words USING fts5vocab (memories_fts, 'row'); -- how many texts have a word

CREATE TRIGGER memories_inserted AFTER INSERT ON memories BEGIN
    INSERT INTO memories_fts (rowid, text) VALUES (new.number, new.text);
END;

CREATE TRIGGER memories_deleted AFTER DELETE ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.number, old.text);
END;

CREATE TRIGGER memories_changed AFTER UPDATE OF text ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.number, old.text);
    INSERT INTO memories_fts (rowid, text) VALUES (new.number, new.text);
END;

-- What a user told in a stored turn is remembered. Answers are not: a model would take its own errors for facts.
-- Questions are not either: asked again, they would find themselves instead of what answers them; nor is what was said
-- to have something forgotten.
CREATE TRIGGER turns_remembered AFTER INSERT ON turns
WHEN new.role = 'user' AND length(trim(new.content)) BETWEEN 12 AND 8192 AND rtrim(new.content) NOT LIKE '%?'
    AND NOT (trim(new.content) LIKE 'forget %' OR trim(new.content) LIKE 'vergiss %' OR trim(new.content) LIKE 'oublie %')
BEGIN
    INSERT INTO memories (id, account, source, created, updated, conversation, turn, text)
    SELECT 'mem_' || lower(hex(randomblob(12))), account, 'turn', new.created, new.created, number, new.number,
        new.content
    FROM conversations WHERE number = new.conversation;
END;
