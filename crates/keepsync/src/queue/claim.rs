//! Takes a batch out of the queue's hands: what is sent from here on is frozen.

use super::{EntryState, Head, Kind, body_at, head_at, heads_of};
use crate::{
    collection::OnRejected,
    db::{Read, Write},
    error::Result,
    record::{Row, find},
    remote::{PushBatch, PushItem},
};
use keepsync_wire::Operation;
use rusqlite::params;
use std::collections::HashMap;
use uuid::Uuid;

/// Marks the entries as maybe sent and gives them as a batch, in the order given. One that changed
/// since it was scheduled, or whose predecessors are neither answered nor in the batch before it,
/// is left out.
pub(crate) fn claim(write: &mut Write<'_>, seqs: &[i64]) -> Result<PushBatch> {
    let mut items: Vec<PushItem> = Vec::with_capacity(seqs.len());
    let mut taken: HashMap<i64, Uuid> = HashMap::with_capacity(seqs.len());
    for &seq in seqs {
        let Some(mut head) = head_at(write.conn, seq)? else {
            continue;
        };
        let Some(kind) = head.kind else { continue };
        if head.state != EntryState::Waiting || head.next_tick > write.now.tick_ms {
            continue;
        }
        let before = predecessors(&write.read(), &head)?;
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
            write
                .conn
                .prepare_cached("UPDATE entry SET maybe_sent = 1, base_op = ?2 WHERE seq = ?1")?
                .execute(params![seq, head.base_op.as_ref().map(Uuid::as_bytes)])?;
        }
        taken.insert(seq, head.op);
        let server_id = find(write.conn, &head.collection, &head.id)?.and_then(|row| row.server_id);
        let parent_id = (head.lane != head.id).then(|| head.lane.clone());
        let parent = before.parent.filter(|_| parent_id.is_some());
        items.push(PushItem {
            seq,
            op: head.op,
            operation: operation(kind),
            body: body_at(write.conn, seq)?,
            base_version: head.base_version,
            base_op: head.base_op,
            after,
            replaces: head.replaces,
            created_at: head.created_at,
            hlc: head.hlc,
            server_id,
            parent_id,
            parent_server_id: parent.and_then(|row| row.server_id),
            collection: head.collection,
            id: head.id,
        });
    }
    Ok(PushBatch {
        account: write.shared.account.to_string(),
        device_id: write.shared.device_id.to_string(),
        device_label: write.shared.settings.device_label.clone(),
        epoch: write.read().meta("epoch")?,
        items,
    })
}

/// The live entries one must follow.
pub(super) struct Predecessors {
    /// All of them, by seq.
    pub(super) all: Vec<i64>,
    /// The last one of the same record.
    pub(super) same_record: Option<i64>,
    /// The parent's record, if it is here.
    pub(super) parent: Option<Row>,
}

/// The three rules of `after`, read from the queue. [`drain::schedule`](crate::drain) applies the
/// same rules to the whole queue at once.
pub(super) fn predecessors(read: &Read<'_>, head: &Head) -> Result<Predecessors> {
    let same = heads_of(read.conn, &head.collection, &head.id, &head.lane)?;
    let registered = read.shared.collections.get(&head.collection).ok();
    let passed_over = |other: &Head| {
        other.state == EntryState::Parked
            && registered.is_some_and(|collection| collection.on_rejected == OnRejected::ParkEntry)
    };
    let same_record = same
        .iter()
        .filter(|other| other.seq < head.seq && !passed_over(other))
        .map(|other| other.seq)
        .max();
    let mut all: Vec<i64> = same_record.into_iter().collect();
    let mut parent_row = None;
    let parent = registered.and_then(|collection| collection.parent.as_ref());
    if let (Some(parent), true) = (parent, head.lane != head.id) {
        parent_row = find(read.conn, &parent.collection, &head.lane)?;
        let lane = parent_row.as_ref().map_or(&*head.lane, |row| row.lane());
        let creations = heads_of(read.conn, &parent.collection, &head.lane, lane)?;
        all.extend(
            creations
                .iter()
                .filter(|other| other.kind == Some(Kind::Create))
                .map(|other| other.seq),
        );
    }
    if head.kind.is_some_and(Kind::follows_children) {
        let mut statement = read
            .conn
            .prepare_cached("SELECT seq FROM entry WHERE lane = ?1 AND id <> ?1 AND seq < ?2 ORDER BY seq")?;
        for seq in statement.query_map(params![head.id, head.seq], |row| row.get::<_, i64>(0))? {
            all.push(seq?);
        }
    }
    Ok(Predecessors {
        all,
        same_record,
        parent: parent_row,
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
