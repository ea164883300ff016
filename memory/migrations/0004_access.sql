-- Who may use the node. Of keys and passwords only hashes are here; times are seconds since the epoch.

CREATE TABLE keys (
    id      TEXT PRIMARY KEY,              -- "key_…": names it in lists and in the audit log, opens nothing
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256 of 256 random bits
    scopes  TEXT NOT NULL,                 -- separated by spaces
    name    TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL,                          -- NULL = never
    used    REAL                           -- to the minute; NULL = not yet
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    name    TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    hash    TEXT NOT NULL,                 -- argon2id, with its salt and its cost
    scopes  TEXT NOT NULL,
    stamp   TEXT NOT NULL,                 -- changes with the password; a token of another stamp is dead
    created REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,                -- "token": signs the tokens of users
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at     REAL NOT NULL,
    who    TEXT NOT NULL,                  -- a key's id, "user:NAME", or "uid:N" on the control socket
    what   TEXT NOT NULL,                  -- method and route
    target TEXT NOT NULL,
    status INTEGER NOT NULL                -- of the answer
) STRICT;
