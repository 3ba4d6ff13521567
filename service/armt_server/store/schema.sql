-- Tables of the SQLite store, version 1 (PRAGMA user_version).
CREATE TABLE session (
    id TEXT NOT NULL PRIMARY KEY,
    model TEXT NOT NULL,
    created_at REAL NOT NULL,
    ttl_seconds INTEGER,
    expires_at REAL,
    metadata TEXT NOT NULL,
    keep_source INTEGER NOT NULL,
    log_end INTEGER NOT NULL DEFAULT 0,
    log_start INTEGER NOT NULL DEFAULT 0,
    snapshot_offset INTEGER NOT NULL DEFAULT 0,
    last_start INTEGER NOT NULL DEFAULT 0,  -- the last accepted append, by which its repetition is recognised
    last_length INTEGER NOT NULL DEFAULT 0,
    last_sha256 BLOB NOT NULL DEFAULT x'',
    swept INTEGER NOT NULL DEFAULT 0        -- expired, and its bytes are gone already
);
CREATE INDEX session_newest ON session (created_at DESC, id DESC);
CREATE INDEX session_expiry ON session (swept, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE log (
    session TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (session, end)
);

CREATE TABLE snapshot (
    session TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
    offset INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (session, offset)
);
