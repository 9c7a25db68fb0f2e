//! Takes a batch out of the queue's hands: what is sent from here on is frozen.

use super::{
    EntryState, HEAD_COLUMNS, HEAD_JOINED, Head, Kind,
    flight::{Flight, Whole},
    head_from_sql, seq_list,
};
use crate::{
    collection::OnRejected,
    db::{Read, Write},
    error::Result,
    planted::{self, Bug},
    remote::{PushBatch, PushItem},
};
use keepsync_wire::Operation;
use once_cell::sync::Lazy;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};
use uuid::Uuid;

/// Marks the entries as maybe sent and gives them as a batch, in the order given, and what has to be known
/// when it is answered. One that changed since it was scheduled, or whose predecessors are neither answered
/// nor in the batch before it, is left out.
pub(crate) fn claim(write: &mut Write<'_>, seqs: &[i64]) -> Result<(PushBatch, Flight)> {
    let mut items: Vec<PushItem> = Vec::with_capacity(seqs.len());
    let mut taken: HashMap<i64, Uuid> = HashMap::with_capacity(seqs.len());
    let mut parents = Parents::default();
    let mut unsent = Vec::with_capacity(seqs.len());
    let mut chained = Vec::new();
    let mut flight = Flight::default();
    let mut alone = Vec::with_capacity(seqs.len());
    let mut several: HashMap<(String, String), (Whole, i64)> = HashMap::new();
    let mut statement = write.conn.prepare_cached(&ASKED)?;
    let mut rows = statement.query([seq_list(seqs.iter().copied())])?;
    while let Some(row) = rows.next()? {
        let mut head = head_from_sql(row)?;
        let body: Option<String> = row.get(HEAD_COLUMNS)?;
        // A record that is still to be created has none.
        let server_id: Option<String> = row.get(HEAD_COLUMNS + 1)?;
        // How many entries its record has; more, where a record of another collection shares its id.
        let of_record: i64 = row.get(HEAD_COLUMNS + 2)?;
        let clocks: Option<String> = row.get(HEAD_COLUMNS + 3)?;
        let (seq, Some(kind)) = (head.seq, head.kind) else {
            continue;
        };
        if head.state != EntryState::Waiting || head.next_tick > write.now.tick_ms {
            continue;
        }
        let before = predecessors_with(&write.read(), &head, of_record == 1, &mut parents)?;
        let Some(after) = before
            .all
            .iter()
            .map(|seq| taken.get(seq).copied())
            .collect::<Option<Vec<Uuid>>>()
        else {
            continue;
        };
        if !head.maybe_sent {
            head.base_op = before.same_record.and_then(|seq| taken.get(&seq).copied());
            head.maybe_sent = true;
            unsent.push(seq);
            chained.extend(head.base_op.map(|base_op| (seq, base_op)));
        }
        taken.insert(seq, head.op);
        flight.items.push((seq, head.op));
        if kind != Kind::Delete {
            let one = Whole {
                seqs: vec![seq],
                collection: head.collection.clone(),
                id: head.id.clone(),
                hlc: head.hlc,
                bytes: body
                    .as_ref()
                    .map_or(0, |body| i64::try_from(body.len()).unwrap_or(i64::MAX)),
            };
            if of_record == 1 {
                alone.push(one);
            } else {
                let key = (head.collection.clone(), head.id.clone());
                match several.entry(key) {
                    Entry::Vacant(first) => {
                        first.insert((one, of_record));
                    }
                    Entry::Occupied(mut before) => before.get_mut().0.then(one),
                }
            }
        }
        items.push(PushItem {
            seq,
            op: head.op,
            operation: operation(kind),
            body,
            base_version: head.base_version,
            base_op: head.base_op,
            base_id: head.base_id,
            after,
            replaces: head.replaces,
            earlier: head.earlier,
            created_at: head.created_at,
            hlc: head.hlc,
            clocks,
            server_id,
            parent_id: (head.lane != head.id).then_some(head.lane),
            parent_server_id: before.parent_server_id,
            collection: head.collection,
            id: head.id,
        });
    }
    for (seq, base_op) in chained {
        write
            .conn
            .prepare_cached("INSERT OR REPLACE INTO flight (seq, base_op) VALUES (?1, ?2)")?
            .execute(params![seq, base_op.as_bytes()])?;
    }
    if !unsent.is_empty() {
        write
            .conn
            .prepare_cached("INSERT OR IGNORE INTO flight (seq) SELECT value FROM json_each(?1)")?
            .execute([seq_list(unsent)])?;
    }
    let all_of_it = |(whole, of_record): &(Whole, i64)| i64::try_from(whole.seqs.len()) == Ok(*of_record);
    alone.extend(several.into_values().filter(all_of_it).map(|(whole, _)| whole));
    // Neighbours are settled, and their pages given back, together.
    alone.sort_by_key(|whole| whole.seqs.last().copied());
    flight.whole = Arc::new(alone);
    let batch = PushBatch {
        account: write.shared.account.to_string(),
        device_id: write.shared.device_id.to_string(),
        device_label: write.shared.settings.device_label.clone(),
        epoch: write.read().meta("epoch")?,
        items,
    };
    Ok((batch, flight))
}

/// Entries with all that goes with them, in the order given.
static ASKED: Lazy<String> = Lazy::new(|| {
    format!(
        "SELECT {HEAD_JOINED}, body,
             iif(kind = 'create', NULL,
                 (SELECT server_id FROM record WHERE record.collection = entry.collection AND record.id = entry.id)),
             (SELECT count(*) FROM entry other WHERE other.lane = entry.lane AND other.id = entry.id), clocks
             FROM (SELECT value AS place FROM json_each(?1)) CROSS JOIN entry ON entry.seq = place
             LEFT JOIN flight ON flight.seq = entry.seq"
    )
});

/// The live entries one must follow.
pub(super) struct Predecessors {
    /// All of them, by seq.
    pub(super) all: Vec<i64>,
    /// The last one of the same record.
    pub(super) same_record: Option<i64>,
    /// The id the backend gave the parent, if known.
    parent_server_id: Option<String>,
}

/// What the children of a parent share, read once for a batch: by the parent's collection and id. Claiming
/// changes none of it.
type Parents = HashMap<String, HashMap<String, Parent>>;

struct Parent {
    /// Its unsent creations, by seq.
    creations: Vec<i64>,
    server_id: Option<String>,
}

/// What order needs to know of an unsent write.
struct Live {
    seq: i64,
    kind: Option<Kind>,
    is_parked: bool,
}

fn live_of(conn: &Connection, collection: &str, id: &str, lane: &str) -> Result<Vec<Live>> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, kind, state FROM entry WHERE lane = ?1 AND id = ?2 AND collection = ?3 ORDER BY seq",
    )?;
    let rows = statement.query_map(params![lane, id, collection], |row| {
        Ok(Live {
            seq: row.get(0)?,
            kind: Kind::parse(row.get_ref(1)?.as_str()?),
            is_parked: EntryState::from_i64(row.get(2)?) == EntryState::Parked,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn parent(conn: &Connection, collection: &str, id: &str) -> Result<Parent> {
    let mut statement =
        conn.prepare_cached("SELECT parent_id, server_id FROM record WHERE collection = ?1 AND id = ?2")?;
    let found: Option<(Option<String>, Option<String>)> = statement
        .query_row([collection, id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (lane, server_id) = found.unwrap_or_default();
    let live = live_of(conn, collection, id, lane.as_deref().unwrap_or(id))?;
    Ok(Parent {
        creations: live
            .iter()
            .filter(|other| other.kind == Some(Kind::Create))
            .map(|other| other.seq)
            .collect(),
        server_id,
    })
}

/// The three rules of `after`, read from the queue. [`drain::schedule`](crate::drain) applies the
/// same rules to the whole queue at once.
pub(super) fn predecessors(read: &Read<'_>, head: &Head) -> Result<Predecessors> {
    predecessors_with(read, head, false, &mut Parents::default())
}

fn predecessors_with(read: &Read<'_>, head: &Head, is_first: bool, parents: &mut Parents) -> Result<Predecessors> {
    let same = match is_first {
        true => Vec::new(),
        false => live_of(read.conn, &head.collection, &head.id, &head.lane)?,
    };
    let registered = read.shared.collections.get(&head.collection).ok();
    let passed_over = |other: &Live| {
        let passes = planted::is(Bug::ParkedHoldsNobody);
        let may = registered.is_some_and(|collection| collection.on_rejected == OnRejected::ParkEntry)
            && other.kind.is_some_and(Kind::can_be_overtaken);
        other.is_parked && (passes || may)
    };
    let same_record = same
        .iter()
        .filter(|other| other.seq < head.seq && !passed_over(other) && !planted::is(Bug::FollowersBeforeHead))
        .map(|other| other.seq)
        .max();
    let mut all: Vec<i64> = same_record.into_iter().collect();
    let mut parent_server_id = None;
    let of = registered.and_then(|collection| collection.parent.as_ref());
    if let (Some(of), true) = (of, head.lane != head.id) {
        let known = match parents.get(&of.collection).and_then(|lanes| lanes.get(&head.lane)) {
            Some(known) => known,
            None => {
                let found = parent(read.conn, &of.collection, &head.lane)?;
                let lanes = parents.entry(of.collection.clone()).or_default();
                lanes.entry(head.lane.clone()).or_insert(found)
            }
        };
        all.extend(known.creations.iter().filter(|_| !planted::is(Bug::ChildBeforeParent)));
        parent_server_id.clone_from(&known.server_id);
    }
    if head.kind.is_some_and(Kind::follows_children) {
        let mut statement = read
            .conn
            .prepare_cached("SELECT seq FROM entry WHERE lane = ?1 AND id <> ?1 AND seq < ?2")?;
        let before = all.len();
        for seq in statement.query_map(params![head.id, head.seq], |row| row.get::<_, i64>(0))? {
            all.push(seq?);
        }
        // The index has them by id; to have SQLite sort them costs more.
        all[before..].sort_unstable();
    }
    Ok(Predecessors {
        all,
        same_record,
        parent_server_id,
    })
}

fn operation(kind: Kind) -> Operation {
    match kind {
        Kind::Create => Operation::Create,
        Kind::Update => Operation::Update,
        Kind::Delete => Operation::Delete,
        Kind::Complete => Operation::Complete,
        Kind::Skip => Operation::Skip,
    }
}
