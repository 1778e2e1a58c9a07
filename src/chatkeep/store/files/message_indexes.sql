-- Made after the rows when an index is built whole: sorted once is cheaper than kept sorted.
CREATE UNIQUE INDEX messages_by_place ON messages (sid, seq);
CREATE INDEX messages_by_hash ON messages (hash);
