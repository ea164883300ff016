-- What was answered over the Responses API. Input and answer are turns of a conversation, and stand there alone.

CREATE TABLE responses (
    number       INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,     -- "resp_…"
    account      TEXT NOT NULL,            -- its conversation's
    conversation INTEGER NOT NULL REFERENCES conversations (number) ON DELETE CASCADE,
    named        INTEGER NOT NULL CHECK (named IN (0, 1)), -- 1: the client named the conversation, its turns outlive this
    first        INTEGER NOT NULL,         -- number of the first turn of its input
    answer       INTEGER NOT NULL REFERENCES turns (number) ON DELETE CASCADE,
    created      REAL NOT NULL,
    body         TEXT NOT NULL             -- JSON: what else the client was told
) STRICT;

CREATE INDEX responses_in ON responses (conversation);
CREATE INDEX responses_answer ON responses (answer);

-- The client's own name of a chat, such as Open WebUI's, where the settings trust it.
ALTER TABLE conversations ADD COLUMN chat TEXT;
CREATE UNIQUE INDEX conversations_chat ON conversations (account, chat) WHERE chat IS NOT NULL;
