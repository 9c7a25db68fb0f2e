//! The storage steps of a pass: each one transaction, each run to its end before the next.

use super::{HalfResult, Report, schedule::Item};
use crate::{
    change::Changes,
    conflict::{self, Unresolved},
    db::{Db, Durability, Need, Write},
    diagnostics,
    error::Result,
    journal, pull,
    queue::{self, EntryState, Flight, Kind, NEVER, Rejection, SettleReport, head_at},
    record,
    remote::{PullPage, PullRequest, PushAnswer, PushBatch},
};
use rusqlite::params;
use std::sync::Arc;

/// A storage step.
#[derive(Debug)]
pub enum Step {
    /// Lets entries go that wait for their time.
    Release(Release),
    /// Puts a pull request together, for at most `limit` changes.
    PreparePull {
        /// Changes in the page, at most.
        limit: u32,
    },
    /// Applies a page, with its cursors.
    ApplyPage(PullPage),
    /// Reads the conflicts that the app's resolvers are to decide.
    Unresolved,
    /// Applies what a resolver said.
    Resolve {
        /// What it was asked.
        asked: Box<Unresolved>,
        /// What it said.
        answer: conflict::Answer,
    },
    /// Reads the whole queue, without bodies.
    Schedule,
    /// Marks these entries as maybe sent and gives them as a batch.
    Claim(Vec<i64>),
    /// Settles what was answered.
    Settle {
        /// What was sent.
        flight: Flight,
        /// What the backend said.
        answer: PushAnswer,
    },
    /// Counts an attempt for what was sent, and sets its next time.
    Postpone(Flight),
    /// Ends the pass.
    Finish(Box<PassEnd>),
}

/// Which entries are let go before their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// All that wait: the user tapped.
    Waiting,
    /// Those whose schedule is used up: the network or the app came back.
    Exhausted,
    /// These (by their places in the queue), whose last request was not answered: the network is back.
    Unanswered(Vec<i64>),
}

/// What the end of a pass writes.
#[derive(Debug)]
pub struct PassEnd {
    pub(crate) report: Report,
    pub(crate) park: Vec<Rejection>,
    /// The tick it began at. What it put off may be due before its end; what was due before its
    /// beginning has had its turn.
    pub(crate) started: u64,
    pub(crate) duration_ms: u64,
    pub(crate) throttled_until: Option<u64>,
}

/// What a step came to.
#[derive(Debug)]
pub enum StepDone {
    /// Done; nothing to tell.
    Done,
    /// `None`: no collection is pulled.
    PullPrepared(Option<PullRequest>),
    /// The page is in.
    PageApplied {
        /// Changes in it.
        changes: u64,
        /// Whether another is ready.
        has_more: bool,
        /// How long it held the writer.
        took_ms: u64,
        /// How many are left, where the backend knows.
        remaining: Option<u64>,
        /// Whether the app still needs a collection that has never been pulled whole.
        needs_first_sync: bool,
    },
    /// Conflicts that wait for the app's resolvers.
    Unresolved(Vec<Unresolved>),
    /// The queue.
    Scheduled(Vec<Item>),
    /// The batch, and what has to be known when it is answered.
    Claimed(PushBatch, Flight),
    /// The entries are settled.
    Settled(SettleReport),
    /// An attempt was counted for each.
    Postponed {
        /// So many were tried for the last time planned.
        gave_up: u64,
    },
    /// The pass is over.
    Finished {
        /// When the next entry is due, if one waits for a time.
        next_due: Option<u64>,
        /// How many were parked.
        parked: u64,
        /// How many wait.
        waiting: u64,
    },
    /// The storage failed; nothing of the step happened.
    Failed {
        /// The error's code.
        code: &'static str,
    },
}

/// Carries a step out. Gives what it came to, and what changed, to be published.
pub fn carry_out(db: &mut Db, step: Step) -> (StepDone, Changes) {
    match db.needing(Need::Drain, |db| run(db, &step)) {
        Ok(done) => done,
        Err(error) => (StepDone::Failed { code: error.code() }, Changes::default()),
    }
}

fn run(db: &mut Db, step: &Step) -> Result<(StepDone, Changes)> {
    let unchanged = |done| Ok((done, Changes::default()));
    match step {
        Step::Release(release) => {
            let ((), changes) = db.write(|write| let_go(write, release))?;
            Ok((StepDone::Done, changes))
        }
        Step::PreparePull { limit } => unchanged(StepDone::PullPrepared(db.read(|read| pull::prepare(read, *limit))?)),
        Step::ApplyPage(page) => {
            let start = db.now().tick_ms;
            let (count, has_more, remaining) = (page.changes.len() as u64, page.has_more, page.remaining);
            let (again, changes) = db.write_with(Durability::Normal, |write| pull::apply(write, page))?;
            let took_ms = db.now().tick_ms.saturating_sub(start);
            let (changes_in, has_more) = if again { (0, true) } else { (count, has_more) };
            Ok((
                StepDone::PageApplied {
                    changes: changes_in,
                    has_more,
                    took_ms,
                    remaining,
                    needs_first_sync: db.read(|read| Ok(!read.needs_first_sync()?.is_empty()))?,
                },
                changes,
            ))
        }
        Step::Unresolved => unchanged(StepDone::Unresolved(db.read(|read| read.unresolved())?)),
        Step::Resolve { asked, answer } => {
            let ((), changes) = db.write(|write| conflict::decided(write, asked, answer))?;
            Ok((StepDone::Done, changes))
        }
        Step::Schedule => unchanged(StepDone::Scheduled(items(db)?)),
        Step::Claim(seqs) => {
            let ((batch, flight), changes) = db.write(|write| {
                let claimed = queue::claim(write, seqs)?;
                #[cfg(feature = "planted")]
                if crate::planted::is(crate::planted::Bug::AcknowledgeBeforeAnswer) {
                    crate::planted::acknowledge(write, &claimed.0, &claimed.1)?;
                }
                Ok(claimed)
            })?;
            Ok((StepDone::Claimed(batch, flight), changes))
        }
        Step::Settle { flight, answer } => {
            // After a power cut the entries go again under their ids, and the backend answers as before: no
            // sync of the disk is spent on it, the next one of the user's writes or of a claim covers it.
            let (report, changes) = db.write_with(Durability::Normal, |write| queue::settle(write, flight, answer))?;
            Ok((StepDone::Settled(report), changes))
        }
        Step::Postpone(flight) => {
            let (gave_up, changes) = db.write(|write| {
                let mut gave_up = 0;
                for &(seq, op) in &flight.items {
                    if let Some(head) = head_at(write.conn, seq)?.filter(|head| head.op == op) {
                        gave_up += u64::from(queue::postpone(write, head, None)?);
                    }
                }
                Ok(gave_up)
            })?;
            Ok((StepDone::Postponed { gave_up }, changes))
        }
        Step::Finish(end) => finish(db, end),
    }
}

fn let_go(write: &mut Write<'_>, release: &Release) -> Result<()> {
    let from = match release {
        Release::Unanswered(seqs) => {
            for seq in seqs {
                let freed = write
                    .conn
                    .prepare_cached("UPDATE entry SET next_tick = 0 WHERE seq = ?1 AND state = 0 AND next_tick > 0")?
                    .execute([seq])?;
                write.changes.queue |= freed > 0;
            }
            return Ok(());
        }
        Release::Waiting => 1,
        Release::Exhausted => i64::MAX,
    };
    let freed = write
        .conn
        .prepare_cached("UPDATE entry SET next_tick = 0 WHERE state = 0 AND next_tick > 0 AND next_tick >= ?1")?
        .execute([from])?;
    write.changes.queue |= freed > 0;
    Ok(())
}

fn items(db: &Db) -> Result<Vec<Item>> {
    db.read(|read| {
        let mut statement = read.conn.prepare_cached(
            "SELECT seq, collection, id, lane, kind, priority, state, next_tick, coalesce(octet_length(body), 0) FROM entry ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        let mut items: Vec<Item> = Vec::new();
        while let Some(row) = rows.next()? {
            // Neighbours are mostly of one collection and lane, and share its text.
            let before = items.last();
            let shared = |column, with: Option<&Arc<str>>| -> Result<Arc<str>> {
                let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
                Ok(with.filter(|with| ***with == *text).map_or_else(|| text.into(), Arc::clone))
            };
            let id = shared(2, None)?;
            let item = Item {
                seq: row.get(0)?,
                collection: shared(1, before.map(|before| &before.collection))?,
                lane: shared(3, before.map(|before| &before.lane))?,
                kind: Kind::parse(row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?),
                priority: row.get(5)?,
                state: EntryState::from_i64(row.get(6)?),
                next_tick: u64::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
                bytes: usize::try_from(row.get::<_, i64>(8)?).unwrap_or(0),
                id,
            };
            items.push(item);
        }
        Ok(items)
    })
}

/// A pass with nothing to tell writes nothing: a second sync without changes costs no commit.
fn finish(db: &mut Db, end: &PassEnd) -> Result<(StepDone, Changes)> {
    let report = &end.report;
    let failed = |half: HalfResult| half.failed() && half != HalfResult::Failed("offline");
    let silent = report.accepted == 0
        && report.pulled == 0
        && report.conflicts == 0
        && report.gave_up == 0
        && end.park.is_empty()
        && end.throttled_until.is_none()
        && !failed(report.pull)
        && !failed(report.push);
    let whole = report.pull == HalfResult::Worked && report.push == HalfResult::Worked;
    let synced_at = whole.then(|| db.now().wall_ms);
    let (mut parked, mut changes) = (0, Changes::default());
    if silent {
        if synced_at.is_some() {
            db.note_synced_at(synced_at);
        }
    } else {
        (parked, changes) = db.write(|write| {
            let mut parked = 0;
            for rejection in &end.park {
                parked += u64::from(queue::park(write, rejection)?);
            }
            if let Some(until) = end.throttled_until {
                write.set_meta("throttled_until", &i64::try_from(until).unwrap_or(i64::MAX))?;
                write.store_clocks()?;
            }
            if let Some(at) = synced_at {
                write.set_meta("synced_at", &at)?;
            }
            diagnostics::pass_ended(write, report, parked, end.duration_ms)?;
            journal::prune(write)?;
            pull::prune_tombstones(write)?;
            record::prune_history(write)?;
            Ok(parked)
        })?;
        if synced_at.is_some() {
            db.note_synced_at(None);
        }
    }
    let started = i64::try_from(end.started).unwrap_or(i64::MAX);
    let (next_due, waiting) = db.read(|read| {
        let mut statement = read.conn.prepare_cached(
            "SELECT min(iif(next_tick > ?1 AND next_tick < ?2, next_tick, NULL)), count(*) FROM entry WHERE state = 0",
        )?;
        let never = i64::try_from(NEVER).unwrap_or(i64::MAX);
        Ok(statement.query_row(params![started, never], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?))
        })?)
    })?;
    let done = StepDone::Finished {
        next_due: next_due.and_then(|due| u64::try_from(due).ok()),
        parked,
        waiting: u64::try_from(waiting).unwrap_or(0),
    };
    Ok((done, changes))
}

#[cfg(test)]
mod tests;
