//! The form of a conflict with `--json`, described in `docs/cli.md`.

use crate::form::{body, label_or, time};
use keepsync::conflict::{ChildBody, Conflict, ConflictChild, Contested, Difference};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// Collection and id of a record, and its bodies.
type Text = Option<Box<RawValue>>;

#[derive(Serialize)]
pub(super) struct ConflictForm {
    conflict: String,
    collection: String,
    id: String,
    local: Text,
    remote: Text,
    base: Text,
    local_device: String,
    remote_device: String,
    in_conflict: bool,
    local_at: String,
    remote_at: String,
    children: Vec<ChildForm>,
    difference: Vec<DifferenceForm>,
    proposal: ProposalForm,
}

#[derive(Serialize)]
struct ChildForm {
    collection: String,
    id: String,
    slot: Option<String>,
    in_conflict: bool,
    local: Text,
    remote: Text,
    base: Text,
    remote_device: String,
    local_at: String,
    remote_at: String,
}

#[derive(Serialize)]
struct DifferenceForm {
    collection: String,
    id: String,
    path: String,
    local: Option<Value>,
    remote: Option<Value>,
    base: Option<Value>,
    changed: &'static str,
}

#[derive(Serialize)]
struct ProposalForm {
    body: Text,
    children: Vec<ChildBodyForm>,
    contested: Vec<ContestedForm>,
}

#[derive(Serialize)]
struct ChildBodyForm {
    collection: String,
    id: String,
    body: Text,
}

#[derive(Serialize)]
struct ContestedForm {
    collection: String,
    id: String,
    path: String,
}

impl From<&Conflict> for ConflictForm {
    fn from(conflict: &Conflict) -> Self {
        Self {
            conflict: name(conflict),
            collection: conflict.collection.clone(),
            id: conflict.id.clone(),
            local: body(conflict.local.as_deref()),
            remote: body(conflict.remote.as_deref()),
            base: body(conflict.base.as_deref()),
            local_device: here(conflict),
            remote_device: there(conflict),
            in_conflict: conflict.in_conflict,
            local_at: time(conflict.local_at),
            remote_at: time(conflict.remote_at),
            children: conflict.children.iter().map(Into::into).collect(),
            difference: conflict.difference.iter().map(Into::into).collect(),
            proposal: ProposalForm {
                body: body(conflict.proposal.body.as_deref()),
                children: conflict.proposal.children.iter().map(Into::into).collect(),
                contested: conflict.proposal.contested.iter().map(Into::into).collect(),
            },
        }
    }
}

impl From<&ConflictChild> for ChildForm {
    fn from(child: &ConflictChild) -> Self {
        Self {
            collection: child.collection.clone(),
            id: child.id.clone(),
            slot: child.slot.clone(),
            in_conflict: child.in_conflict,
            local: body(child.local.as_deref()),
            remote: body(child.remote.as_deref()),
            base: body(child.base.as_deref()),
            remote_device: label_or(child.remote_label.as_ref(), &child.remote_device),
            local_at: time(child.local_at),
            remote_at: time(child.remote_at),
        }
    }
}

impl From<&Difference> for DifferenceForm {
    fn from(difference: &Difference) -> Self {
        Self {
            collection: difference.collection.clone(),
            id: difference.id.clone(),
            path: difference.path.clone(),
            local: difference.local.clone(),
            remote: difference.remote.clone(),
            base: difference.base.clone(),
            changed: difference.changed.as_str(),
        }
    }
}

impl From<&ChildBody> for ChildBodyForm {
    fn from(child: &ChildBody) -> Self {
        Self {
            collection: child.collection.clone(),
            id: child.id.clone(),
            body: body(child.body.as_deref()),
        }
    }
}

impl From<&Contested> for ContestedForm {
    fn from(contested: &Contested) -> Self {
        Self {
            collection: contested.collection.clone(),
            id: contested.id.clone(),
            path: contested.path.clone(),
        }
    }
}

/// What a conflict is called here.
pub(super) fn name(conflict: &Conflict) -> String {
    format!("{}/{}@{}", conflict.collection, conflict.id, conflict.token)
}

/// This device's label, or its id.
pub(super) fn here(conflict: &Conflict) -> String {
    label_or(conflict.local_label.as_ref(), &conflict.local_device)
}

/// The other device's label, or its id.
pub(super) fn there(conflict: &Conflict) -> String {
    label_or(conflict.remote_label.as_ref(), &conflict.remote_device)
}
