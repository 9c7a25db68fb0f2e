//! Counters, a bounded event log with the seed's events (`sync_attempt`, `sync_conflict`,
//! `sync_success`), and one bundle to attach to a bug report. None of it holds what the user wrote,
//! and none of it makes a commit of its own: it rides on the transaction it tells of.

mod examine;

pub use examine::{Examination, Problem};

use crate::{
    db::{Read, Write},
    drain::{HalfResult, Report},
    error::Result,
    hlc::Hlc,
    queue::Head,
    record::Row,
};
use rusqlite::params;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncEvent {
    /// When: UTC milliseconds.
    pub at: i64,
    /// What: `sync_attempt`, `sync_conflict`, `sync_success`, `sync_failure`, `retries_used_up`, `edit_lost`,
    /// `epoch_changed`, `clock_clamped`.
    pub event: String,
    /// Its fields.
    pub fields: Map<String, Value>,
}

fn event(write: &mut Write<'_>, name: &str, fields: &Value) -> Result<()> {
    write
        .conn
        .prepare_cached("INSERT INTO event (at, event, fields) VALUES (?1, ?2, ?3)")?
        .execute(params![write.now.wall_ms, name, fields.to_string()])?;
    let bound = i64::try_from(write.shared.settings.event_count).unwrap_or(i64::MAX);
    write
        .conn
        .prepare_cached("DELETE FROM event WHERE n <= (SELECT max(n) FROM event) - ?1")?
        .execute([bound])?;
    Ok(())
}

fn count(write: &mut Write<'_>, name: &str, by: u64) -> Result<()> {
    if by == 0 {
        return Ok(());
    }
    write
        .conn
        .prepare_cached("INSERT INTO counter (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = value + excluded.value")?
        .execute(params![name, i64::try_from(by).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// An entry met another version.
pub(crate) fn conflict_met(write: &mut Write<'_>, head: &Head, server_version: i64) -> Result<()> {
    count(write, "conflicts", 1)?;
    let resolution = match write.shared.collections.get(&head.collection) {
        Ok(collection) => format!("{:?}", collection.policy),
        Err(_) => "Ask".to_owned(),
    };
    let fields = json!({
        "entity_type": head.collection, "entity_id": head.id, "client_version": head.base_version,
        "server_version": server_version, "resolution": resolution,
    });
    event(write, "sync_conflict", &fields)
}

/// The user has to decide.
pub(crate) fn conflict_opened(write: &mut Write<'_>) -> Result<()> {
    count(write, "manual_interventions", 1)
}

/// A local change was lost to the server by policy; the record's history has it.
pub(crate) fn lost(write: &mut Write<'_>, row: &Row, to_delete: bool) -> Result<()> {
    count(write, "edits_lost", 1)?;
    let fields = json!({ "entity_type": row.collection, "entity_id": row.id, "to_delete": to_delete });
    event(write, "edit_lost", &fields)
}

/// The server began another life.
pub(crate) fn epoch_changed(write: &mut Write<'_>, requeued: usize) -> Result<()> {
    count(write, "epoch_changes", 1)?;
    event(write, "epoch_changed", &json!({ "requeued": requeued }))
}

/// A version came whose clock is too far ahead to be believed.
pub(crate) fn clock_met(write: &mut Write<'_>, device_id: &str, said: Hlc, believed: Hlc) -> Result<()> {
    if said == believed {
        return Ok(());
    }
    clock_clamped(write, device_id, said.wall_ms().saturating_sub(believed.wall_ms()))
}

/// The backend told its time; what this device has written may be too far ahead of it.
pub(crate) fn time_told(write: &mut Write<'_>, server_time: i64) -> Result<()> {
    match write.learn_time(server_time) {
        Some(ahead_ms) => {
            let device_id = write.shared.device_id.to_string();
            clock_clamped(write, &device_id, ahead_ms)
        }
        None => Ok(()),
    }
}

/// Each is counted; an event is written where the last one is of another device, so that a page full of
/// them does not push out all others.
fn clock_clamped(write: &mut Write<'_>, device_id: &str, ahead_ms: i64) -> Result<()> {
    count(write, "clocks_clamped", 1)?;
    let mut statement = write.conn.prepare_cached(
        "SELECT 1 FROM event WHERE n = (SELECT max(n) FROM event) AND event = 'clock_clamped'
         AND json_extract(fields, '$.device_id') = ?1",
    )?;
    if statement.exists([device_id])? {
        return Ok(());
    }
    event(
        write,
        "clock_clamped",
        &json!({ "device_id": device_id, "ahead_ms": ahead_ms }),
    )
}

/// A pass had something to tell.
pub(crate) fn pass_ended(write: &mut Write<'_>, report: &Report, parked: u64, duration_ms: u64) -> Result<()> {
    let device_id = write.shared.device_id.to_string();
    event(
        write,
        "sync_attempt",
        &json!({ "device_id": device_id, "items_count": report.accepted + report.conflicts + parked }),
    )?;
    let code = |half: HalfResult| {
        if let HalfResult::Failed(code) = half {
            Some(code)
        } else {
            None
        }
    };
    let (pull, push) = (code(report.pull), code(report.push));
    if pull.is_some() || push.is_some() {
        count(write, "failed_syncs", 1)?;
        event(
            write,
            "sync_failure",
            &json!({ "pull": pull, "push": push, "duration_ms": duration_ms }),
        )?;
    } else {
        event(
            write,
            "sync_success",
            &json!({ "items_synced": report.accepted, "items_pulled": report.pulled, "duration_ms": duration_ms }),
        )?;
    }
    if report.gave_up > 0 {
        count(write, "gave_up", report.gave_up)?;
        event(write, "retries_used_up", &json!({ "items_count": report.gave_up }))?;
    }
    count(write, "syncs", 1)?;
    count(write, "items_sent", report.accepted)?;
    count(write, "items_pulled", report.pulled)?;
    count(write, "parked", parked)?;
    count(write, "requests", report.requests)?;
    count(write, "sync_ms", duration_ms)
}

impl Read<'_> {
    /// When the last drain ended whose halves both worked, as the file knows: UTC milliseconds, also of
    /// an earlier process. A drain that had nothing to write is known here once the file was closed.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn last_synced_at(&self) -> Result<Option<i64>> {
        self.meta("synced_at")
    }

    /// Counters since the file was made.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn counters(&self) -> Result<BTreeMap<String, i64>> {
        let mut statement = self.conn.prepare_cached("SELECT name, value FROM counter")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The last events, newest first, at most `limit`.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn events(&self, limit: usize) -> Result<Vec<SyncEvent>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT at, event, fields FROM event ORDER BY n DESC LIMIT ?1")?;
        let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let fields: String = row.get(2)?;
            events.push(SyncEvent {
                at: row.get(0)?,
                event: row.get(1)?,
                fields: serde_json::from_str(&fields)?,
            });
        }
        Ok(events)
    }

    /// How many unsent writes have had how many attempts.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn retries(&self) -> Result<BTreeMap<i64, i64>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT attempts, count(*) FROM entry GROUP BY attempts")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Everything a bug report needs, as JSON, without anything the user wrote: no bodies, no account,
    /// no messages of the backend (they may quote a body). It is in clear, also where the file is encrypted.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn bundle(&self) -> Result<Value> {
        self.together(|| self.whole_bundle())
    }

    fn whole_bundle(&self) -> Result<Value> {
        let counts = self.queue_counts()?;
        let mut entries = Vec::new();
        for entry in self.entries(i64::MIN, 200)? {
            entries.push(json!({
                "seq": entry.seq, "collection": entry.collection, "kind": entry.kind.as_str(), "state": entry.state.as_str(),
                "attempts": entry.attempts, "maybe_sent": entry.maybe_sent, "base_version": entry.base_version,
                "reason": entry.reason.map(|reason| reason.code), "created_at": entry.created_at,
            }));
        }
        let mut records = Map::new();
        let mut statement = self
            .conn
            .prepare_cached("SELECT collection, state, count(*) FROM record GROUP BY 1, 2")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = format!("{}/{}", row.get::<_, String>(0)?, row.get::<_, i64>(1)?);
            records.insert(key, Value::from(row.get::<_, i64>(2)?));
        }
        let mut pulls = Map::new();
        let mut statement = self
            .conn
            .prepare_cached("SELECT collection, cursor IS NOT NULL, generation, complete, first_done FROM pull")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (has_cursor, generation): (bool, i64) = (row.get(1)?, row.get(2)?);
            let (complete, first_done): (bool, bool) = (row.get(3)?, row.get(4)?);
            let pull = json!({ "has_cursor": has_cursor, "generation": generation, "complete": complete, "first_done": first_done });
            pulls.insert(row.get(0)?, pull);
        }
        let events: Vec<Value> = self
            .events(200)?
            .into_iter()
            .map(|event| json!({ "at": event.at, "event": event.event, "fields": event.fields }))
            .collect();
        Ok(json!({
            "keepsync": env!("CARGO_PKG_VERSION"),
            "sqlite": rusqlite::version(),
            "schema": self.conn.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?,
            "device_id": *self.shared.device_id,
            "queue": {
                "waiting": counts.waiting, "exhausted": counts.exhausted, "held": counts.held, "conflict": counts.conflict,
                "parked": counts.parked, "oldest": entries,
            },
            "retries": self.retries()?.into_iter().map(|(attempts, count)| (attempts.to_string(), count)).collect::<BTreeMap<_, _>>(),
            "records": records,
            "pulls": pulls,
            "counters": self.counters()?,
            "events": events,
            "settings": format!("{:?}", Redacted(&self.shared.settings)),
        }))
    }
}

/// The settings without the device's label, which may be a person's name.
struct Redacted<'a>(&'a crate::settings::Settings);

impl std::fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(
            &crate::settings::Settings {
                device_label: None,
                ..self.0.clone()
            },
            f,
        )
    }
}
