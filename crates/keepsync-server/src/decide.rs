//! What becomes of an item: a pure function from the item and the facts about it.
//!
//! 1. Its operation id was applied before: the first answer again, or [`code::OP_REUSED`] if it says
//!    something else now. Under one of its `earlier` ids: the first answer to that.
//! 2. Its shape or its schema refuses it: that refusal. It is not remembered.
//! 3. An operation in `after`, or its `base_op`, was not applied: [`code::BLOCKED`].
//! 4. Its base (`version`, or what `base_op` produced) is not the record's version, or another operation
//!    made that than `base_id` says: a conflict, with the version that is there (version 0 without a
//!    body: nothing is there).
//! 5. Otherwise it is applied. A record's version grows by one; a new record begins above the
//!    account's floor, the highest version of a tombstone that was forgotten, so that a base from
//!    before the tombstone can never equal a version made after it.
//!
//! The facts are read, and what is decided is written, in one transaction; stopped before its commit
//! nothing happened, and the item comes again under the same id.

use crate::planted::{self, Bug};
use keepsync_wire::{Hlc, Operation, SyncItem, SyncResult, SyncStatus, Version, code};

/// What a storage knows about an item.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What is remembered under its operation id.
    pub remembered: Option<Remembered>,
    /// What is remembered of the first of the item's `earlier` ids that was applied to its record.
    pub earlier: Option<Remembered>,
    /// Whether every operation in `after` was applied.
    pub after_applied: bool,
    /// The version `base_op` produced; `None` if there is no `base_op`, or it was not applied.
    pub produced: Option<i64>,
    /// The record's current version, a tombstone too.
    pub current: Option<Version>,
    /// The highest version of a forgotten tombstone of this account.
    pub floor: i64,
}

/// An operation that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// [`fingerprint`] of its content.
    pub fingerprint: Fingerprint,
    /// The version it produced.
    pub version: i64,
    /// The change number it was committed under.
    pub change: i64,
    /// When it was applied, UTC milliseconds.
    pub updated_at: i64,
}

/// A refusal that holds whatever is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`code`].
    pub code: &'static str,
    /// For a person; names fields, never what is in them.
    pub message: String,
}

/// What is to be done with an item.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Nothing is written; this is the answer.
    Answer(Box<SyncResult>),
    /// The record gets this version.
    Apply {
        /// The version it produces.
        version: i64,
        /// When the record was first applied; `None`: now.
        created_at: Option<i64>,
    },
}

/// Decides. `refusal` is what the shape of the item and its schema say.
pub fn decide(item: &SyncItem, fingerprint: &Fingerprint, refusal: Option<&Refusal>, facts: Facts) -> Decision {
    let answer = |result| Decision::Answer(Box::new(result));
    if let Some(before) = facts.remembered {
        return answer(if before.fingerprint == *fingerprint {
            applied(item, before.version, before.change, before.updated_at)
        } else {
            refused(item, code::OP_REUSED, "this operation id came with another content")
        });
    }
    if let Some(before) = facts.earlier {
        return answer(applied(item, before.version, before.change, before.updated_at));
    }
    if let Some(refusal) = refusal {
        return answer(refused(item, refusal.code, &refusal.message));
    }
    if !(facts.after_applied || planted::is(Bug::IgnoresAfter)) || (item.base_op.is_some() && facts.produced.is_none())
    {
        return answer(refused(item, code::BLOCKED, "what it follows was not applied"));
    }
    let base = facts.produced.unwrap_or(item.version);
    let version = facts.current.as_ref().map_or(0, |current| current.version);
    if (base != version || is_another(item, facts.current.as_ref())) && !planted::is(Bug::NoVersionCheck) {
        return answer(conflict(item, facts.current));
    }
    Decision::Apply {
        version: facts.current.as_ref().map_or(facts.floor, |current| current.version) + 1,
        created_at: facts.current.map(|current| current.created_at),
    }
}

/// Whether the version of the right number is not the one that is meant.
fn is_another(item: &SyncItem, current: Option<&Version>) -> bool {
    let made_by = current.and_then(|current| current.op_id);
    let meant = item
        .base_id
        .filter(|_| item.base_op.is_none() && !planted::is(Bug::ForgetsBaseId));
    meant.zip(made_by).is_some_and(|(meant, made_by)| meant != made_by)
}

/// The answer to an operation that was applied.
pub fn applied(item: &SyncItem, version: i64, change: i64, updated_at: i64) -> SyncResult {
    SyncResult {
        status: SyncStatus::Success,
        server_version: version,
        change,
        updated_at: Some(updated_at),
        ..blank(item)
    }
}

/// In place of a conflict that would make the answer too large: the item comes again, in company that
/// leaves room for it.
pub fn put_off(conflict: SyncResult) -> SyncResult {
    /// Milliseconds.
    const SOON: u64 = 1_000;
    SyncResult {
        status: SyncStatus::Error,
        code: Some(code::TRY_LATER.to_owned()),
        error_message: Some("it met another version; there are too many to show at once".to_owned()),
        retry_after_ms: Some(SOON),
        server: None,
        ..conflict
    }
}

fn refused(item: &SyncItem, code: &str, message: &str) -> SyncResult {
    SyncResult {
        code: Some(code.to_owned()),
        error_message: Some(message.to_owned()),
        ..blank(item)
    }
}

fn conflict(item: &SyncItem, current: Option<Version>) -> SyncResult {
    let nothing = || Version {
        data: None,
        version: 0,
        hlc: Hlc::default(),
        clocks: None,
        op_id: None,
        device_id: String::new(),
        device_label: None,
        server_id: None,
        created_at: 0,
        updated_at: 0,
    };
    SyncResult {
        status: SyncStatus::Conflict,
        code: Some(code::VERSION_MISMATCH.to_owned()),
        server: Some(current.unwrap_or_else(nothing)),
        ..blank(item)
    }
}

fn blank(item: &SyncItem) -> SyncResult {
    SyncResult {
        op_id: item.op_id,
        entity_id: item.entity_id.clone(),
        status: SyncStatus::Error,
        code: None,
        server: None,
        server_version: 0,
        change: 0,
        updated_at: None,
        server_id: None,
        error_message: None,
        retry_after_ms: None,
    }
}

/// SHA-256 of what must be the same when an operation id comes again.
pub type Fingerprint = [u8; 32];

/// The fingerprint of an item: its record, operation, body and base. Each part is preceded by its
/// length or its kind, so no two contents are written alike.
pub fn fingerprint(item: &SyncItem) -> Fingerprint {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut text = |kind: u8, text: &str| {
        hash.update(&[kind]);
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text(1, &item.entity_type);
    text(2, &item.entity_id);
    text(3, operation_name(item.operation));
    if let Some(data) = &item.data {
        text(4, data.get());
    }
    match item.base_op {
        Some(op) => text(5, &op.simple().to_string()),
        None => text(6, &item.version.to_string()),
    }
    let digest = hash.finish();
    let mut bytes = Fingerprint::default();
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Complete => "complete",
        Operation::Skip => "skip",
    }
}

#[cfg(test)]
mod tests;
