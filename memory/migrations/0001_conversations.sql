-- Times are seconds since the epoch. Deleting a conversation deletes its turns, and with them whatever other tables
-- hang on them: reference turns(number) or conversations(number) ON DELETE CASCADE.

CREATE TABLE accounts (
    id       TEXT PRIMARY KEY,             -- "local", or a key's fingerprint
    created  REAL NOT NULL,
    settings TEXT NOT NULL DEFAULT '{}'    -- JSON, see memory/accounts.py
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    number   INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,         -- "conv_…"
    account  TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    title    TEXT NOT NULL DEFAULT '',
    created  REAL NOT NULL,
    updated  REAL NOT NULL,
    bytes    INTEGER NOT NULL DEFAULT 0,   -- of its turns, see Turn.size
    turns    INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL DEFAULT '{}'    -- JSON object, the client's own
) STRICT;

CREATE INDEX conversations_recent ON conversations (account, updated, number);

CREATE TABLE turns (
    number       INTEGER PRIMARY KEY,      -- also the order within a conversation
    id           TEXT NOT NULL UNIQUE,     -- "msg_…"
    conversation INTEGER NOT NULL REFERENCES conversations (number) ON DELETE CASCADE,
    account      TEXT NOT NULL,            -- its conversation's
    role         TEXT NOT NULL,
    content      TEXT NOT NULL,
    created      REAL NOT NULL,
    node         TEXT NOT NULL DEFAULT '', -- who ran it
    model        TEXT NOT NULL DEFAULT '',
    details      TEXT NOT NULL DEFAULT '{}', -- JSON: tokens, timings, tool calls …, see conversations/types.py
    feedback     INTEGER NOT NULL DEFAULT 0 CHECK (feedback IN (-1, 0, 1)),
    comment      TEXT NOT NULL DEFAULT ''  -- the user's words with the feedback
) STRICT;

CREATE INDEX turns_of ON turns (conversation, number);

CREATE VIRTUAL TABLE turns_fts USING fts5 (
    content, content = 'turns', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TRIGGER turns_inserted AFTER INSERT ON turns BEGIN
    INSERT INTO turns_fts (rowid, content) VALUES (new.number, new.content);
END;

CREATE TRIGGER turns_deleted AFTER DELETE ON turns BEGIN
    INSERT INTO turns_fts (turns_fts, rowid, content) VALUES ('delete', old.number, old.content);
END;

CREATE TRIGGER turns_changed AFTER UPDATE OF content ON turns BEGIN
    INSERT INTO turns_fts (turns_fts, rowid, content) VALUES ('delete', old.number, old.content);
    INSERT INTO turns_fts (rowid, content) VALUES (new.number, new.content);
END;
