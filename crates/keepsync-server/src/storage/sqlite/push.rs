//! A push: facts are read, [`decide`] decides, what it decided is written.

use super::{epoch::Epoch, rows};
use crate::{
    decide::{self, Decision, Facts, Fingerprint, Remembered, decide},
    planted::{self, Bug},
    storage::{Push, StorageError},
};
use keepsync_wire::{Operation, SyncItem, SyncRequest, SyncResponse, SyncResult, Version};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

/// Applies a push within the writer's transaction.
pub(super) fn push(
    conn: &Connection,
    epoch: &Epoch,
    user: &str,
    push: &Push,
    now_ms: i64,
) -> Result<SyncResponse, StorageError> {
    let request = &push.request;
    let mut results = Vec::new();
    // One that names no epoch may have been on its way since before the restore.
    let same_life = match &request.epoch {
        Some(counted) => *counted == epoch.name,
        None => epoch.parent.is_none(),
    };
    if same_life {
        let mut account = Account::read(conn, user)?;
        let head = account.head;
        let mut carried = 0;
        for (at, item) in request.items.iter().enumerate() {
            let refusal = push.refusals.get(at).and_then(Option::as_ref);
            let fingerprint = decide::fingerprint(item);
            let facts = account.facts(item)?;
            results.push(match decide(item, &fingerprint, refusal, facts) {
                Decision::Answer(answer) if answer.server.is_some() && carried >= push.answer_bytes => {
                    decide::put_off(*answer)
                }
                Decision::Answer(answer) => {
                    carried += answer.server.as_ref().map_or(0, rows::size);
                    *answer
                }
                Decision::Apply { version, created_at } => {
                    account.head += 1;
                    let made = Made {
                        version,
                        created_at: created_at.unwrap_or(now_ms),
                        now_ms,
                    };
                    account.apply(request, item, &fingerprint, &made)?
                }
            });
        }
        if account.head != head {
            account.write()?;
        }
    }
    Ok(SyncResponse {
        results,
        server_time: now_ms,
        epoch: epoch.name.clone(),
    })
}

/// One user's, and the only way from a push to the tables: every statement names the user.
struct Account<'a> {
    conn: &'a Connection,
    user: &'a str,
    head: i64,
    floor: i64,
}

/// What an operation produces.
struct Made {
    version: i64,
    created_at: i64,
    now_ms: i64,
}

impl<'a> Account<'a> {
    fn read(conn: &'a Connection, user: &'a str) -> Result<Self, StorageError> {
        let row = conn
            .prepare_cached("SELECT head, version_floor FROM account WHERE user = ?1")?
            .query_row([user], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (head, floor) = row.unwrap_or((0, 0));
        Ok(Self {
            conn,
            user,
            head,
            floor,
        })
    }

    fn write(&self) -> Result<(), StorageError> {
        let sql = "INSERT INTO account (user, head) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET head = excluded.head";
        self.conn.prepare_cached(sql)?.execute(params![self.user, self.head])?;
        Ok(())
    }

    /// What is known; of an operation that was applied before, no more than that.
    fn facts(&self, item: &SyncItem) -> Result<Facts, StorageError> {
        let remembered = self.remembered(item.op_id)?.filter(|_| !planted::is(Bug::NoDedup));
        if remembered.is_some() {
            return Ok(Facts {
                remembered,
                ..Facts::default()
            });
        }
        let looks = !planted::is(Bug::ForgetsEarlierIds) && !planted::is(Bug::NoDedup);
        for op in item.earlier.iter().filter(|_| looks) {
            if let Some(earlier) = self.remembered(*op)?
                && self.is_of(*op, item)?
            {
                return Ok(Facts {
                    earlier: Some(earlier),
                    ..Facts::default()
                });
            }
        }
        let mut after_applied = true;
        for op in &item.after {
            after_applied = after_applied && self.remembered(*op)?.is_some();
        }
        let before = item.base_op.map(|op| self.remembered(op)).transpose()?;
        Ok(Facts {
            remembered: None,
            earlier: None,
            after_applied,
            produced: before.flatten().map(|before| before.version),
            current: self.current(&item.entity_type, &item.entity_id)?,
            floor: self.floor,
        })
    }

    fn remembered(&self, op: Uuid) -> Result<Option<Remembered>, StorageError> {
        let sql = "SELECT fingerprint, version, change, updated_at FROM applied WHERE user = ?1 AND op = ?2";
        let read = |row: &Row<'_>| {
            Ok(Remembered {
                fingerprint: row.get(0)?,
                version: row.get(1)?,
                change: row.get(2)?,
                updated_at: row.get(3)?,
            })
        };
        let mut statement = self.conn.prepare_cached(sql)?;
        Ok(statement
            .query_row(params![self.user, op.as_bytes()], read)
            .optional()?)
    }

    /// Whether an operation that was applied was one of the item's record.
    fn is_of(&self, op: Uuid, item: &SyncItem) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM applied WHERE user = ?1 AND op = ?2 AND collection = ?3 AND id = ?4";
        let mut statement = self.conn.prepare_cached(sql)?;
        Ok(statement.exists(params![self.user, op.as_bytes(), item.entity_type, item.entity_id])?)
    }

    fn current(&self, collection: &str, id: &str) -> Result<Option<Version>, StorageError> {
        let sql = format!(
            "SELECT {} FROM record WHERE user = ?1 AND collection = ?2 AND id = ?3",
            rows::VERSION
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut found = statement.query([self.user, collection, id])?;
        found.next()?.map(rows::version).transpose()
    }

    /// Writes the record, its writer and the answer to remember, under the head.
    fn apply(
        &self,
        request: &SyncRequest,
        item: &SyncItem,
        fingerprint: &Fingerprint,
        made: &Made,
    ) -> Result<SyncResult, StorageError> {
        let body = item.data.as_ref().filter(|_| item.operation != Operation::Delete);
        self.conn
            .prepare_cached(
                "INSERT INTO record (user, collection, id, body, version, change, hlc, op, device_id, device_label, created_at, updated_at, clocks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT (user, collection, id) DO UPDATE SET
                    body = excluded.body, version = excluded.version, change = excluded.change, hlc = excluded.hlc,
                    op = excluded.op, device_id = excluded.device_id, device_label = excluded.device_label,
                    created_at = excluded.created_at, updated_at = excluded.updated_at, clocks = excluded.clocks",
            )?
            .execute(params![
                self.user,
                item.entity_type,
                item.entity_id,
                body.map(|body| body.get()),
                made.version,
                self.head,
                item.hlc.to_i64(),
                item.op_id.as_bytes(),
                request.device_id,
                request.device_label,
                made.created_at,
                made.now_ms,
                item.clocks.as_ref().map(|clocks| clocks.get()),
            ])?;
        self.conn
            .prepare_cached(
                "INSERT INTO writer (user, collection, id, device_id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute([self.user, &item.entity_type, &item.entity_id, &request.device_id])?;
        if planted::is(Bug::NoDedup) {
            let sql = "DELETE FROM applied WHERE user = ?1 AND op = ?2";
            self.conn.execute(sql, params![self.user, item.op_id.as_bytes()])?;
        }
        self.conn
            .prepare_cached(
                "INSERT INTO applied (user, op, collection, id, fingerprint, version, change, updated_at, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
            )?
            .execute(params![
                self.user,
                item.op_id.as_bytes(),
                item.entity_type,
                item.entity_id,
                fingerprint,
                made.version,
                self.head,
                made.now_ms,
            ])?;
        Ok(decide::applied(item, made.version, self.head, made.now_ms))
    }
}
