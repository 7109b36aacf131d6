-- The first schema. One text for both databases; {IDENTITY}, {BYTES}, {CLUSTERED} and {BINARY}
-- stand for what differs. Truths are 0 or 1, times are milliseconds since 1970, ids are 16 bytes.

-- What is fixed at first start: cluster id, default layout, ... Never changed afterwards.
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
){CLUSTERED};

-- How new objects are kept; `detail` is the policy as JSON.
CREATE TABLE policies (
    name TEXT {BINARY} NOT NULL PRIMARY KEY,
    detail TEXT NOT NULL
){CLUSTERED};

-- Who may sign requests.
CREATE TABLE access_keys (
    access_key TEXT {BINARY} NOT NULL PRIMARY KEY,
    secret_key TEXT NOT NULL,
    description TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    disabled BIGINT NOT NULL
){CLUSTERED};

-- A drive has one number for ever: placements name it by that. `detail` is its last known state as
-- JSON, NULL while only its number is known. `duty` is what the operator wants of it: a draining one
-- gets no new fragments and gives away those it has; a removed one is none of ours any more.
CREATE TABLE drives (
    drive_number {IDENTITY},
    drive_id {BYTES} NOT NULL UNIQUE,
    detail TEXT,
    duty TEXT NOT NULL DEFAULT 'in-use' CHECK (duty IN ('in-use', 'draining', 'removed')),
    duty_since_ms BIGINT NOT NULL DEFAULT 0
);

-- What an operator told all workers of one name, so that a restart does not forget it. The share of
-- the time in percent, 0: as by default.
CREATE TABLE worker_orders (
    name TEXT {BINARY} NOT NULL PRIMARY KEY,
    pace_percent BIGINT NOT NULL,
    paused BIGINT NOT NULL CHECK (paused IN (0, 1))
){CLUSTERED};

-- Who works at what only one process at a time may. `generation` is one higher with each taking. A
-- worker's change locks its row FOR KEY SHARE and requires the generation that it took; taking locks
-- it FOR UPDATE: so it waits for changes under way, and none of an older generation comes after.
-- Renewing, which changes `until_ms` alone, holds up neither. Times are the database's.
CREATE TABLE worker_leases (
    name TEXT {BINARY} NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL,
    holder {BYTES} NOT NULL,
    holder_name TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
){CLUSTERED};

-- A bucket's number is never used again, its name may be. Publishing locks the row FOR SHARE;
-- deleting the bucket, switching its versioning and giving it other lifecycle rules lock it FOR
-- UPDATE. `lifecycle_generation` names its lifecycle rules, 0 for none.
CREATE TABLE buckets (
    bucket_id {IDENTITY},
    name TEXT {BINARY} NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL,
    versioning TEXT NOT NULL CHECK (versioning IN ('unversioned', 'enabled', 'suspended')),
    policy TEXT NOT NULL,
    lifecycle_generation BIGINT NOT NULL DEFAULT 0,
    location TEXT,
    -- NULL where versions can't be locked, else JSON with what new ones get.
    object_lock TEXT,
    -- How much it may hold; NULL: as much as there is room for.
    quota_bytes BIGINT,
    quota_objects BIGINT,
    -- How objects are encrypted whose writer does not say; only the edge reads it.
    encryption TEXT,
    -- Number of the rules of who is told of changes, 0 for none.
    notification BIGINT NOT NULL DEFAULT 0
);

-- What a bucket is configured with and no write needs: tags, CORS rules, ... One row a setting;
-- `value` is JSON that only the edge reads.
CREATE TABLE bucket_settings (
    bucket_id BIGINT NOT NULL,
    name TEXT {BINARY} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (bucket_id, name)
){CLUSTERED};

-- A key's lock and counter. It stays when the key is gone, so that neither the sequence nor
-- Last-Modified ever goes back.
CREATE TABLE heads (
    bucket_id BIGINT NOT NULL,
    key {BYTES} NOT NULL,
    last_sequence BIGINT NOT NULL,
    last_modified_ms BIGINT NOT NULL,
    -- PostgreSQL's id of the newest transaction that changed the key; 0 on SQLite.
    last_transaction BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket_id, key)
){CLUSTERED};

-- Objects and delete markers. The current one of a key is always the one of the highest sequence.
-- `attributes` is JSON that only the edge reads. `noncurrent_since_ms` is when its successor was
-- written; `lifecycle_due_ms` when lifecycle is to look at it, NULL where no rule is about it.
CREATE TABLE versions (
    uid {BYTES} NOT NULL PRIMARY KEY,
    bucket_id BIGINT NOT NULL,
    key {BYTES} NOT NULL,
    sequence BIGINT NOT NULL,
    version_id TEXT {BINARY} NOT NULL,
    is_current BIGINT NOT NULL CHECK (is_current IN (0, 1)),
    is_marker BIGINT NOT NULL CHECK (is_marker IN (0, 1)),
    size BIGINT NOT NULL CHECK (size >= 0),
    etag TEXT NOT NULL,
    last_modified_ms BIGINT NOT NULL,
    parts BIGINT,
    attributes TEXT NOT NULL,
    -- What locks it. No CHECK: what can't be read must count as locked, not as absent.
    lock_mode TEXT,
    retain_until_ms BIGINT,
    legal_hold BIGINT,
    noncurrent_since_ms BIGINT CHECK ((is_current = 1) = (noncurrent_since_ms IS NULL)),
    lifecycle_due_ms BIGINT
);
CREATE UNIQUE INDEX versions_by_id ON versions (bucket_id, key, version_id);
-- A versions listing reads this from left to right.
CREATE UNIQUE INDEX versions_by_key ON versions (bucket_id, key, sequence DESC);
-- An objects listing reads this: neither old versions nor markers are in it, so that a million of
-- them cost a listing nothing. The two constants come first so that every planner sees that this
-- index fits better than the others.
CREATE UNIQUE INDEX versions_visible ON versions (bucket_id, is_current, is_marker, key)
    WHERE is_current = 1 AND is_marker = 0;

-- The queue of lifecycle: what is due stands in front, and a version that goes takes its place in
-- the queue along.
CREATE INDEX versions_due ON versions (lifecycle_due_ms, uid) WHERE lifecycle_due_ms IS NOT NULL;

-- Which bytes an owner (a version or an uploaded part) consists of. These rows are the references
-- to blobs: a blob with such a row is never swept.
CREATE TABLE slices (
    owner {BYTES} NOT NULL,
    start BIGINT NOT NULL,
    part_number BIGINT,
    blob_id {BYTES} NOT NULL,
    blob_offset BIGINT NOT NULL,
    len BIGINT NOT NULL CHECK (len > 0),
    PRIMARY KEY (owner, start)
){CLUSTERED};
CREATE INDEX slices_by_blob ON slices (blob_id);

-- The parts of a completed object, for reads by part number. `checksum` is JSON.
CREATE TABLE object_parts (
    owner {BYTES} NOT NULL,
    part_number BIGINT NOT NULL,
    start BIGINT NOT NULL,
    size BIGINT NOT NULL,
    checksum TEXT,
    PRIMARY KEY (owner, part_number)
){CLUSTERED};

-- Blobs, and ids that can never become one. live: published. dead: swept or about to be.
-- condemned: its fragments were found without a row. aborted: its publisher gave it up. A publish
-- inserts this row, so that exactly one of publish, condemn and abort can win.
CREATE TABLE blobs (
    blob_id {BYTES} NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('live', 'dead', 'condemned', 'aborted')),
    len BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    -- Of a sealed blob: the bytes of its content, which are what slices count; its data key, wrapped;
    -- and by which master key (none: by a customer's key). A dead blob has lost its key.
    content_len BIGINT,
    wrapped_key {BYTES},
    master_key TEXT {BINARY}
){CLUSTERED};
CREATE INDEX blobs_by_master_key ON blobs (master_key, blob_id) WHERE master_key IS NOT NULL;
CREATE INDEX blobs_ended ON blobs (since_ms) WHERE state <> 'live';

-- Master keys by name; the keys themselves are never here. Publishing what one wraps locks its row
-- FOR SHARE, retiring it FOR UPDATE.
CREATE TABLE master_keys (
    master_key TEXT {BINARY} NOT NULL PRIMARY KEY,
    admitted_ms BIGINT NOT NULL,
    retired BIGINT NOT NULL CHECK (retired IN (0, 1))
){CLUSTERED};

-- Which drives hold a blob in a region: 4 bytes a fragment, 0 for none.
CREATE TABLE placements (
    blob_id {BYTES} NOT NULL,
    region TEXT {BINARY} NOT NULL,
    generation BIGINT NOT NULL,
    layout TEXT NOT NULL,
    drives {BYTES} NOT NULL,
    -- The highest generation that a re-encode was ever given for the blob: none is given twice.
    last_generation BIGINT NOT NULL DEFAULT 0,
    -- The re-encode job that made this placement; 0: none. It does not move the blob again.
    made_by BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (blob_id, region, generation)
){CLUSTERED};

-- Fragments that are not where they should be.
CREATE TABLE debts (
    blob_id {BYTES} NOT NULL,
    region TEXT {BINARY} NOT NULL,
    generation BIGINT NOT NULL,
    fragment_index BIGINT NOT NULL,
    drive_number BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('unwritten', 'missing', 'corrupt')),
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (blob_id, region, generation, fragment_index)
){CLUSTERED};

-- Fragments that may lie on a drive although no placement says so. A repair records one before it
-- writes there, and leaves one for the drive that it moved a fragment away from. `doomed` is 1 from
-- when it was decided, under the blob's lock, that the fragment is to be deleted: a doomed one is
-- never taken into a placement. It is polled by drive, so that those on lost drives cost nothing.
CREATE TABLE strays (
    drive_number BIGINT NOT NULL,
    blob_id {BYTES} NOT NULL,
    region TEXT {BINARY} NOT NULL,
    generation BIGINT NOT NULL,
    fragment_index BIGINT NOT NULL,
    not_before_ms BIGINT NOT NULL,
    doomed BIGINT NOT NULL CHECK (doomed IN (0, 1)),
    PRIMARY KEY (drive_number, blob_id, region, generation, fragment_index)
){CLUSTERED};

-- Blobs that lost a reference, one row for each (so that two that drop at once both leave one), in
-- the order of when they may be looked at.
CREATE TABLE garbage (
    not_before_ms BIGINT NOT NULL,
    blob_id {BYTES} NOT NULL,
    owner {BYTES} NOT NULL,
    PRIMARY KEY (not_before_ms, blob_id, owner)
){CLUSTERED};
CREATE INDEX garbage_by_blob ON garbage (blob_id);

-- What became of an attempt that published no blob of its own.
CREATE TABLE outcomes (
    op_id {BYTES} NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('done', 'aborted')),
    created_ms BIGINT NOT NULL
){CLUSTERED};
CREATE INDEX outcomes_by_age ON outcomes (created_ms);

-- Multipart uploads; `outcome` (JSON) is what a completed one became. Ids are in order of time.
CREATE TABLE uploads (
    upload_id {BYTES} NOT NULL PRIMARY KEY,
    bucket_id BIGINT NOT NULL,
    key {BYTES} NOT NULL,
    created_ms BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'completed', 'aborted')),
    since_ms BIGINT NOT NULL,
    attributes TEXT NOT NULL,
    checksum TEXT,
    outcome TEXT,
    -- JSON: what its object is to be locked with.
    object_lock TEXT,
    lifecycle_due_ms BIGINT
);
CREATE UNIQUE INDEX uploads_open ON uploads (bucket_id, state, key, upload_id) WHERE state = 'open';
CREATE INDEX uploads_by_age ON uploads (state, since_ms);
CREATE INDEX uploads_due ON uploads (lifecycle_due_ms, upload_id)
    WHERE state = 'open' AND lifecycle_due_ms IS NOT NULL;

-- Parts of open uploads. Their slices are owned by `uid`.
CREATE TABLE parts (
    upload_id {BYTES} NOT NULL,
    part_number BIGINT NOT NULL,
    uid {BYTES} NOT NULL,
    size BIGINT NOT NULL,
    etag TEXT NOT NULL,
    last_modified_ms BIGINT NOT NULL,
    checksum TEXT,
    PRIMARY KEY (upload_id, part_number)
){CLUSTERED};
CREATE UNIQUE INDEX parts_by_uid ON parts (uid);

-- What changed, written in the transaction that changed it. On PostgreSQL a reader takes only rows
-- below the snapshot's xmin, because numbers are given before transactions end. `kind` is what
-- became of the version, `event` by which operation; size and ETag are the version's; `principal`
-- is the access key that asked for it, `source_address` and `request_id` those of its request: none of
-- the three where nobody asked (lifecycle). `transaction_id` is the writing transaction's, or that of an
-- earlier change of the same key where that one's is higher: so a key's rows stand in the order of
-- its sequence, and every row below xmin is there all the same. `notification` is its bucket's at
-- the time of the change. `removed_lock` (JSON) is what locked the version that was removed, or
-- replaced, if anything ever did: an audit judges by it whether it might go.
CREATE TABLE changes (
    change_number {IDENTITY},
    transaction_id BIGINT NOT NULL,
    bucket_id BIGINT NOT NULL,
    key {BYTES} NOT NULL,
    sequence BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('put', 'marker', 'delete', 'update')),
    event TEXT NOT NULL CHECK (event IN ('put', 'post', 'copy', 'complete', 'delete', 'marker',
        'expire_delete', 'expire_marker', 'put_tags', 'delete_tags', 'put_retention',
        'put_legal_hold')),
    version_id TEXT NOT NULL,
    size BIGINT NOT NULL,
    etag TEXT NOT NULL,
    principal TEXT,
    source_address TEXT,
    request_id TEXT,
    notification BIGINT NOT NULL DEFAULT 0,
    at_ms BIGINT NOT NULL,
    removed_lock TEXT
);
CREATE UNIQUE INDEX changes_in_order ON changes (transaction_id, change_number);
-- What the log says of a key: an audit reads it a page at a time.
CREATE INDEX changes_by_key ON changes (bucket_id, key, sequence);

-- Changes of totals, appended by requests so that no two of them touch one row, and folded into
-- `usage` by a worker. `part_bytes`: parts of open uploads. A quota counts what is not folded, too.
CREATE TABLE usage_deltas (
    delta_number {IDENTITY},
    bucket_id BIGINT NOT NULL,
    versions BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    part_bytes BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX usage_deltas_by_bucket ON usage_deltas (bucket_id);
CREATE TABLE usage (
    bucket_id BIGINT NOT NULL PRIMARY KEY,
    versions BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    part_bytes BIGINT NOT NULL DEFAULT 0
);

-- Re-encodes of buckets. At most one of a bucket is open. Who works at one holds its lease until
-- `lease_until_ms` and saves `progress` (JSON: cursor, counts, errors) with it.
CREATE TABLE reencode_jobs (
    job_number {IDENTITY},
    bucket_id BIGINT NOT NULL,
    bucket_name TEXT NOT NULL,
    prefix {BYTES} NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('reencode', 'dry-run')),
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
    is_open BIGINT NOT NULL CHECK (is_open IN (0, 1)),
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    lease_holder {BYTES},
    lease_until_ms BIGINT NOT NULL,
    progress TEXT NOT NULL
);
CREATE UNIQUE INDEX reencode_jobs_open ON reencode_jobs (bucket_id) WHERE is_open = 1;
CREATE INDEX reencode_jobs_by_bucket ON reencode_jobs (bucket_id, job_number);

-- The enabled lifecycle rules of a bucket as JSON, and how far the walk has come that dates what
-- was there before them: 'versions', 'uploads', then 'done'. `day_ms` is how long a day is in
-- those dates.
CREATE TABLE lifecycle_rules (
    bucket_id BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL,
    rules TEXT NOT NULL,
    day_ms BIGINT NOT NULL,
    walk TEXT NOT NULL CHECK (walk IN ('versions', 'uploads', 'done')),
    after_key {BYTES},
    after_sequence BIGINT,
    after_upload {BYTES},
    walked BIGINT NOT NULL
){CLUSTERED};
CREATE INDEX lifecycle_walks ON lifecycle_rules (bucket_id) WHERE walk <> 'done';

-- Who reads the change log, and how far it has come: rows up to there it does not need. `skipped`
-- counts changes under rules that it never saw because the log was cut before it came.
CREATE TABLE change_consumers (
    name TEXT {BINARY} NOT NULL PRIMARY KEY,
    transaction_id BIGINT NOT NULL,
    change_number BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    skipped_ms BIGINT
){CLUSTERED};

-- Where events are posted to. `detail` is JSON, `token` a secret.
CREATE TABLE webhooks (
    webhook_number {IDENTITY},
    name TEXT {BINARY} NOT NULL UNIQUE,
    detail TEXT NOT NULL,
    token TEXT
);

-- What buckets want or wanted to be told of: `rules` is JSON. Rules that were replaced stay until no
-- row of the change log is under them: all such rows stand before `until_*`.
CREATE TABLE notifications (
    notification_number {IDENTITY},
    bucket_id BIGINT NOT NULL,
    bucket_name TEXT NOT NULL,
    rules TEXT NOT NULL,
    until_transaction BIGINT,
    until_number BIGINT
);

-- The webhooks that present rules name.
CREATE TABLE notification_uses (
    webhook TEXT {BINARY} NOT NULL,
    notification_number BIGINT NOT NULL,
    PRIMARY KEY (webhook, notification_number)
){CLUSTERED};
CREATE INDEX notification_uses_by_number ON notification_uses (notification_number);

-- Messages to webhooks that are about no change.
CREATE TABLE webhook_messages (
    message_number {IDENTITY},
    webhook TEXT {BINARY} NOT NULL,
    bucket_name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX webhook_messages_in_order ON webhook_messages (webhook, message_number);

-- Events that their target refused for too long. `asked_ms`: when an operator asked for it to be
-- posted again, until that has an end.
CREATE TABLE dead_letters (
    webhook TEXT {BINARY} NOT NULL,
    transaction_id BIGINT NOT NULL,
    change_number BIGINT NOT NULL,
    bucket_id BIGINT NOT NULL,
    bucket_name TEXT NOT NULL,
    key {BYTES} NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    asked_ms BIGINT,
    PRIMARY KEY (webhook, transaction_id, change_number)
){CLUSTERED};
CREATE INDEX dead_letters_asked ON dead_letters (webhook, transaction_id, change_number)
    WHERE asked_ms IS NOT NULL;

-- Blobs that are to be read again, to see whether they are still what was written. A write chooses
-- itself by its blob's id; `stage` counts the looks from 0.
CREATE TABLE samples (
    due_ms BIGINT NOT NULL,
    blob_id {BYTES} NOT NULL,
    stage BIGINT NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (due_ms, blob_id)
){CLUSTERED};

-- Backups that were taken. Until one expires nothing that it knows is destroyed: garbage and strays
-- that are newer than `taken_ms` wait. `bytes` is 0 until it is whole.
CREATE TABLE backups (
    backup_id {BYTES} NOT NULL PRIMARY KEY,
    taken_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    place TEXT NOT NULL,
    bytes BIGINT NOT NULL CHECK (bytes >= 0)
){CLUSTERED};

-- What a bucket (by its name) or an access key may have in a second; what has no row has no limit.
-- A row goes with what it is of. Each gateway keeps all of them in memory.
CREATE TABLE rate_limits (
    kind TEXT NOT NULL CHECK (kind IN ('bucket', 'key')),
    name TEXT {BINARY} NOT NULL,
    requests_per_second BIGINT,
    bytes_per_second BIGINT,
    PRIMARY KEY (kind, name)
){CLUSTERED};
