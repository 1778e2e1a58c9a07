-- Made after the rows when an index is built whole: sorted once is cheaper than kept sorted.
CREATE UNIQUE INDEX messages_by_place ON messages (sid, seq);
CREATE INDEX messages_by_hash ON messages (hash);
CREATE INDEX terms_by_stem ON terms (stem) WHERE stem IS NOT NULL;
CREATE INDEX sessions_by_time ON sessions (updated_at DESC, key);
CREATE INDEX sessions_by_archive ON sessions (archived, updated_at DESC, key);
CREATE INDEX sessions_by_channel ON sessions (archived, channel, updated_at DESC, key);
