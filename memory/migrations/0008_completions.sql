-- Which stored turn is the answer of which chat completion. Question and answer are turns, and stand there alone.

CREATE TABLE completions (
    answer   INTEGER PRIMARY KEY REFERENCES turns (number) ON DELETE CASCADE,
    id       TEXT NOT NULL UNIQUE,         -- "chatcmpl-…"
    account  TEXT NOT NULL,                -- its conversation's
    first    INTEGER NOT NULL,             -- the numbers of the turns that came with the question: up to `last`,
    last     INTEGER NOT NULL,             -- none if that is less
    created  REAL NOT NULL,
    metadata TEXT NOT NULL                 -- JSON object, the client's own
) STRICT;

CREATE INDEX completions_of ON completions (account, answer);
