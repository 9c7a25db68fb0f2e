//! What an app registers before it opens a store. What is left out has the core's default.

use crate::{
    error::{KeepsyncError, Result, unsigned},
    mirror::{Out, names},
    rest::RestApi,
};
use keepsync::{collection, conflict, settings};
use std::collections::{BTreeSet, HashSet};

/// How conflicts in a collection, or in a group of fields, are settled.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Policy {
    /// What the server has stands: reference data, program data.
    ServerWins,
    /// What was written here stands: what a lifter lifted is never overwritten.
    ClientWins,
    /// The later write stands, by hybrid logical clock and then by device id.
    LastWriteWins,
    /// The user decides; both versions are kept until then.
    Ask,
    /// The version whose field (an instant) is the later one stands.
    LatestOf {
        /// The field.
        field: String,
    },
    /// Every unit is settled by its own later write: the elements that have this key, the members of objects, the
    /// fields.
    LwwPer {
        /// The key.
        key: String,
    },
    /// The larger number stands, for each number at or below this path (dotted; `*` is any member).
    MergeMax {
        /// The path.
        path: String,
    },
    /// Numbers are added up.
    Counter,
    /// Each field is settled by its own later write; the fields of a group go together.
    MergeFields {
        /// Groups of fields that belong together.
        groups: Vec<Vec<String>>,
    },
    /// The app's `ConflictResolver` decides.
    Custom {
        /// What it is called by.
        resolver: String,
    },
}

impl From<Policy> for conflict::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::ServerWins => Self::ServerWins,
            Policy::ClientWins => Self::ClientWins,
            Policy::LastWriteWins => Self::LastWriteWins,
            Policy::Ask => Self::Ask,
            Policy::LatestOf { field } => Self::LatestOf(field),
            Policy::LwwPer { key } => Self::LwwPer(key),
            Policy::MergeMax { path } => Self::MergeMax(path),
            Policy::Counter => Self::Counter,
            Policy::MergeFields { groups } => Self::MergeFields(groups.into_iter().map(BTreeSet::from_iter).collect()),
            Policy::Custom { resolver } => Self::Custom(resolver),
        }
    }
}

names! {
    /// Which way records travel.
    Direction from collection::Direction {
        /// Written here and pulled.
        Both,
        /// Reference data: pulled only.
        PullOnly,
        /// Written here, never pulled.
        PushOnly,
        /// Stays on the device.
        Local,
    }
}

names! {
    /// When the children of a session go out.
    Sending from collection::Sending {
        /// Each when it is logged.
        Live,
        /// Session and children are held until the session is completed or skipped.
        OnComplete,
    }
}

names! {
    /// What a rejected entry holds up.
    OnRejected from collection::OnRejected {
        /// Its lane: later writes of the record, and its dependants.
        ParkLane,
        /// Only itself: a later write of the same record still goes out.
        ParkEntry,
    }
}

/// Whether the app can be used before the first pull of a collection is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum FirstSync {
    /// Yes.
    NotRequired,
    /// No, unless the user goes on without it.
    Required,
    /// No.
    Indispensable,
}

/// The collection of a record's parent, and the field that holds the parent's id.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Parent {
    /// The collection.
    pub collection: String,
    /// The field.
    pub field: String,
}

/// Fields that are settled together by a policy of their own.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct FieldGroup {
    /// Top-level fields.
    pub fields: Vec<String>,
    /// Their policy.
    pub policy: Policy,
}

/// The registration of one collection.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct CollectionOptions {
    /// 1 to 64 of a-z, 0-9 and _, starting with a letter.
    pub name: String,
    /// How conflicts are settled.
    pub policy: Policy,
    /// The collection its records are children of. A parent is fixed when the record is made.
    #[uniffi(default = None)]
    pub parent: Option<Parent>,
    /// Top-level fields of the body with an index, for filters and orders.
    #[uniffi(default = [])]
    #[cfg_attr(test, serde(default))]
    pub indexes: Vec<String>,
    /// Higher goes out first; 0 unless given.
    #[uniffi(default = 0)]
    #[cfg_attr(test, serde(default))]
    pub priority: i32,
    /// Which way records travel; both unless given.
    #[uniffi(default = None)]
    pub direction: Option<Direction>,
    /// For sessions: when they and their children go out; live unless given.
    #[uniffi(default = None)]
    pub sending: Option<Sending>,
    /// Whether the app needs it before it can be used; it does not unless given.
    #[uniffi(default = None)]
    pub first_sync: Option<FirstSync>,
    /// What a rejected entry holds up; its lane unless given.
    #[uniffi(default = None)]
    pub on_rejected: Option<OnRejected>,
    /// Fields with a policy of their own.
    #[uniffi(default = [])]
    #[cfg_attr(test, serde(default))]
    pub groups: Vec<FieldGroup>,
    /// Records that are equal in these fields and were made on different devices are twins.
    #[uniffi(default = [])]
    #[cfg_attr(test, serde(default))]
    pub same_when: Vec<String>,
    /// The app creates and updates, but never deletes here.
    #[uniffi(default = false)]
    #[cfg_attr(test, serde(default))]
    pub without_deletes: bool,
    /// Conflicts are settled by its own policy, also where its parent's collection asks.
    #[uniffi(default = false)]
    #[cfg_attr(test, serde(default))]
    pub settles_itself: bool,
    /// The user is told when the server changes these.
    #[uniffi(default = false)]
    #[cfg_attr(test, serde(default))]
    pub announce_changes: bool,
}

impl From<CollectionOptions> for collection::Collection {
    fn from(options: CollectionOptions) -> Self {
        let mut it = Self::new(options.name, options.policy.into()).priority(options.priority);
        if let Some(parent) = options.parent {
            it = it.child_of(parent.collection, parent.field);
        }
        it = options.indexes.into_iter().fold(it, Self::index);
        if let Some(direction) = options.direction {
            it = it.direction(direction.into());
        }
        if let Some(sending) = options.sending {
            it = it.sending(sending.into());
        }
        if let Some(first_sync) = options.first_sync {
            it = it.first_sync(match first_sync {
                FirstSync::NotRequired => collection::FirstSync::NotRequired,
                FirstSync::Required => collection::FirstSync::Required { may_continue: true },
                FirstSync::Indispensable => collection::FirstSync::Required { may_continue: false },
            });
        }
        if let Some(on_rejected) = options.on_rejected {
            it = it.on_rejected(on_rejected.into());
        }
        for group in options.groups {
            it = it.group(group.fields, group.policy.into());
        }
        if !options.same_when.is_empty() {
            it = it.same_when(options.same_when);
        }
        if options.without_deletes {
            it = it.without_deletes();
        }
        if options.settles_itself {
            it = it.settles_itself();
        }
        if options.announce_changes {
            it = it.announce_changes();
        }
        it
    }
}

names! {
    /// What happens after the last step of the retry schedule.
    AfterLast from settings::AfterLast {
        /// The lane needs attention, and still goes out on the next network change, foreground or tap.
        Auto,
        /// The lane needs attention and waits for the user's tap.
        Manual,
    }
}

names! {
    /// Which half of a drain comes first.
    Order from settings::Order {
        /// Changes from other devices are seen before anything is sent.
        PullThenPush,
        /// Unsent writes go first.
        PushThenPull,
    }
}

macro_rules! settings {
    ($($(#[$meta:meta])* $field:ident: $type:ty = $set:expr),* $(,)?) => {
        /// Limits and times, in milliseconds and bytes. What is absent has the core's default.
        #[derive(Debug, Clone, Default, PartialEq, uniffi::Record)]
        #[cfg_attr(
            test,
            derive(serde::Serialize, serde::Deserialize),
            serde(rename_all = "camelCase", default)
        )]
        pub struct Settings {
            $($(#[$meta])* #[uniffi(default = None)] pub $field: Option<$type>,)*
        }

        impl TryFrom<Settings> for settings::Settings {
            type Error = KeepsyncError;

            fn try_from(given: Settings) -> Result<Self> {
                let mut it = match given.field_mode {
                    Some(true) => Self::field_mode(),
                    _ => Self::default(),
                };
                $(
                    if let Some(value) = given.$field {
                        let set: fn(&mut Self, $type) -> Result<()> = $set;
                        set(&mut it, value)?;
                    }
                )*
                Ok(it)
            }
        }
    };
}

fn steps(field: &str, steps: Vec<i64>) -> Result<Vec<u64>> {
    steps.into_iter().map(|step| unsigned(field, step)).collect()
}

settings! {
    /// The defaults of an app that captures data in the field: what is unsent goes out before anything is fetched.
    field_mode: bool = |_, _| Ok(()),
    /// Drains start by themselves: on opening, after writes, on hints and timers.
    automatic: bool = |it, value| { it.automatic = value; Ok(()) },
    /// Which half of a drain comes first.
    order: Order = |it, value| { it.order = value.into(); Ok(()) },
    /// Waits before the second, third, … attempt of an entry.
    retry_schedule_ms: Vec<i64> = |it, value| { it.retry_schedule_ms = steps("retry_schedule_ms", value)?; Ok(()) },
    /// Each wait is drawn from `1 ± jitter` of its step.
    jitter: f64 = |it, value| { it.jitter = value; Ok(()) },
    /// What follows the last step.
    after_last: AfterLast = |it, value| { it.after_last = value.into(); Ok(()) },
    /// Waits of the whole remote after answers that are not certainly the backend's.
    backoff_schedule_ms: Vec<i64> = |it, value| { it.backoff_schedule_ms = steps("backoff_schedule_ms", value)?; Ok(()) },
    /// At most this many entries in a request.
    batch_count: i64 = |it, value| { it.batch_count = unsigned("batch_count", value)?; Ok(()) },
    /// At most this many bytes of bodies in a request.
    batch_bytes: i64 = |it, value| { it.batch_bytes = unsigned("batch_bytes", value)?; Ok(()) },
    /// Changes asked for in a page, at most.
    pull_page: i64 = |it, value| { it.pull_page = unsigned("pull_page", value)?; Ok(()) },
    /// A first sync that the app needs is stalled when no page has come for this long.
    first_sync_limit_ms: i64 = |it, value| { it.first_sync_limit_ms = unsigned("first_sync_limit_ms", value)?; Ok(()) },
    /// A write made while online goes out this long after, together with its neighbours.
    write_delay_ms: i64 = |it, value| { it.write_delay_ms = unsigned("write_delay_ms", value)?; Ok(()) },
    /// While the app is active, a drain starts this long after the last.
    active_interval_ms: i64 = |it, value| { it.active_interval_ms = unsigned("active_interval_ms", value)?; Ok(()) },
    /// While offline, the backend is probed this often.
    probe_interval_ms: i64 = |it, value| { it.probe_interval_ms = unsigned("probe_interval_ms", value)?; Ok(()) },
    /// Lanes whose schedule is used up are released by network changes and foregrounding at most once in this time.
    release_interval_ms: i64 = |it, value| { it.release_interval_ms = unsigned("release_interval_ms", value)?; Ok(()) },
    /// From this many equal rejections in one pass on they may be taken for a fault of the backend.
    mass_rejection: i64 = |it, value| { it.mass_rejection = unsigned("mass_rejection", value)?; Ok(()) },
    /// A body may have this many bytes.
    body_bytes: i64 = |it, value| { it.body_bytes = unsigned("body_bytes", value)?; Ok(()) },
    /// Acknowledged operations are kept this long, to be given again to a restored server.
    journal_ms: i64 = |it, value| { it.journal_ms = value; Ok(()) },
    /// Superseded versions kept per record.
    history_per_record: i64 = |it, value| { it.history_per_record = unsigned("history_per_record", value)?; Ok(()) },
    /// How long the app's own resolver may take to decide a conflict.
    resolver_ms: i64 = |it, value| { it.resolver_ms = unsigned("resolver_ms", value)?; Ok(()) },
    /// What a person calls this device.
    device_label: String = |it, value| { it.device_label = Some(value); Ok(()) },
}

/// A backend over HTTP.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct HttpOptions {
    /// Address below which the paths lie: `https://sync.example.com/api`. Plain `http` to this machine only.
    pub base_url: String,
    /// Milliseconds to connect in, TLS included; 10,000 unless given.
    #[uniffi(default = None)]
    pub connect_ms: Option<i64>,
    /// Milliseconds to wait for the next bytes of an answer; 20,000 unless given.
    #[uniffi(default = None)]
    pub read_ms: Option<i64>,
    /// Milliseconds for a whole request; 60,000 unless given.
    #[uniffi(default = None)]
    pub total_ms: Option<i64>,
}

#[cfg(feature = "http")]
impl TryFrom<HttpOptions> for keepsync::remote::http::HttpOptions {
    type Error = KeepsyncError;

    fn try_from(given: HttpOptions) -> Result<Self> {
        let mut it = Self::new(given.base_url);
        for (limit, field, value) in [
            (&mut it.connect_ms, "connect_ms", given.connect_ms),
            (&mut it.read_ms, "read_ms", given.read_ms),
            (&mut it.total_ms, "total_ms", given.total_ms),
        ] {
            if let Some(value) = value {
                *limit = unsigned(field, value)?;
            }
        }
        Ok(it)
    }
}

/// What the app's own backend understands.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Capabilities {
    /// Many items in one request.
    pub batches: bool,
    /// An item may go out together with the items it must follow.
    pub after: bool,
    /// Whether there is a pull at all.
    pub pull: bool,
}

/// Where records go to and come from.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Backend {
    /// A server that speaks Keepsync's own wire.
    Wire {
        /// Where it is.
        http: HttpOptions,
    },
    /// Plain REST endpoints.
    Rest {
        /// Where they are.
        http: HttpOptions,
        /// What they are.
        api: RestApi,
    },
    /// The app's own `Remote`.
    App {
        /// What it understands.
        capabilities: Capabilities,
    },
}

/// An installation: everything that holds for each of its accounts.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Options {
    /// Where its files are: a folder of its own, which is made if it is not there.
    pub folder: String,
    /// All collections.
    pub collections: Vec<CollectionOptions>,
    /// Without one everything local works, and the status is `LocalOnly`.
    #[uniffi(default = None)]
    pub backend: Option<Backend>,
    /// Limits and times.
    #[uniffi(default = None)]
    pub settings: Option<Settings>,
    /// The installation's id; made once, and kept in the folder, unless given.
    #[uniffi(default = None)]
    pub device_id: Option<String>,
}

impl Options {
    /// Names of the app's resolvers.
    pub(crate) fn resolvers(&self) -> HashSet<String> {
        let groups = self
            .collections
            .iter()
            .flat_map(|it| &it.groups)
            .map(|group| &group.policy);
        let policies = self.collections.iter().map(|it| &it.policy).chain(groups);
        policies
            .filter_map(|policy| match policy {
                Policy::Custom { resolver } => Some(resolver.clone()),
                _ => None,
            })
            .collect()
    }
}

impl Out<Capabilities> for keepsync::remote::Capabilities {
    fn out(self) -> Capabilities {
        Capabilities {
            batches: self.batches,
            after: self.after,
            pull: self.pull,
        }
    }
}

impl From<Capabilities> for keepsync::remote::Capabilities {
    fn from(it: Capabilities) -> Self {
        Self {
            batches: it.batches,
            after: it.after,
            pull: it.pull,
        }
    }
}
