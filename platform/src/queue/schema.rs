//! The SQL of [`SqliteQueue`](super::SqliteQueue). Every function is one step of a transaction.
//!
//! Only the oldest body of a group can be leased, so "the group is locked" is the same as "its oldest body is not
//! visible yet", and needs no column of its own.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use time::OffsetDateTime;

use super::{DEAD_RETENTION, Depth, MAX_RECEIVES, RETENTION, Receipt, Received, Sent};

/// Raised when the tables change; stored in the file as `user_version`.
const VERSION: i32 = 1;

/// Prepares a connection and makes the tables of a new file.
pub(super) fn open(conn: &Connection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.set_prepared_statement_cache_capacity(32);
    let version: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(format!("the file has version {version}, this program knows {VERSION}").into());
    }
    conn.execute_batch(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS message (
             id INTEGER PRIMARY KEY AUTOINCREMENT,
             grp TEXT NOT NULL,
             dedup_id TEXT NOT NULL,
             body TEXT NOT NULL,
             sent_ms INTEGER NOT NULL,
             visible_ms INTEGER NOT NULL,
             receipt TEXT UNIQUE,
             receive_count INTEGER NOT NULL DEFAULT 0
         ) STRICT;
         CREATE INDEX IF NOT EXISTS message_by_group ON message (grp, id);
         CREATE TABLE IF NOT EXISTS seen (
             grp TEXT NOT NULL,
             dedup_id TEXT NOT NULL,
             until_ms INTEGER NOT NULL,
             PRIMARY KEY (grp, dedup_id)
         ) STRICT, WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS seen_by_time ON seen (until_ms);
         CREATE TABLE IF NOT EXISTS dead (
             id INTEGER PRIMARY KEY,
             grp TEXT NOT NULL,
             dedup_id TEXT NOT NULL,
             body TEXT NOT NULL,
             sent_ms INTEGER NOT NULL,
             died_ms INTEGER NOT NULL,
             receive_count INTEGER NOT NULL
         ) STRICT;
         PRAGMA user_version = 1;
         COMMIT;",
    )?;
    Ok(())
}

pub(super) fn send(
    tx: &Transaction<'_>,
    now_ms: i64,
    seen_until_ms: i64,
    group: &str,
    dedup_id: &str,
    body: &str,
) -> rusqlite::Result<Sent> {
    tx.prepare_cached("DELETE FROM seen WHERE until_ms <= ?1")?
        .execute([now_ms])?;
    let fresh = tx
        .prepare_cached("INSERT OR IGNORE INTO seen (grp, dedup_id, until_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![group, dedup_id, seen_until_ms])?;
    if fresh == 0 {
        return Ok(Sent::Duplicate);
    }
    tx.prepare_cached(
        "INSERT INTO message (grp, dedup_id, body, sent_ms, visible_ms) VALUES (?1, ?2, ?3, ?4, ?4)",
    )?
    .execute(params![group, dedup_id, body, now_ms])?;
    Ok(Sent::Enqueued)
}

/// Drops what nobody has wanted for so long that nobody will.
pub(super) fn forget(tx: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    let before = |kept: Duration| now_ms - i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    tx.prepare_cached("DELETE FROM message WHERE sent_ms <= ?1 AND visible_ms <= ?2")?
        .execute([before(RETENTION), now_ms])?;
    tx.prepare_cached("DELETE FROM dead WHERE died_ms <= ?1")?
        .execute([before(DEAD_RETENTION)])?;
    Ok(())
}

/// Puts poisoned bodies aside. Returns how many.
pub(super) fn bury(tx: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "INSERT INTO dead (id, grp, dedup_id, body, sent_ms, died_ms, receive_count)
         SELECT id, grp, dedup_id, body, sent_ms, ?1, receive_count FROM message
         WHERE visible_ms <= ?1 AND receive_count >= ?2",
    )?
    .execute(params![now_ms, MAX_RECEIVES])?;
    tx.prepare_cached("DELETE FROM message WHERE visible_ms <= ?1 AND receive_count >= ?2")?
        .execute(params![now_ms, MAX_RECEIVES])
}

/// Leases up to `max` bodies, at most one of each group, oldest first. `receipt` makes a new handle.
pub(super) fn lease(
    tx: &Transaction<'_>,
    now_ms: i64,
    until_ms: i64,
    max: usize,
    mut receipt: impl FnMut() -> String,
) -> rusqlite::Result<Vec<Received>> {
    let mut heads = tx.prepare_cached(
        "SELECT m.id, m.grp, m.body, m.receive_count, m.sent_ms FROM message m
         WHERE m.visible_ms <= ?1 AND m.id = (SELECT min(h.id) FROM message h WHERE h.grp = m.grp)
         ORDER BY m.id LIMIT ?2",
    )?;
    let rows = heads
        .query_map(params![now_ms, i64::try_from(max).unwrap_or(i64::MAX)], |row| {
            Ok((row.get::<_, i64>(0)?, received(row, receipt())?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut update = tx.prepare_cached(
        "UPDATE message SET receipt = ?2, visible_ms = ?3, receive_count = receive_count + 1 WHERE id = ?1",
    )?;
    let mut leased = Vec::with_capacity(rows.len());
    for (id, received) in rows {
        update.execute(params![id, received.receipt.as_str(), until_ms])?;
        leased.push(received);
    }
    Ok(leased)
}

fn received(row: &Row<'_>, receipt: String) -> rusqlite::Result<Received> {
    let sent_ms: i64 = row.get(4)?;
    Ok(Received {
        receipt: Receipt::new(receipt),
        group: row.get(1)?,
        body: row.get(2)?,
        receive_count: row.get::<_, u32>(3)? + 1,
        sent_at: OffsetDateTime::from_unix_timestamp_nanos(i128::from(sent_ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
    })
}

/// Sets the end of a lease that has not ended yet. False: the receipt is stale.
pub(super) fn set_visible(
    conn: &Connection,
    now_ms: i64,
    receipt: &str,
    visible_ms: i64,
) -> rusqlite::Result<bool> {
    let changed = conn
        .prepare_cached("UPDATE message SET visible_ms = ?3 WHERE receipt = ?2 AND visible_ms > ?1")?
        .execute(params![now_ms, receipt, visible_ms])?;
    Ok(changed > 0)
}

/// Ends a lease whose body reached nobody, and does not count it as a receive.
pub(super) fn return_undelivered(tx: &Transaction<'_>, now_ms: i64, receipt: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE message SET visible_ms = ?1, receive_count = receive_count - 1
         WHERE receipt = ?2 AND visible_ms > ?1",
    )?
    .execute(params![now_ms, receipt])
    .map(|_| ())
}

/// Removes a leased body. False: the receipt is stale.
pub(super) fn delete(conn: &Connection, now_ms: i64, receipt: &str) -> rusqlite::Result<bool> {
    let changed = conn
        .prepare_cached("DELETE FROM message WHERE receipt = ?2 AND visible_ms > ?1")?
        .execute(params![now_ms, receipt])?;
    Ok(changed > 0)
}

/// When the next lease ends, if one runs.
pub(super) fn next_lease_end(conn: &Connection, now_ms: i64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT min(visible_ms) FROM message WHERE visible_ms > ?1")?
        .query_row([now_ms], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// Changes when another connection, of this process or of another one, has written.
pub(super) fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "data_version", |row| row.get(0))
}

pub(super) fn depth(conn: &Connection, now_ms: i64) -> rusqlite::Result<Depth> {
    conn.query_row(
        "SELECT (SELECT count(*) FROM message WHERE visible_ms <= ?1),
                (SELECT count(*) FROM message WHERE visible_ms > ?1),
                (SELECT count(*) FROM dead)",
        [now_ms],
        |row| {
            let count = |column| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(Depth {
                visible: count(0)?,
                in_flight: count(1)?,
                dead: count(2)?,
            })
        },
    )
}
