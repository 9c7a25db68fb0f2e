//! A conflict as the user sees it: both sides, what differs, and what a merge would make of them.

use super::difference::Difference;

/// Two versions that met, until the user decides. Under an `ask` parent it is one conflict of the parent
/// with all its children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conflict {
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// What a resolution names: it changes whenever anything of the conflict has changed. The server's
    /// version of the record, and, where that does not tell all, a dot and more.
    pub token: String,
    /// Whether the record itself is in conflict; if not, only some of its children are.
    pub in_conflict: bool,
    /// JSON text of what both were made on; `None` if they were made apart.
    pub base: Option<String>,
    /// JSON text of this device's version; `None` for a deletion.
    pub local: Option<String>,
    /// When it was written: UTC milliseconds by this device's clock.
    pub local_at: i64,
    /// This installation.
    pub local_device: String,
    /// What a person calls this device.
    pub local_label: Option<String>,
    /// JSON text of the server's version; `None` for a deletion.
    pub remote: Option<String>,
    /// Its version.
    pub remote_version: i64,
    /// The installation that wrote it.
    pub remote_device: String,
    /// What a person calls that device.
    pub remote_label: Option<String>,
    /// When it was written: UTC milliseconds by the server's clock.
    pub remote_at: i64,
    /// When the two met: UTC milliseconds.
    pub opened_at: i64,
    /// The children of the record, in the order in which they came to be: those in conflict, and the
    /// others, which stay as they are whatever is decided.
    pub children: Vec<ConflictChild>,
    /// What differs, the record's own fields first.
    pub difference: Vec<Difference>,
    /// What [`Resolution::MergeWith`](super::Resolution::MergeWith) makes unless it is told otherwise.
    pub proposal: Proposal,
}

/// A child of a record in conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictChild {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// Its place in the session, if it has one.
    pub slot: Option<String>,
    /// Whether it is in conflict itself.
    pub in_conflict: bool,
    /// JSON text of what both were made on; `None` if they were made apart.
    pub base: Option<String>,
    /// JSON text of this device's version; `None` if it is not there.
    pub local: Option<String>,
    /// When it was written: UTC milliseconds, by this device's clock where it was written here.
    pub local_at: i64,
    /// JSON text of the server's version; `None` if it is not there.
    pub remote: Option<String>,
    /// Its version; 0 for none.
    pub remote_version: i64,
    /// The installation that wrote it.
    pub remote_device: String,
    /// What a person calls that device.
    pub remote_label: Option<String>,
    /// When it was written: UTC milliseconds by the server's clock.
    pub remote_at: i64,
}

impl Conflict {
    /// The proposed body of the record (collection and id) or of one of its children; `None`: deleted, or
    /// none of them.
    pub fn proposal_of(&self, key: &(String, String)) -> Option<&str> {
        if (&self.collection, &self.id) == (&key.0, &key.1) {
            return self.proposal.body.as_deref();
        }
        let is = |child: &&ChildBody| (&child.collection, &child.id) == (&key.0, &key.1);
        self.proposal.children.iter().find(is)?.body.as_deref()
    }
}

/// What a merge of both sides would make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// JSON text of the record's body; `None`: deleted.
    pub body: Option<String>,
    /// Every child as it would be.
    pub children: Vec<ChildBody>,
    /// Fields that both sides changed: the later one is proposed, and a screen may ask.
    pub contested: Vec<Contested>,
}

/// A child's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildBody {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// JSON text; `None`: deleted.
    pub body: Option<String>,
}

/// A field, a group or a whole child that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    /// The record's collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// As in [`Difference::path`].
    pub path: String,
}
