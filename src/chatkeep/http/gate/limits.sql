-- layout: a row is one request that counts; n numbers those of a bucket, so that a count is two look-ups
CREATE TABLE hits(bucket TEXT, at INTEGER, n INTEGER, PRIMARY KEY(bucket, at, n)) WITHOUT ROWID;
CREATE INDEX hits_at ON hits(at);

-- forget_future: rows of an earlier boot, when the clock was ahead of now
DELETE FROM hits WHERE at > ?;

-- forget_bucket: rows of one bucket that have left the window
DELETE FROM hits WHERE bucket = ? AND at <= ?;

-- forget_others: a few rows of any bucket that have left the window, so that idle buckets do not stay
DELETE FROM hits WHERE (bucket, at, n) IN (SELECT bucket, at, n FROM hits WHERE at <= ? ORDER BY at LIMIT ?);

-- oldest: the row of a bucket that so many others are older than
SELECT at, n FROM hits WHERE bucket = ? ORDER BY at, n LIMIT 1 OFFSET ?;

-- newest: the last row of a bucket
SELECT at, n FROM hits WHERE bucket = ? ORDER BY at DESC, n DESC LIMIT 1;

-- count: one more request
INSERT INTO hits(bucket, at, n) VALUES (?, ?, ?);
