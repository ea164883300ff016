-- What stands for the older turns of a conversation where a context cannot hold them. The turns stay. One that goes, or
-- is rewritten, takes along the summary that was made of it.

CREATE TABLE summaries (
    conversation INTEGER PRIMARY KEY REFERENCES conversations (number) ON DELETE CASCADE,
    through      INTEGER NOT NULL,         -- number of the last turn in it
    bytes        INTEGER NOT NULL,         -- of the conversation, for the turns in it
    model        TEXT NOT NULL,            -- digest of the one that wrote it
    tokens       INTEGER NOT NULL,         -- of the text
    text         TEXT NOT NULL
) STRICT;

CREATE TRIGGER summaries_turn_deleted AFTER DELETE ON turns BEGIN
    DELETE FROM summaries WHERE conversation = old.conversation AND through >= old.number;
END;

CREATE TRIGGER summaries_turn_changed AFTER UPDATE OF role, content, details ON turns BEGIN
    DELETE FROM summaries WHERE conversation = old.conversation AND through >= old.number;
END;
