//! The layout of the file: a table for each kind of item, and views for people with the `sqlite3` shell.

use std::path::Path;

use kernel::store::Table;
use rusqlite::{Connection, config::DbConfig};

/// The layout's version, in `PRAGMA user_version`.
pub(super) const VERSION: u32 = 4;

/// Executions of STANDARD machines, the inputs of each in a journal, and the definitions that they run.
const EXECUTIONS: &str = "
CREATE TABLE IF NOT EXISTS executions (
  id INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE, name TEXT NOT NULL, machine_arn TEXT NOT NULL,
  definition TEXT NOT NULL, role TEXT, status TEXT NOT NULL,
  input TEXT NOT NULL, output TEXT, error TEXT, cause TEXT, started_at TEXT NOT NULL, stopped_at TEXT,
  redrive_count INTEGER NOT NULL, redriven_at TEXT, seed INTEGER NOT NULL, revision INTEGER NOT NULL,
  test_case TEXT
);
CREATE INDEX IF NOT EXISTS executions_by_machine ON executions (machine_arn);
CREATE INDEX IF NOT EXISTS executions_running ON executions (status) WHERE status = 'RUNNING';
CREATE TABLE IF NOT EXISTS journal (
  execution INTEGER NOT NULL, number INTEGER NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (execution, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS definitions (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
";

/// Makes room for the tables of this layout.
const BEFORE_FROM_1: &str = "
DROP INDEX IF EXISTS executions_by_start; DROP INDEX IF EXISTS executions_running;
ALTER TABLE executions RENAME TO executions_1;
";

/// From the first layout, whose executions had no journal: executions that ran start again.
const FROM_1: &str = "
INSERT INTO executions (arn, name, machine_arn, definition, status, input, output, error, cause, started_at,
  stopped_at, redrive_count, seed, revision)
SELECT arn, name, 'arn:aws:states:local:000000000000:stateMachine:' || machine, '', status, input, output,
  error, cause, started_at, stopped_at, 0, 0, 0
FROM executions_1 ORDER BY started_at;
DROP TABLE executions_1;
";

/// To the layout whose executions may have a test case.
const TEST_CASES: &str = "ALTER TABLE executions ADD COLUMN test_case TEXT;";

/// Queues: messages that were sent and not deleted, batches in flight, and the ids that FIFO queues have seen. Times
/// are milliseconds since 1970; `visible_at` is zero if a message is visible. A sequence number is never used twice.
/// Only a message of a task has an id of its own: the others need no index of ids.
///
/// `queue_flights` has a row for each batch in flight, with the sequence numbers of its messages: that is less to write
/// than a change of every message. `crashes` counts the crashes while a message was in flight, `deaths` those that are
/// charged to it, and `reason` is the last failure of its function.
const QUEUES: &str = "
CREATE TABLE IF NOT EXISTS queue_messages (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, id TEXT, body TEXT NOT NULL,
  attributes TEXT, sent_at INTEGER NOT NULL, visible_at INTEGER NOT NULL, receives INTEGER NOT NULL DEFAULT 0,
  group_id TEXT, deaths INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, reason TEXT
);
CREATE INDEX IF NOT EXISTS queue_messages_waiting ON queue_messages (queue, visible_at);
CREATE UNIQUE INDEX IF NOT EXISTS queue_messages_by_id ON queue_messages (id) WHERE id IS NOT NULL;
CREATE TABLE IF NOT EXISTS queue_flights (
  id INTEGER PRIMARY KEY, queue TEXT NOT NULL, messages TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS queue_limits (queue TEXT PRIMARY KEY, messages INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue_deduplication (
  queue TEXT NOT NULL, deduplication_id TEXT NOT NULL, id TEXT NOT NULL, sequence INTEGER NOT NULL,
  sent_at INTEGER NOT NULL, PRIMARY KEY (queue, deduplication_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS queue_deduplication_by_time ON queue_deduplication (sent_at);
";

/// For a file whose messages had no history yet. Deaths were then counted for every message.
const REASONS: &str = "
ALTER TABLE queue_messages ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_messages ADD COLUMN reason TEXT;
UPDATE queue_messages SET crashes = deaths, deaths = 0 WHERE deaths > 0;
";

/// The limits are those of the last server of the file.
const UNLIMITED: &str = "DELETE FROM queue_limits;";

/// At a clean end messages in flight are released, and no receive is counted.
const RELEASE_IN_FLIGHT: &str = "DELETE FROM queue_flights";

/// Renames the queues of an older layout; the first layout had none.
const BEFORE_QUEUES: &str = "
CREATE TABLE IF NOT EXISTS queue_messages (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
  attributes TEXT NOT NULL, sent_at INTEGER NOT NULL, visible_at INTEGER NOT NULL,
  receives INTEGER NOT NULL DEFAULT 0, group_id TEXT
);
ALTER TABLE queue_messages RENAME TO queue_messages_2;
";

/// From the second layout, whose queues had no receiver.
const FROM_QUEUES: &str = "
INSERT INTO queue_messages SELECT *, 0, 0, NULL FROM queue_messages_2;
DROP TABLE queue_messages_2;
";

/// The events that machines put to EventBridge, in the order of arrival.
const EVENTS: &str = "
CREATE TABLE IF NOT EXISTS events_log (
  id TEXT NOT NULL UNIQUE, time TEXT NOT NULL, bus TEXT NOT NULL, source TEXT NOT NULL,
  detail_type TEXT NOT NULL, detail TEXT NOT NULL, resources TEXT NOT NULL
);
";

/// State machines, every revision of their definitions, activities, and the tags of either.
const MACHINES: &str = "
CREATE TABLE IF NOT EXISTS machines (
  arn TEXT PRIMARY KEY, name TEXT NOT NULL, express INTEGER NOT NULL, of_template INTEGER NOT NULL,
  is_closed INTEGER NOT NULL, created_at TEXT NOT NULL, revision TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (
  id TEXT PRIMARY KEY, machine TEXT NOT NULL, definition TEXT NOT NULL, role TEXT NOT NULL,
  settings TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS revisions_of_machine ON revisions (machine);
CREATE TABLE IF NOT EXISTS activities (
  arn TEXT PRIMARY KEY, name TEXT NOT NULL, created_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
  arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)
) WITHOUT ROWID;
";

const VIEWS: &str = "
CREATE VIEW IF NOT EXISTS contacts AS SELECT
  substr(partition, 1, instr(partition, '/') - 1) AS tenant, sort AS address,
  body ->> '$.name' AS name, body ->> '$.email' AS email, body ->> '$.optIn' AS opted_in,
  body -> '$.interests' AS interests, body ->> '$.extra' AS extra, body ->> '$.since' AS since,
  body ->> '$.source' AS source, body ->> '$.batchId' AS batch, body ->> '$.index' AS record, version
FROM opt_ins;
CREATE VIEW IF NOT EXISTS consent_history AS SELECT
  substr(partition, 1, instr(partition, '/') - 1) AS tenant, substr(sort, 1, instr(sort, '#') - 1) AS address,
  version, body ->> '$.optIn' AS opted_in, body ->> '$.since' AS since, body ->> '$.source' AS source,
  body ->> '$.batchId' AS batch, body ->> '$.index' AS record, body AS word
FROM consents;
CREATE VIEW IF NOT EXISTS batch_list AS SELECT
  partition AS tenant, sort AS batch, body ->> '$.status' AS status, body ->> '$.provider' AS provider,
  body ->> '$.receivedAt' AS received_at, body ->> '$.stoppedAt' AS stopped_at,
  body ->> '$.received' AS received, body ->> '$.outcomes.saved' AS saved,
  body ->> '$.outcomes.unchanged' AS unchanged, body ->> '$.outcomes.withdrawn' AS withdrawn,
  body ->> '$.outcomes.ignored' AS ignored, body ->> '$.outcomes.duplicate' AS duplicate,
  body ->> '$.outcomes.invalid' AS invalid, body ->> '$.outcomes.failed' AS failed
FROM batches;
CREATE VIEW IF NOT EXISTS destination_list AS SELECT
  partition AS tenant, sort AS destination, body ->> '$.Type' AS type,
  iif(instr(body ->> '$.Url', '?') > 0, substr(body ->> '$.Url', 1, instr(body ->> '$.Url', '?')) || '***', body ->> '$.Url') AS url,
  body ->> '$.state' AS state, body ->> '$.reason' AS reason, body -> '$.events' AS events,
  body ->> '$.filter' AS filter, body ->> '$.mapping' AS mapping,
  (SELECT json_group_array(key) FROM json_each(body, '$.headers')) AS headers,
  coalesce(json_array_length(body, '$.secrets'), 0) AS secrets, body ->> '$.rateLimit' AS rate_limit,
  body ->> '$.ordering' AS ordering, body ->> '$.concurrency' AS concurrency,
  body ->> '$.createdAt' AS created_at, body ->> '$.updatedAt' AS updated_at
FROM destinations WHERE sort NOT LIKE '!%';
CREATE VIEW IF NOT EXISTS delivery_list AS SELECT
  substr(partition, 1, instr(partition, '/') - 1) AS tenant,
  substr(partition, instr(partition, '/') + 1) AS destination, body ->> '$.messageId' AS message,
  iif(sort LIKE 'q#%', 'pending', body ->> '$.status') AS status, body ->> '$.receivedAt' AS received_at,
  coalesce(json_array_length(body, '$.attempts'), body ->> '$.tries') AS tries,
  coalesce(body ->> '$.attempts[#-1].status', body ->> '$.attempts[#-1].error') AS last_answer,
  body ->> '$.attempts[#-1].at' AS last_at, body ->> '$.reason' AS reason, body ->> '$.replays' AS replays
FROM deliveries WHERE sort LIKE 'q#%' OR sort LIKE 'd#%' OR (sort LIKE 'f#%' AND body ->> '$.status' = 'failed');
CREATE VIEW IF NOT EXISTS response_list AS SELECT
  substr(partition, 1, instr(partition, '/') - 1) AS tenant, body ->> '$.responseId' AS response,
  body -> '$.destinations' AS destinations, body -> '$.responseBody' AS body
FROM responses;
";

/// Opens the file for writing. `synchronous=FULL` in WAL mode syncs at every commit: a returned write is on the disk.
pub(super) fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    plan_once(&connection)?;
    connection.set_prepared_statement_cache_capacity(96);
    let found = layout(&connection)?;
    if found > VERSION {
        return Err(rusqlite::Error::InvalidParameterName(
            "the data folder was written by a later version of crmflow".into(),
        ));
    }
    for table in Table::ALL {
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {} (partition TEXT NOT NULL, sort TEXT NOT NULL, \
             version INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (partition, sort)) {};",
            table.name(),
            if is_by_arrival(table) { "" } else { "WITHOUT ROWID" },
        ))?;
    }
    let is_older = |than| (1..than).contains(&found);
    let [before, from] = if is_older(2) { [BEFORE_FROM_1, FROM_1] } else { [""; 2] };
    let [before_queues, from_queues] = if is_older(3) { [BEFORE_QUEUES, FROM_QUEUES] } else { [""; 2] };
    let has = |column: &str| connection.column_exists(None, "queue_messages", column);
    let reasons = if has("deaths")? && !has("reason")? { REASONS } else { "" };
    // The executions of the first layout were rebuilt already.
    let cases = if (2..4).contains(&found) { TEST_CASES } else { "" };
    // One transaction: a crash leaves the old layout or the new one.
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {before} {EXECUTIONS} {from} {cases} {MACHINES} {before_queues} {QUEUES} {from_queues} \
         {reasons} {UNLIMITED} {EVENTS} {VIEWS} PRAGMA user_version = {VERSION}; COMMIT;"
    ))?;
    Ok(connection)
}

/// Statements are planned once, whatever is bound to them (<https://sqlite.org/queryplanner-ng.html#qpstab>). Otherwise some
/// would be prepared anew at every use; nothing here gathers the statistics that this is for.
pub(super) fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Releases every message in flight, at the end of the process.
pub(super) fn release_in_flight(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(RELEASE_IN_FLIGHT)
}

/// The layout that a file has.
pub(super) fn layout(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether bodies are stored in the order of arrival, with an index of keys beside them. If keys are nearly random,
/// each body in the order of keys would touch a page of its own.
fn is_by_arrival(table: Table) -> bool {
    matches!(table, Table::Events | Table::Responses)
}

/// The writer's page cache: the pages that one chunk of a batch touches, and some.
const CACHE_KIB: i64 = 32 * 1024;
