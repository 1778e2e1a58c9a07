-- Made after the rows when an index is built whole: sorted once is cheaper than kept sorted.
-- The first messages of a session are looked through; most sessions have no more of them.
CREATE INDEX messages_by_hash ON messages (hash) WHERE seq > 32;
CREATE INDEX sessions_by_time ON sessions (updated_at DESC, key);
CREATE INDEX sessions_by_archive ON sessions (archived, updated_at DESC, key);
CREATE INDEX sessions_by_channel ON sessions (archived, channel, updated_at DESC, key);
