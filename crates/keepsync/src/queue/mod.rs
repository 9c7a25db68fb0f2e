//! The queue of unsent writes.
//!
//! # The life of an entry
//! 1. **Append**: made in the transaction of the write itself, or folded into the record's last
//!    entry if that has certainly never left the device. Stopped before the commit: neither the
//!    write nor the entry happened.
//! 2. **Schedule** ([`drain::schedule`](crate::drain::schedule)): the drain picks what may go: its lane's turn, its time, its
//!    predecessors.
//! 3. **Claim**: that it may have been sent is committed before the first byte leaves (as a row in
//!    `flight`, which the answer moves into `maybe_sent` where the entry stays), and what is sent is frozen.
//!    Stopped after it: the entry waits, and goes again under the same operation id.
//! 4. **Settle**: what the backend said, in one transaction with what it changes. Stopped before
//!    it: as after 3; the backend answers the repeat with its first answer.
//!
//! What cannot be sent stays here, parked with its reason, until the user edits, retries or
//! discards it ([`edit`], [`retry`], [`discard`]). [`Why`] says of each entry what keeps it, and
//! [`WriteOutcome`] of each operation what became of it, when it is long gone too.
//!
//! # Order
//! `seq` orders; no clock does. An entry follows the earlier entries of its record. An entry of a
//! child follows its parent's creation. A parent's change of state (`complete`, `skip`, `delete`)
//! follows the earlier entries of its children. These three rules are `after`; [`Entry::after`]
//! tells them for one entry.

mod append;
mod claim;
mod flight;
mod fold;
mod inspect;
mod outcome;
mod rollback;
mod settle;
mod why;

pub use flight::Flight;
pub(crate) use inspect::cancel_children;
pub use inspect::{discard, edit, export, retry, retry_all};
pub use outcome::WriteOutcome;
pub use rollback::{Rollback, rollback};
pub use settle::{Rejection, SettleReport};
pub use why::Why;

pub(crate) use outcome::Ended;

pub(crate) use append::{Append, Appended, append, append_first, set_content, would_cancel};
pub(crate) use claim::claim;
pub(crate) use settle::{accept, park, postpone, settle};

use crate::{
    db::{Read, Write},
    error::{Error, Result},
    hlc::Hlc,
    planted::{self, Bug},
    record::Base,
};
use once_cell::sync::Lazy;
use rusqlite::{Connection, params};
use std::fmt;
use uuid::Uuid;

/// What an entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Makes a record.
    Create,
    /// Gives a record a new body.
    Update,
    /// Deletes a record.
    Delete,
    /// Completes a session.
    Complete,
    /// Skips a session.
    Skip,
}

impl Kind {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Complete => "complete",
            Self::Skip => "skip",
        }
    }

    /// `None` for a kind that only a newer app knows: its entries are left alone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Complete, Self::Skip]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    /// Changes of state never fold, and wait for the children.
    pub(crate) fn changes_state(self) -> bool {
        matches!(self, Self::Complete | Self::Skip)
    }

    /// Whether a later write of the record holds all that this one says, so that it may go first where this one
    /// is refused. A change of state is said by its own operation alone.
    pub(crate) fn can_be_overtaken(self) -> bool {
        !self.changes_state()
    }

    /// Waits for the entries of the record's children.
    pub(crate) fn follows_children(self) -> bool {
        (self.changes_state() || self == Self::Delete) && !planted::is(Bug::EndBeforeChildren)
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// For its turn, its time, or an answer.
    Waiting,
    /// Until its session is done.
    Held,
    /// Until the user settles the conflict.
    Conflict,
    /// Refused, or impossible to send: until the user edits, retries or discards it.
    Parked,
}

impl EntryState {
    /// As the command line and the bindings spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Conflict => "conflict",
            Self::Parked => "parked",
        }
    }

    pub(crate) fn from_i64(raw: i64) -> Self {
        match raw {
            0 => Self::Waiting,
            1 => Self::Held,
            2 => Self::Conflict,
            _ => Self::Parked,
        }
    }
}

/// Why an entry is where it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason {
    /// Machine-readable, stable.
    pub code: String,
    /// For a person.
    pub message: String,
}

impl fmt::Debug for Reason {
    // A backend's message may quote the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({})", self.code)
    }
}

/// Never tried again by itself: the schedule is used up.
pub(crate) const NEVER: u64 = i64::MAX as u64;

/// One unsent write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order.
    pub seq: i64,
    /// Its operation id: the same on every attempt of the same content.
    pub op: Uuid,
    /// The refused operation whose place it takes.
    pub replaces: Option<Uuid>,
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// The order it belongs to: the parent's id, or the record's own.
    pub lane: String,
    /// What it does.
    pub kind: Kind,
    /// JSON text, only where it was asked for; `None` for a delete.
    pub body: Option<String>,
    /// The server version it was made on; 0 for none.
    pub base_version: i64,
    /// Whether a byte of it may have left the device.
    pub maybe_sent: bool,
    /// Attempts that counted.
    pub attempts: u32,
    /// Not before this moment, UTC milliseconds; `None` for now, or for never by itself.
    pub next_attempt_at: Option<i64>,
    /// Whether the schedule is used up: it goes out on the next network change, foreground or tap,
    /// or, if set so, on a tap only.
    pub exhausted: bool,
    /// Where it stands.
    pub state: EntryState,
    /// Why.
    pub reason: Option<Reason>,
    /// When the user wrote it: UTC milliseconds.
    pub created_at: i64,
    /// What keeps it here, with what stands before it taken into account.
    pub why: Why,
    /// Operation ids of the unsent writes it must follow; only where one entry was asked for.
    pub after: Vec<Uuid>,
}

/// An entry as the core works with it.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) seq: i64,
    pub(crate) op: Uuid,
    pub(crate) replaces: Option<Uuid>,
    /// Under these ids the same content may have been applied, or may yet be, by a backend that was restored.
    pub(crate) earlier: Vec<Uuid>,
    pub(crate) collection: String,
    pub(crate) id: String,
    pub(crate) lane: String,
    pub(crate) kind: Option<Kind>,
    pub(crate) base_version: i64,
    pub(crate) base: Base,
    pub(crate) base_op: Option<Uuid>,
    pub(crate) base_id: Option<Uuid>,
    pub(crate) hlc: Hlc,
    pub(crate) maybe_sent: bool,
    pub(crate) attempts: u32,
    pub(crate) next_tick: u64,
    pub(crate) state: EntryState,
    pub(crate) reason: Option<Reason>,
    pub(crate) created_at: i64,
}

/// How many [`HEAD`] names.
pub(crate) const HEAD_COLUMNS: usize = 21;

macro_rules! maybe_sent {
    () => {
        "(maybe_sent OR EXISTS (SELECT 1 FROM flight WHERE flight.seq = entry.seq))"
    };
}

/// Whether a byte of an entry may have left the device, as SQL.
pub(crate) const MAYBE_SENT: &str = maybe_sent!();

macro_rules! head {
    ($base_op:expr, $maybe_sent:expr) => {
        concat!(
            "entry.seq, op, replaces, collection, id, lane, kind, base_version, base, base_body, ",
            $base_op,
            ", hlc, ",
            $maybe_sent,
            ", attempts, next_tick, state, reason_code, reason_message, created_at, base_id, earlier"
        )
    };
}

/// Bodies are left out: a queue of ten thousand is looked through often, its bodies seldom.
pub(crate) const HEAD: &str = head!(
    "coalesce((SELECT base_op FROM flight WHERE flight.seq = entry.seq), base_op)",
    maybe_sent!()
);

/// The same, for many entries at once from `entry LEFT JOIN flight ON flight.seq = entry.seq`.
pub(crate) const HEAD_JOINED: &str = head!(
    "coalesce(flight.base_op, entry.base_op)",
    "(maybe_sent OR flight.seq IS NOT NULL)"
);

/// An operation id, where there is one.
pub(crate) fn uuid_from_sql(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}

/// Operation ids in a row, as [`uuids_to_sql`] writes them.
fn uuids_from_sql(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Vec<Uuid>> {
    let bytes = row.get_ref(column)?.as_blob_or_null()?.unwrap_or_default();
    Ok(bytes
        .chunks_exact(16)
        .filter_map(|one| Uuid::from_slice(one).ok())
        .collect())
}

/// NULL where there are none, as nearly always.
pub(crate) fn uuids_to_sql(uuids: &[Uuid]) -> Option<Vec<u8>> {
    (!uuids.is_empty()).then(|| uuids.iter().flat_map(Uuid::as_bytes).copied().collect())
}

pub(crate) fn head_from_sql(row: &rusqlite::Row<'_>) -> rusqlite::Result<Head> {
    let reason_code: Option<String> = row.get(16)?;
    let reason_message: Option<String> = row.get(17)?;
    Ok(Head {
        seq: row.get(0)?,
        op: Uuid::from_bytes(row.get(1)?),
        replaces: uuid_from_sql(row, 2)?,
        collection: row.get(3)?,
        id: row.get(4)?,
        lane: row.get(5)?,
        kind: Kind::parse(row.get_ref(6)?.as_str()?),
        base_version: row.get(7)?,
        base: Base::from_columns(row.get(8)?, row.get(9)?),
        base_op: uuid_from_sql(row, 10)?,
        hlc: Hlc::from_i64(row.get(11)?),
        maybe_sent: row.get(12)?,
        attempts: row.get(13)?,
        next_tick: u64::try_from(row.get::<_, i64>(14)?).unwrap_or(0),
        state: EntryState::from_i64(row.get(15)?),
        reason: reason_code.map(|code| Reason {
            code,
            message: reason_message.unwrap_or_default(),
        }),
        created_at: row.get(18)?,
        base_id: uuid_from_sql(row, 19)?,
        earlier: uuids_from_sql(row, 20)?,
    })
}

/// The unsent writes of one record, oldest first.
pub(crate) fn heads_of(conn: &Connection, collection: &str, id: &str, lane: &str) -> Result<Vec<Head>> {
    static SQL: Lazy<String> =
        Lazy::new(|| format!("SELECT {HEAD} FROM entry WHERE lane = ?1 AND id = ?2 AND collection = ?3 ORDER BY seq"));
    let mut statement = conn.prepare_cached(&SQL)?;
    let rows = statement.query_map(params![lane, id, collection], head_from_sql)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn head_at(conn: &Connection, seq: i64) -> Result<Option<Head>> {
    static SQL: Lazy<String> = Lazy::new(|| format!("SELECT {HEAD} FROM entry WHERE seq = ?1"));
    let mut statement = conn.prepare_cached(&SQL)?;
    let mut rows = statement.query_map([seq], head_from_sql)?;
    Ok(rows.next().transpose()?)
}

/// The body of an entry, and the clocks of its units.
pub(crate) type Content = (Option<String>, Option<String>);

/// An entry with its content.
pub(crate) fn whole_at(conn: &Connection, seq: i64) -> Result<Option<(Head, Content)>> {
    static SQL: Lazy<String> = Lazy::new(|| format!("SELECT {HEAD}, body, clocks FROM entry WHERE seq = ?1"));
    let mut statement = conn.prepare_cached(&SQL)?;
    let mut rows = statement.query_map([seq], |row| {
        Ok((
            head_from_sql(row)?,
            (row.get(HEAD_COLUMNS)?, row.get(HEAD_COLUMNS + 1)?),
        ))
    })?;
    Ok(rows.next().transpose()?)
}

/// Places in the queue as one bound value, for `IN (SELECT value FROM json_each(?))`: one statement for a
/// batch costs a fraction of one for each.
pub(crate) fn seq_list(seqs: impl IntoIterator<Item = i64>) -> String {
    let mut list = String::from("[");
    for seq in seqs {
        if list.len() > 1 {
            list.push(',');
        }
        list += &seq.to_string();
    }
    list.push(']');
    list
}

pub(crate) fn content_at(conn: &Connection, seq: i64) -> Result<Content> {
    let mut statement = conn.prepare_cached("SELECT body, clocks FROM entry WHERE seq = ?1")?;
    Ok(statement.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

pub(crate) fn body_at(conn: &Connection, seq: i64) -> Result<Option<String>> {
    let mut statement = conn.prepare_cached("SELECT body FROM entry WHERE seq = ?1")?;
    Ok(statement.query_row([seq], |row| row.get(0))?)
}

impl Head {
    /// Whether its fate is open: it may be applied without our knowing. A refusal, a conflict and
    /// a fresh operation id end that.
    pub(crate) fn fate_open(&self) -> bool {
        self.maybe_sent && matches!(self.state, EntryState::Waiting | EntryState::Held)
    }

    /// Whether this operation carried its content, now or in an earlier epoch.
    pub(crate) fn went_as(&self, op: Uuid) -> bool {
        self.op == op || self.earlier.contains(&op)
    }

    pub(crate) fn remove(&self, write: &mut Write<'_>, ended: Ended) -> Result<()> {
        write
            .conn
            .prepare_cached("DELETE FROM entry WHERE seq = ?1")?
            .execute([self.seq])?;
        write.changes.queue = true;
        if self.maybe_sent {
            self.leave_flight(write)?;
        }
        outcome::note(write, self.op, ended)
    }

    fn leave_flight(&self, write: &mut Write<'_>) -> Result<()> {
        write
            .conn
            .prepare_cached("DELETE FROM flight WHERE seq = ?1")?
            .execute([self.seq])?;
        Ok(())
    }

    /// Gives it an operation id that has never left the device, naming the old one if that has, for other
    /// content. Only for an entry whose old operation was certainly not applied.
    pub(crate) fn freshen(&mut self, write: &mut Write<'_>) -> Result<()> {
        self.earlier.clear();
        self.renew(write)
    }

    /// The same for the same content, which remembers the old id: a backend that is restored may come to
    /// apply late what it refused before.
    pub(crate) fn freshen_alike(&mut self, write: &mut Write<'_>) -> Result<()> {
        if self.maybe_sent {
            self.remember_id();
        }
        self.renew(write)
    }

    fn renew(&mut self, write: &mut Write<'_>) -> Result<()> {
        if self.maybe_sent {
            let old = std::mem::replace(&mut self.op, write.uuid_v7());
            self.replaces = Some(old);
            self.maybe_sent = false;
            self.leave_flight(write)?;
            outcome::note(write, old, Ended::Superseded(self.op))?;
        }
        self.base_op = None;
        self.store(write)
    }

    /// Its content may be, or come to be, applied under the id it has now, whatever id it gets.
    pub(crate) fn remember_id(&mut self) {
        /// Nobody restores a backend this often; what is older is let go rather than sent for ever.
        const MOST: usize = 16;
        if !self.earlier.contains(&self.op) {
            self.earlier.push(self.op);
            let over = self.earlier.len().saturating_sub(MOST);
            self.earlier.drain(..over);
        }
    }

    /// Writes all that can change, except the body.
    pub(crate) fn store(&self, write: &mut Write<'_>) -> Result<()> {
        let (base, base_body) = self.base.to_columns();
        let mut statement = write.conn.prepare_cached(
            "UPDATE entry SET op = ?2, replaces = ?3, kind = coalesce(?4, kind), base_version = ?5, base = ?6, base_body = ?7,
             base_op = ?8, hlc = ?9, maybe_sent = ?10, attempts = ?11, next_tick = ?12, state = ?13, reason_code = ?14,
             reason_message = ?15, base_id = ?16, earlier = ?17 WHERE seq = ?1",
        )?;
        statement.execute(params![
            self.seq,
            self.op.as_bytes(),
            self.replaces.as_ref().map(Uuid::as_bytes),
            self.kind.map(Kind::as_str),
            self.base_version,
            base,
            base_body,
            self.base_op.as_ref().map(Uuid::as_bytes),
            self.hlc.to_i64(),
            self.maybe_sent,
            self.attempts,
            i64::try_from(self.next_tick).unwrap_or(i64::MAX),
            self.state as i64,
            self.reason.as_ref().map(|reason| &reason.code),
            self.reason.as_ref().map(|reason| &reason.message),
            self.base_id.as_ref().map(Uuid::as_bytes),
            uuids_to_sql(&self.earlier),
        ])?;
        if self.maybe_sent {
            // Its own row tells it now.
            self.leave_flight(write)?;
        }
        write.changes.queue = true;
        if matches!(self.state, EntryState::Parked | EntryState::Conflict) {
            write.changes.outcomes.push(self.op);
        }
        Ok(())
    }
}

/// How many entries stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// For their turn, their time, or an answer.
    pub waiting: u64,
    /// Of those: with a schedule that is used up.
    pub exhausted: u64,
    /// Until their session is done.
    pub held: u64,
    /// Until the user settles a conflict.
    pub conflict: u64,
    /// Until the user does something about a refusal.
    pub parked: u64,
}

impl QueueCounts {
    /// All unsent writes.
    pub fn total(&self) -> u64 {
        self.waiting + self.held + self.conflict + self.parked
    }
}

impl Read<'_> {
    /// Unsent writes, oldest first, without bodies; at most `limit`, from after `after_seq` on.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn entries(&self, after_seq: i64, limit: usize) -> Result<Vec<Entry>> {
        inspect::list(self, after_seq, limit)
    }

    /// One unsent write with its body and what it must follow.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn entry(&self, op: Uuid) -> Result<Entry> {
        inspect::look_at(self, op)
    }

    /// What has become of an operation, also one of an earlier life of the process.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn outcome(&self, op: Uuid) -> Result<WriteOutcome> {
        self.together(|| outcome::look(self, op))
    }

    /// How many entries stand where.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn queue_counts(&self) -> Result<QueueCounts> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT state, next_tick = ?1, count(*) FROM entry GROUP BY 1, 2")?;
        let mut counts = QueueCounts::default();
        let mut rows = statement.query([i64::MAX])?;
        while let Some(row) = rows.next()? {
            let count = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
            match EntryState::from_i64(row.get(0)?) {
                EntryState::Waiting => {
                    counts.waiting += count;
                    if row.get(1)? {
                        counts.exhausted += count;
                    }
                }
                EntryState::Held => counts.held += count,
                EntryState::Conflict => counts.conflict += count,
                EntryState::Parked => counts.parked += count,
            }
        }
        Ok(counts)
    }
}

pub(crate) fn no_entry(op: Uuid) -> Error {
    Error::not_found("entry", op.to_string())
}

#[cfg(test)]
pub(crate) mod tests;
