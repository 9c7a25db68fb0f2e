//! Conflicts that the user decides, records that were made twice, and who changed what.

use crate::{
    Store,
    error::Result,
    mirror::{names, record},
    records::Record,
};
use keepsync::{conflict as core, record as core_record};

names! {
    /// Who changed a field since what both versions were made on.
    Changed from core::Changed {
        /// This device.
        Here,
        /// The other side.
        There,
        /// Both, to different values.
        Both,
    }
}

record! {
    /// A field in which two versions of a record differ.
    Difference from core::Difference {
        /// The record's collection: that of the conflict, or of one of its children.
        collection: String,
        /// The record.
        id: String,
        /// Where, as a JSON pointer; an element of a list whose elements have an `id` is named by that
        /// (`/sets/s1/reps`). Empty for the whole record: one side deleted it.
        path: String,
        /// JSON text of what both were made on; absent if it was not there.
        base: Option<String>,
        /// JSON text of this device's value; absent if it is not there.
        local: Option<String>,
        /// JSON text of the other side's value; absent if it is not there.
        remote: Option<String>,
        /// Who changed it.
        changed: Changed,
    }
}

record! {
    /// A child of a record in conflict.
    ConflictChild from core::ConflictChild {
        /// Its collection.
        collection: String,
        /// Its id.
        id: String,
        /// Its place in the session, if it has one.
        slot: Option<String>,
        /// Whether it is in conflict itself.
        in_conflict: bool,
        /// JSON text of what both were made on; absent if they were made apart.
        base: Option<String>,
        /// JSON text of this device's version; absent if it is not there.
        local: Option<String>,
        /// When it was written: UTC milliseconds, by this device's clock where it was written here.
        local_at: i64,
        /// JSON text of the server's version; absent if it is not there.
        remote: Option<String>,
        /// Its version; 0 for none.
        remote_version: i64,
        /// The installation that wrote it.
        remote_device: String,
        /// What a person calls that device.
        remote_label: Option<String>,
        /// When it was written: UTC milliseconds by the server's clock.
        remote_at: i64,
    }
}

record! {
    /// A child's body.
    ChildBody from core::ChildBody {
        /// Its collection.
        collection: String,
        /// Its id.
        id: String,
        /// JSON text; absent: deleted.
        body: Option<String>,
    }
}

record! {
    /// A field, a group or a whole child that both sides changed.
    Contested from core::Contested {
        /// The record's collection.
        collection: String,
        /// The record.
        id: String,
        /// As in `Difference.path`.
        path: String,
    }
}

record! {
    /// What a merge of both sides would make.
    Proposal from core::Proposal {
        /// JSON text of the record's body; absent: deleted.
        body: Option<String>,
        /// Every child as it would be.
        children: Vec<ChildBody>,
        /// Fields that both sides changed: the later one is proposed, and a screen may ask.
        contested: Vec<Contested>,
    }
}

record! {
    /// Two versions that met, until the user decides. Under an `Ask` parent it is one conflict of the parent with all
    /// its children.
    Conflict from core::Conflict {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
        /// What a resolution names: it changes whenever anything of the conflict has changed.
        token: String,
        /// Whether the record itself is in conflict; if not, only some of its children are.
        in_conflict: bool,
        /// JSON text of what both were made on; absent if they were made apart.
        base: Option<String>,
        /// JSON text of this device's version; absent for a deletion.
        local: Option<String>,
        /// When it was written: UTC milliseconds by this device's clock.
        local_at: i64,
        /// This installation.
        local_device: String,
        /// What a person calls this device.
        local_label: Option<String>,
        /// JSON text of the server's version; absent for a deletion.
        remote: Option<String>,
        /// Its version.
        remote_version: i64,
        /// The installation that wrote it.
        remote_device: String,
        /// What a person calls that device.
        remote_label: Option<String>,
        /// When it was written: UTC milliseconds by the server's clock.
        remote_at: i64,
        /// When the two met: UTC milliseconds.
        opened_at: i64,
        /// The children of the record, in the order in which they came to be.
        children: Vec<ConflictChild>,
        /// What differs, the record's own fields first.
        difference: Vec<Difference>,
        /// What `Resolution.MergeWith` makes unless it is told otherwise.
        proposal: Proposal,
    }
}

/// How the user decides.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Resolution {
    /// This device's version goes to the server, over the one that was shown.
    KeepLocal,
    /// The server's version stands here too.
    KeepRemote,
    /// Another body, made from both. Children in conflict become as proposed.
    Merge {
        /// JSON text.
        body: String,
    },
    /// As proposed, except for what is given.
    MergeWith {
        /// JSON text of the record's body; absent: as proposed.
        body: Option<String>,
        /// Bodies of children, also of such that are not in conflict. The others become as proposed.
        children: Vec<ChildBody>,
    },
}

impl From<Resolution> for core::Resolution {
    fn from(resolution: Resolution) -> Self {
        match resolution {
            Resolution::KeepLocal => Self::KeepLocal,
            Resolution::KeepRemote => Self::KeepRemote,
            Resolution::Merge { body } => Self::Merge(body),
            Resolution::MergeWith { body, children } => Self::MergeWith(core::Merged {
                body,
                children: children.into_iter().map(Into::into).collect(),
            }),
        }
    }
}

impl From<ChildBody> for core::ChildBody {
    fn from(child: ChildBody) -> Self {
        Self {
            collection: child.collection,
            id: child.id,
            body: child.body,
        }
    }
}

record! {
    /// One of several records that look like one.
    Twin from core_record::Twin {
        /// The record.
        record: Record,
        /// The installation that made it, or, where that was not seen, that wrote it last.
        made_by: String,
        /// What a person calls that device.
        made_by_label: Option<String>,
    }
}

record! {
    /// Another device that changed a record.
    Elsewhere from core_record::Elsewhere {
        /// The device.
        device_id: String,
        /// What a person calls it, if it ever said so.
        device_label: Option<String>,
        /// When the server took the version: UTC milliseconds by the server's clock.
        at: i64,
    }
}

#[uniffi::export]
impl Store {
    /// Conflicts the user has to settle, oldest first.
    pub async fn conflicts(&self) -> Result<Vec<Conflict>> {
        self.call(|store| async move { store.conflicts().await }).await
    }

    /// Settles a conflict as it was shown: `token` is the conflict's. A version that came since answers
    /// `conflict_changed`: show it again.
    pub async fn resolve(&self, collection: String, id: String, token: String, resolution: Resolution) -> Result<()> {
        self.call(move |store| async move { store.resolve(&collection, &id, &token, resolution.into()).await })
            .await
    }

    /// Groups of records that look like one and were made on different devices, the newest group first.
    pub async fn twins(&self, collection: String) -> Result<Vec<Vec<Twin>>> {
        self.call(move |store| async move { store.twins(&collection).await })
            .await
    }

    /// Makes one record of two: the children of `drop` go to `keep`, and `drop` is deleted. Gives how many moved.
    pub async fn merge_into(&self, collection: String, keep: String, drop: String) -> Result<i64> {
        self.call(move |store| async move { store.merge_into(&collection, &keep, &drop).await })
            .await
    }

    /// Who changed a record last, if another device did.
    pub async fn last_change_elsewhere(&self, collection: String, id: String) -> Result<Option<Elsewhere>> {
        self.call(move |store| async move { store.last_change_elsewhere(&collection, &id).await })
            .await
    }
}
