//! Why an unsent write is still here. Computed from the queue when it is asked for, never stored: what
//! stands before an entry changes without the entry.
//!
//! The order is [`Schedule`]'s, so that what is told is what the drain does.

use super::{EntryState, Head, Kind, NEVER, Reason};
use crate::{
    db::Read,
    drain::{
        Status,
        schedule::{Item, Rules, Schedule},
    },
    error::Result,
    settings::AfterLast,
};
use rusqlite::{OptionalExtension, params};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
};
use uuid::Uuid;

/// What keeps an unsent write where it is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Nothing: it goes with the next sync. No attempt was made yet.
    Ready,
    /// It was sent, and no answer has come yet; it goes again under the same operation id.
    Unanswered,
    /// The server could not take it; it goes again at this time, UTC milliseconds.
    Until {
        /// UTC milliseconds.
        at: i64,
    },
    /// It was tried as often as planned.
    RetriesUsedUp {
        /// Whether only a tap sends it again; otherwise the next network change or foreground does too.
        by_hand: bool,
    },
    /// Held until its session is done.
    Held,
    /// Refused.
    Parked(Reason),
    /// In conflict with another version.
    Conflict {
        /// `collection/id@token`, as conflicts are named; a child's may be its parent's.
        name: String,
    },
    /// Something it must follow does not go.
    Behind {
        /// The operation id of what holds it up.
        op: Uuid,
        /// What holds that one up.
        held_up: HeldUp,
        /// Its collection.
        collection: String,
        /// Its record.
        id: String,
    },
    /// The drain does not send now.
    Drain(Status),
}

/// What keeps the write that others wait behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldUp {
    /// Refused with this code.
    Parked(String),
    /// In conflict.
    Conflict,
    /// Until its session is done.
    Held,
    /// For its time, or its schedule is used up.
    Waiting,
    /// Only a newer app knows what it is.
    Newer,
}

impl fmt::Debug for Why {
    // A backend's message may quote the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Why({})", self.code())
    }
}

impl Why {
    /// Machine-readable, stable; of a parked write the code of its refusal.
    pub fn code(&self) -> &str {
        match self {
            Self::Ready => "ready",
            Self::Unanswered => "unanswered",
            Self::Until { .. } => "waiting_until",
            Self::RetriesUsedUp { .. } => "retries_used_up",
            Self::Held => "held",
            Self::Parked(reason) => &reason.code,
            Self::Conflict { .. } => "in_conflict",
            Self::Behind { held_up, .. } => match held_up {
                HeldUp::Parked(_) => "behind_parked",
                HeldUp::Conflict => "behind_conflict",
                HeldUp::Held => "behind_held",
                HeldUp::Waiting => "behind_waiting",
                HeldUp::Newer => "behind_newer",
            },
            Self::Drain(status) => status.code(),
        }
    }

    /// The operation it waits behind, if that is what keeps it.
    pub fn behind(&self) -> Option<Uuid> {
        match self {
            Self::Behind { op, .. } => Some(*op),
            _ => None,
        }
    }

    /// For a person.
    pub fn message(&self) -> String {
        match self {
            Self::Ready => "goes with the next sync".to_owned(),
            Self::Unanswered => "was sent, and no answer has come; goes again as the same write".to_owned(),
            Self::Until { at } => format!("the server could not take it yet; goes again at {}", time(*at)),
            Self::RetriesUsedUp { by_hand: true } => "tried as often as planned; waits for a tap".to_owned(),
            Self::RetriesUsedUp { by_hand: false } => {
                "tried as often as planned; goes out with the next network change or tap".to_owned()
            }
            Self::Held => "goes when its session is done".to_owned(),
            Self::Parked(reason) => reason.message.clone(),
            Self::Conflict { name } => format!("the conflict {name} has to be resolved"),
            Self::Behind {
                held_up,
                collection,
                id,
                ..
            } => {
                let what = match held_up {
                    HeldUp::Parked(code) => format!("was refused ({code})"),
                    HeldUp::Conflict => "is in conflict".to_owned(),
                    HeldUp::Held => "is held until its session is done".to_owned(),
                    HeldUp::Waiting => "waits for its time".to_owned(),
                    HeldUp::Newer => "is a kind of write that only a newer version of the app knows".to_owned(),
                };
                format!("must follow a write of {collection}/{id}, which {what}")
            }
            Self::Drain(status) => match status {
                Status::Offline => "the server cannot be reached".to_owned(),
                Status::NeedsSignIn => "the account has to sign in again".to_owned(),
                Status::StorageFull => "there is no room on the disk".to_owned(),
                Status::LocalOnly => "no server is configured".to_owned(),
                Status::Elsewhere => "another process of this device sends".to_owned(),
                Status::WaitingUntil { at } => format!("nothing is sent before {}", time(*at)),
                _ => "the drain is at work".to_owned(),
            },
        }
    }

    /// With what only the drain knows: an entry that could go does not while nothing does.
    #[must_use]
    pub fn under(self, status: Status) -> Self {
        match (&self, status) {
            (
                Self::Ready | Self::Unanswered,
                Status::Offline
                | Status::NeedsSignIn
                | Status::StorageFull
                | Status::LocalOnly
                | Status::Elsewhere
                | Status::WaitingUntil { .. },
            ) => Self::Drain(status),
            _ => self,
        }
    }
}

fn time(wall_ms: i64) -> String {
    // The format ends with the year 9999.
    let ms = u64::try_from(wall_ms).unwrap_or(0).min(253_402_300_799_999);
    let since = std::time::Duration::from_millis(ms);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}

pub(super) fn of(read: &Read<'_>, head: &Head) -> Result<Why> {
    let mut whys = all(read, std::slice::from_ref(head))?;
    Ok(whys.pop().unwrap_or(Why::Ready))
}

/// One answer for each of `heads`, from one look at the lanes they belong to.
pub(super) fn all(read: &Read<'_>, heads: &[Head]) -> Result<Vec<Why>> {
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let clock = Clock::read(read)?;
    let lanes = Lanes::load(read, heads, &clock)?;
    let by_hand = read.shared.settings.after_last == AfterLast::Manual;
    let mut whys = Vec::with_capacity(heads.len());
    for head in heads {
        whys.push(match (head.state, lanes.behind(head.seq)) {
            (EntryState::Parked, _) => Why::Parked(head.reason.clone().unwrap_or(Reason {
                code: "parked".to_owned(),
                message: String::new(),
            })),
            (EntryState::Conflict, _) => Why::Conflict {
                name: conflict_name(read, head)?,
            },
            (EntryState::Held, _) => Why::Held,
            (EntryState::Waiting, Some(behind)) => behind,
            (EntryState::Waiting, None) if head.next_tick == NEVER => Why::RetriesUsedUp { by_hand },
            (EntryState::Waiting, None) if clock.is_later(head.next_tick) => Why::Until {
                at: clock.wall_ms(head.next_tick),
            },
            (EntryState::Waiting, None) if head.maybe_sent => Why::Unanswered,
            (EntryState::Waiting, None) => Why::Ready,
        });
    }
    Ok(whys)
}

/// A set's conflict may be its workout's.
fn conflict_name(read: &Read<'_>, head: &Head) -> Result<String> {
    let mut statement = read
        .conn
        .prepare_cached("SELECT root_collection, root_id FROM conflict WHERE collection = ?1 AND id = ?2")?;
    let root: Option<(String, String)> = statement
        .query_row([&head.collection, &head.id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (collection, id) = root.unwrap_or_else(|| (head.collection.clone(), head.id.clone()));
    let token = read.conflict(&collection, &id)?.map(|conflict| conflict.token);
    Ok(format!("{collection}/{id}@{}", token.as_deref().unwrap_or("0")))
}

/// A stored tick is told on the wall clock as it was when the two were stored together.
pub(super) struct Clock {
    tick: i64,
    wall: i64,
    now: i64,
}

impl Clock {
    pub(super) fn read(read: &Read<'_>) -> Result<Self> {
        Ok(Self {
            tick: read.meta("tick")?.unwrap_or(0),
            wall: read.meta("tick_wall")?.unwrap_or(0),
            now: read.shared.env.wall_ms(),
        })
    }

    pub(super) fn wall_ms(&self, tick: u64) -> i64 {
        let tick = i64::try_from(tick).unwrap_or(i64::MAX);
        self.wall.saturating_add(tick.saturating_sub(self.tick))
    }

    /// Whether its time has not come.
    fn is_later(&self, next_tick: u64) -> bool {
        next_tick == NEVER || (next_tick > 0 && self.wall_ms(next_tick) > self.now)
    }
}

/// The lanes of some entries and of what those must follow.
struct Lanes {
    schedule: Schedule,
    standing: Vec<Standing>,
    at: HashMap<i64, usize>,
    /// For each, the place of what holds it up, if something it must follow does not go.
    root: Vec<Option<usize>>,
}

struct Standing {
    op: Uuid,
    collection: String,
    id: String,
    /// `None`: it goes when its turn comes.
    held_up: Option<HeldUp>,
}

impl Lanes {
    fn load(read: &Read<'_>, heads: &[Head], clock: &Clock) -> Result<Self> {
        let shared = read.shared;
        let mut wanted: BTreeSet<String> = heads.iter().map(|head| head.lane.clone()).collect();
        let follows = |kind: Option<Kind>| kind.is_some_and(Kind::follows_children);
        wanted.extend(
            heads
                .iter()
                .filter(|head| follows(head.kind))
                .map(|head| head.id.clone()),
        );
        let mut known: HashSet<String> = HashSet::new();
        let mut parents: HashSet<(String, String)> = HashSet::new();
        let mut rows: Vec<(Item, Standing)> = Vec::new();
        while !wanted.is_empty() {
            let more = rows_of(read, &wanted, clock)?;
            known.extend(wanted.iter().cloned());
            wanted.clear();
            for (item, _) in &more {
                if follows(item.kind) && !known.contains(&*item.id) {
                    wanted.insert(item.id.to_string());
                }
                let parent = shared
                    .collections
                    .get(&item.collection)
                    .ok()
                    .and_then(|found| found.parent.as_ref());
                let Some(parent) = parent.filter(|_| item.lane != item.id) else {
                    continue;
                };
                // Only a parent that is a child itself has another lane than its id.
                let is_child = shared
                    .collections
                    .get(&parent.collection)
                    .is_ok_and(|found| found.parent.is_some());
                if is_child && parents.insert((parent.collection.clone(), item.lane.to_string())) {
                    let lane = lane_of(read, &parent.collection, &item.lane)?;
                    wanted.extend(lane.filter(|lane| !known.contains(lane)));
                }
            }
            rows.extend(more);
        }
        rows.sort_by_key(|(item, _)| item.seq);
        let at = rows.iter().enumerate().map(|(at, (item, _))| (item.seq, at)).collect();
        let (items, standing): (Vec<Item>, Vec<Standing>) = rows.into_iter().unzip();
        let rules = Rules::from(&*shared.collections);
        let mut lanes = Self {
            root: vec![None; items.len()],
            schedule: Schedule::new(items, rules, NEVER, &HashSet::new()),
            standing,
            at,
        };
        let mut asked = vec![false; lanes.root.len()];
        for place in 0..lanes.root.len() {
            lanes.find_root(place, &mut asked);
        }
        Ok(lanes)
    }

    /// What an entry must follow nearly always stands before it and has been asked already, so this does
    /// not go deep. A circle, which only a file from elsewhere can hold, ends it.
    fn find_root(&mut self, place: usize, asked: &mut [bool]) -> Option<usize> {
        if std::mem::replace(&mut asked[place], true) {
            return self.root[place];
        }
        let mut worst: Option<usize> = None;
        for before in self.schedule.must_follow(place) {
            let root = if self.standing[before].held_up.is_some() {
                Some(before)
            } else {
                self.find_root(before, asked)
            };
            if let Some(root) = root
                && worst.is_none_or(|worst| self.weight(root) > self.weight(worst))
            {
                worst = Some(root);
            }
        }
        self.root[place] = worst;
        worst
    }

    /// What needs the user weighs more than what passes by itself.
    fn weight(&self, place: usize) -> u8 {
        match self.standing[place].held_up {
            Some(HeldUp::Parked(_)) => 5,
            Some(HeldUp::Conflict) => 4,
            Some(HeldUp::Newer) => 3,
            Some(HeldUp::Held) => 2,
            Some(HeldUp::Waiting) => 1,
            None => 0,
        }
    }

    fn behind(&self, seq: i64) -> Option<Why> {
        let root = self.standing.get((*self.root.get(*self.at.get(&seq)?)?)?)?;
        Some(Why::Behind {
            op: root.op,
            held_up: root.held_up.clone()?,
            collection: root.collection.clone(),
            id: root.id.clone(),
        })
    }
}

fn rows_of(read: &Read<'_>, lanes: &BTreeSet<String>, clock: &Clock) -> Result<Vec<(Item, Standing)>> {
    let mut statement = read.conn.prepare_cached(
        "SELECT seq, op, collection, id, lane, kind, priority, state, next_tick, reason_code FROM entry
         WHERE lane IN (SELECT value FROM json_each(?1))",
    )?;
    let rows = statement.query_map([serde_json::to_string(lanes)?], |row| {
        let item = Item {
            seq: row.get(0)?,
            collection: row.get_ref(2)?.as_str()?.into(),
            id: row.get_ref(3)?.as_str()?.into(),
            lane: row.get_ref(4)?.as_str()?.into(),
            kind: Kind::parse(row.get_ref(5)?.as_str()?),
            priority: row.get(6)?,
            state: EntryState::from_i64(row.get(7)?),
            next_tick: u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0),
            bytes: 0,
        };
        let held_up = match item.state {
            EntryState::Parked => Some(HeldUp::Parked(row.get::<_, Option<String>>(9)?.unwrap_or_default())),
            EntryState::Conflict => Some(HeldUp::Conflict),
            EntryState::Held => Some(HeldUp::Held),
            EntryState::Waiting if item.kind.is_none() => Some(HeldUp::Newer),
            EntryState::Waiting if clock.is_later(item.next_tick) => Some(HeldUp::Waiting),
            EntryState::Waiting => None,
        };
        let standing = Standing {
            op: Uuid::from_bytes(row.get(1)?),
            collection: item.collection.to_string(),
            id: item.id.to_string(),
            held_up,
        };
        Ok((item, standing))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn lane_of(read: &Read<'_>, collection: &str, id: &str) -> Result<Option<String>> {
    let mut statement = read
        .conn
        .prepare_cached("SELECT coalesce(parent_id, id) FROM record WHERE collection = ?1 AND id = ?2")?;
    Ok(statement
        .query_row(params![collection, id], |row| row.get(0))
        .optional()?)
}

#[cfg(test)]
mod tests;
