//! The wire's contract as plain logic in memory: what every Keepsync server has to do, in the fewest
//! words. Servers with a database behind them are compared with it.
//!
//! # Push
//! 1. The user comes from the token. A request that names another user applies nothing.
//! 2. A request that counts in another epoch applies nothing either: the answer names the epoch. After a
//!    restore, neither does one that names none: it may have been on its way since before.
//! 3. Items are taken in order. Each is one small transaction:
//!    * its operation id was applied before: the first answer again, or
//!      [`code::OP_REUSED`] if it now says something else;
//!    * an id in `earlier` was applied to this record: the first answer to that;
//!    * its body breaks the collection's schema: refused, and forgotten, so that the same id may
//!      come again;
//!    * an operation in `after`, or its `base_op`, was not applied: [`code::BLOCKED`];
//!    * its base (`version`, or what `base_op` produced) is not the record's version, or another
//!      operation made that than `base_id` says: a conflict, with the version that is there (version 0 without a body: nothing is there);
//!    * otherwise the record's version grows by one, under the next change number, and the answer
//!      is remembered.
//!
//! # Pull
//! Changes are numbered in the order of their commits, one sequence per user. A record stands in it
//! once, under its latest change. A page holds the next changes of all collections that were asked
//! for, each from its own cursor on, in that order; the cursors after it all stand at the page's end,
//! or at the head if there is no more.
//!
//! A collection without a cursor begins at the head and goes down from there, when there is nothing
//! left above: the highest priority first, the latest change first. Its cursor then says how far it has
//! come in both directions, `"{up}<{below}"`. On the way down a device that names no epoch gets only the
//! tombstones of records it wrote itself. (Who knows an epoch has pulled before: it may have a record
//! whose answer is still to come.)
//!
//! # Purge
//! Tombstones and remembered answers are forgotten by age, but never the answer of a record's current
//! version. A cursor below a forgotten tombstone starts over; a new record begins above the versions of
//! forgotten ones.
//!
//! # Epochs
//! [`ModelServer::restore`] takes an earlier state back, remembered answers included, and begins a
//! new epoch that says where it branched. [`ModelServer::reset`] begins one out of nothing. A pull that
//! counts in another epoch is answered from the start.

use keepsync_wire::{
    Branch, Change, Cursor, Operation, PullRequest, PullResponse, SyncItem, SyncRequest, SyncResponse, SyncResult,
    SyncStatus, Version, code,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};
use uuid::Uuid;

/// Collection and id of a record.
pub type Key = (String, String);

/// Says what is wrong with an item, if anything: a code and a text for a person.
pub type Validate = fn(&SyncItem) -> Option<(&'static str, String)>;

/// A server in memory.
#[derive(Debug, Clone)]
pub struct ModelServer {
    users: BTreeMap<String, Account>,
    epochs: u32,
    epoch: String,
    /// The epoch before, and the last change number of each user that both have.
    branch: Option<(String, BTreeMap<String, i64>)>,
    validate: Validate,
    /// Bytes of versions after which a page ends, and after which conflicts are put off.
    most_bytes: usize,
}

/// Everything of one user.
#[derive(Debug, Clone, Default)]
pub struct Account {
    records: BTreeMap<Key, Stored>,
    changes: BTreeMap<i64, Key>,
    head: i64,
    applied: HashMap<Uuid, Answered>,
    log: Vec<Applied>,
    /// The highest change number, and the highest version, of a tombstone that was forgotten.
    purged: i64,
    floor: i64,
}

/// A record as the server holds it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its current version.
    pub version: Version,
    /// The change number of that version.
    pub change: i64,
    /// The devices that wrote any version of it.
    pub writers: BTreeSet<String>,
}

/// An operation in the order in which it was applied.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The operation.
    pub op: Uuid,
    /// The record.
    pub key: Key,
    /// What it did.
    pub operation: Operation,
    /// The body it left; `None` for a deletion.
    pub body: Option<String>,
    /// The body it replaced; `None` if there was none or it was deleted.
    pub replaced: Option<String>,
    /// The device that sent it.
    pub device: String,
    /// Its change number.
    pub change: i64,
}

#[derive(Debug, Clone)]
struct Answered {
    content: Content,
    answer: SyncResult,
}

/// What must be the same when an operation id comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    key: Key,
    operation: Operation,
    data: Option<String>,
    base: Base,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    Version(i64),
    Op(Uuid),
}

/// An earlier state, to be restored.
#[derive(Debug, Clone)]
pub struct Snapshot {
    users: BTreeMap<String, Account>,
    epoch: String,
}

impl Content {
    fn of(item: &SyncItem) -> Self {
        Self {
            key: (item.entity_type.clone(), item.entity_id.clone()),
            operation: item.operation,
            data: item.data.as_ref().map(|data| data.get().to_owned()),
            base: item.base_op.map_or(Base::Version(item.version), Base::Op),
        }
    }
}

impl ModelServer {
    /// An empty server that takes every body.
    pub fn new() -> Self {
        Self::with(|_| None)
    }

    /// An empty server that validates.
    pub fn with(validate: Validate) -> Self {
        Self {
            users: BTreeMap::new(),
            epochs: 1,
            epoch: "e1".to_owned(),
            branch: None,
            validate,
            most_bytes: usize::MAX,
        }
    }

    /// Pages end, and conflicts are put off, after so many bytes of versions.
    pub fn limit_bytes(&mut self, most: usize) {
        self.most_bytes = most;
    }

    /// The name of this life of the data.
    pub fn epoch(&self) -> String {
        self.epoch.clone()
    }

    /// Gives the epoch that has just begun the name another server has for it.
    pub fn name_epoch(&mut self, name: &str) {
        name.clone_into(&mut self.epoch);
    }

    /// Forgets tombstones that were made, and answers that were given, before these times.
    pub fn purge(&mut self, tombstones: i64, answers: i64) {
        for account in self.users.values_mut() {
            account.purge(tombstones, answers);
        }
    }

    /// What a user has, if anything was ever applied.
    pub fn account(&self, user: &str) -> Option<&Account> {
        self.users.get(user)
    }

    /// The users, in the order of their names.
    pub fn users(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.users.iter().map(|(user, account)| (user.as_str(), account))
    }

    /// Answers a push of `user`, whom the token names. `None`: the request names another user.
    pub fn sync(&mut self, user: &str, request: &SyncRequest, now_ms: i64) -> Option<SyncResponse> {
        if request.user_id != user {
            return None;
        }
        let answer = |epoch, results| SyncResponse {
            results,
            server_time: now_ms,
            epoch,
        };
        let epoch = self.epoch();
        let another_life = match &request.epoch {
            Some(counted) => *counted != epoch,
            None => self.branch.is_some(),
        };
        if another_life {
            return Some(answer(epoch, Vec::new()));
        }
        let account = self.users.entry(user.to_owned()).or_default();
        let author = Author {
            device_id: &request.device_id,
            label: request.device_label.as_deref(),
            now_ms,
        };
        let mut carried = 0;
        let mut results = Vec::new();
        for item in &request.items {
            let answer = account.take(item, &author, self.validate);
            results.push(match &answer.server {
                Some(_) if carried >= self.most_bytes => put_off(answer),
                server => {
                    carried += server.as_ref().map_or(0, size);
                    answer
                }
            });
        }
        Some(answer(epoch, results))
    }

    /// Answers a pull of `user`. `None`: the request names another user.
    pub fn pull(&self, user: &str, request: &PullRequest, now_ms: i64) -> Option<PullResponse> {
        if request.user_id != user {
            return None;
        }
        let epoch = self.epoch();
        let same_epoch = request.epoch.as_ref().is_none_or(|asked| *asked == epoch);
        let nothing = Account::default();
        let account = self.users.get(user).unwrap_or(&nothing);
        let (changes, cursors, remaining) = account.page(request, same_epoch, self.most_bytes);
        Some(PullResponse {
            epoch,
            branch: self.branch.as_ref().map(|(parent, common)| Branch {
                parent: parent.clone(),
                change: common.get(user).copied().unwrap_or(0),
            }),
            changes,
            cursors,
            has_more: remaining > 0,
            whole: if same_epoch {
                starts_over(request, account.purged)
            } else {
                Vec::new()
            },
            remaining: Some(remaining),
            server_time: now_ms,
        })
    }

    /// A backup.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            users: self.users.clone(),
            epoch: self.epoch(),
        }
    }

    /// Takes a backup back. What was applied since is gone, and a new epoch says so: it names the
    /// backup's epoch, and the last change number that both have.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let common = snapshot
            .users
            .iter()
            .map(|(user, account)| (user.clone(), account.head));
        let branch = (snapshot.epoch.clone(), common.collect());
        self.users = snapshot.users.clone();
        self.begin_epoch(Some(branch));
    }

    /// Everything is gone, backups too: another server, which knows of no epoch before its own.
    pub fn reset(&mut self) {
        self.users.clear();
        self.begin_epoch(None);
    }

    fn begin_epoch(&mut self, branch: Option<(String, BTreeMap<String, i64>)>) {
        self.epochs += 1;
        self.epoch = format!("e{}", self.epochs);
        self.branch = branch;
    }
}

impl Default for ModelServer {
    fn default() -> Self {
        Self::new()
    }
}

struct Author<'a> {
    device_id: &'a str,
    label: Option<&'a str>,
    now_ms: i64,
}

impl Account {
    /// The record, also if it is a tombstone.
    pub fn record(&self, key: &Key) -> Option<&Stored> {
        self.records.get(key)
    }

    /// All records, tombstones too.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Stored)> {
        self.records.iter()
    }

    /// Everything that was applied, in order.
    pub fn log(&self) -> &[Applied] {
        &self.log
    }

    /// Whether an operation was applied.
    pub fn has_applied(&self, op: Uuid) -> bool {
        self.applied.contains_key(&op)
    }

    fn take(&mut self, item: &SyncItem, author: &Author<'_>, validate: Validate) -> SyncResult {
        let content = Content::of(item);
        if let Some(before) = self.applied.get(&item.op_id) {
            if before.content == content {
                return before.answer.clone();
            }
            return refused(
                item,
                code::OP_REUSED,
                "this operation id came with another content".to_owned(),
            );
        }
        let earlier = item
            .earlier
            .iter()
            .find_map(|op| self.applied.get(op).filter(|before| before.content.key == content.key));
        if let Some(before) = earlier {
            return SyncResult {
                op_id: item.op_id,
                ..before.answer.clone()
            };
        }
        if let Some((code, message)) = validate(item) {
            return refused(item, code, message);
        }
        let missing = |op: &Uuid| !self.applied.contains_key(op);
        let blocked = item.after.iter().any(missing);
        if blocked || item.base_op.as_ref().is_some_and(missing) {
            return refused(item, code::BLOCKED, "what it follows was not applied".to_owned());
        }
        let produced = |op: Uuid| self.applied.get(&op).map_or(0, |before| before.answer.server_version);
        let base = item.base_op.map_or(item.version, produced);
        let current = self.records.get(&content.key);
        let version = current.map_or(0, |stored| stored.version.version);
        let made_by = current.and_then(|stored| stored.version.op_id);
        let meant = item.base_id.filter(|_| item.base_op.is_none());
        let is_another = meant.zip(made_by).is_some_and(|(meant, made_by)| meant != made_by);
        if base != version || is_another {
            return conflict(item, current.map(|stored| stored.version.clone()));
        }
        let version = current.map_or(self.floor, |stored| stored.version.version) + 1;
        self.apply(item, content, version, author)
    }

    fn purge(&mut self, tombstones: i64, answers: i64) {
        let (changes, purged, floor) = (&mut self.changes, &mut self.purged, &mut self.floor);
        self.records.retain(|_, stored| {
            let is_old = stored.version.data.is_none() && stored.version.updated_at < tombstones;
            if is_old {
                *purged = stored.change.max(*purged);
                *floor = stored.version.version.max(*floor);
                changes.remove(&stored.change);
            }
            !is_old
        });
        let current: BTreeSet<Option<Uuid>> = self.records.values().map(|stored| stored.version.op_id).collect();
        self.applied
            .retain(|op, before| before.answer.updated_at >= Some(answers) || current.contains(&Some(*op)));
    }

    fn apply(&mut self, item: &SyncItem, content: Content, version: i64, author: &Author<'_>) -> SyncResult {
        self.head += 1;
        let data = item.data.clone().filter(|_| item.operation != Operation::Delete);
        let before = self.records.remove(&content.key);
        if let Some(before) = &before {
            self.changes.remove(&before.change);
        }
        let applied = Applied {
            op: item.op_id,
            key: content.key.clone(),
            operation: item.operation,
            body: data.as_ref().map(|data| data.get().to_owned()),
            replaced: before
                .as_ref()
                .and_then(|before| before.version.data.as_ref())
                .map(|data| data.get().to_owned()),
            device: author.device_id.to_owned(),
            change: self.head,
        };
        self.log.push(applied);
        let mut writers = before
            .as_ref()
            .map_or_else(BTreeSet::new, |before| before.writers.clone());
        writers.insert(author.device_id.to_owned());
        let stored = Stored {
            version: Version {
                data,
                version,
                hlc: item.hlc,
                clocks: item.clocks.clone(),
                op_id: Some(item.op_id),
                device_id: author.device_id.to_owned(),
                device_label: author.label.map(str::to_owned),
                server_id: None,
                created_at: before.map_or(author.now_ms, |before| before.version.created_at),
                updated_at: author.now_ms,
            },
            change: self.head,
            writers,
        };
        self.changes.insert(self.head, content.key.clone());
        self.records.insert(content.key.clone(), stored);
        let answer = SyncResult {
            status: SyncStatus::Success,
            server_version: version,
            change: self.head,
            updated_at: Some(author.now_ms),
            ..blank(item)
        };
        let remembered = Answered {
            content,
            answer: answer.clone(),
        };
        self.applied.insert(item.op_id, remembered);
        answer
    }

    /// The changes of a page, the cursors after it, and how many changes are left.
    fn page(&self, request: &PullRequest, same_epoch: bool, most_bytes: usize) -> (Vec<Change>, Vec<Cursor>, u64) {
        let limit = request.limit.max(1) as usize;
        let asked: BTreeMap<&str, Asked> = request
            .collections
            .iter()
            .map(|at| (at.collection.as_str(), self.asked(at, same_epoch)))
            .collect();
        let asked_for = |name: &String| asked.get(name.as_str());
        let new: Vec<(i64, &Key)> = self
            .changes
            .iter()
            .map(|(&number, key)| (number, key))
            .filter(|(number, key)| asked_for(&key.0).is_some_and(|at| *number > at.up))
            .collect();
        let older = |(number, key): &(i64, &Key)| {
            let knows_it = |stored: &Stored| {
                request.epoch.is_some() || stored.version.data.is_some() || stored.writers.contains(&request.device_id)
            };
            asked_for(&key.0).is_some_and(|at| at.below.is_some_and(|below| *number < below))
                && self.records.get(*key).is_some_and(knows_it)
        };
        let mut old: Vec<(i64, &Key)> = self.changes.iter().map(|(&n, key)| (n, key)).filter(older).collect();
        old.sort_by_key(|(number, key)| Reverse((asked_for(&key.0).map(|at| at.priority), *number)));
        let mut bytes = 0;
        let mut fitting = |wanted: &[(i64, &Key)], room: usize| {
            let fits = |(_, key): &&(i64, &Key)| {
                let has_room = bytes < most_bytes;
                bytes += self.records.get(*key).map_or(0, |stored| size(&stored.version));
                has_room
            };
            wanted.iter().take(room).take_while(fits).count()
        };
        let (given_new, left_new) = new.split_at(fitting(&new, limit));
        let room = if left_new.is_empty() {
            limit - given_new.len()
        } else {
            0
        };
        let (given_old, left_old) = old.split_at(fitting(&old, room));
        let end = match given_new.last() {
            Some((last, _)) if !left_new.is_empty() => *last,
            _ => self.head,
        };
        let changes = given_new
            .iter()
            .chain(given_old)
            .filter_map(|(_, key)| self.change(key))
            .collect();
        let mut cursors = Vec::new();
        for (collection, at) in &asked {
            let same_rank = |(_, key): &&(i64, &Key)| asked_for(&key.0).is_some_and(|it| it.priority == at.priority);
            let lowest = given_old.iter().filter(same_rank).map(|(number, _)| *number).min();
            let comes_to = |below: i64| lowest.map_or(below, |lowest| lowest.min(below));
            let is_open = left_old.iter().any(|left| same_rank(&left));
            let up = end.max(at.up);
            let below = at.below.filter(|_| is_open).map(comes_to);
            let has_begun = !at.is_new || left_new.is_empty();
            if has_begun && (at.is_new || (up, below) != (at.up, at.below)) {
                let of_it = |(_, key): &&(i64, &Key)| key.0 == **collection;
                cursors.push(Cursor {
                    collection: (*collection).to_owned(),
                    cursor: Some(below.map_or(up.to_string(), |below| format!("{up}<{below}"))),
                    remaining: Some(left_new.iter().chain(left_old).filter(of_it).count() as u64),
                    ..Cursor::default()
                });
            }
        }
        let left = (left_new.len() + left_old.len()) as u64;
        (changes, cursors, left)
    }

    fn asked(&self, wanted: &Cursor, same_epoch: bool) -> Asked {
        let given = wanted.cursor.as_ref().filter(|_| same_epoch);
        let at = given
            .and_then(|text| position(text))
            .filter(|(up, _)| *up >= self.purged);
        let (up, below) = at.unwrap_or((self.head, Some(self.head + 1)));
        Asked {
            up,
            below,
            is_new: at.is_none(),
            priority: wanted.priority,
        }
    }

    fn change(&self, key: &Key) -> Option<Change> {
        let stored = self.records.get(key)?;
        Some(Change {
            collection: key.0.clone(),
            id: key.1.clone(),
            current: stored.version.clone(),
        })
    }
}

/// Where a collection stands that was asked for.
struct Asked {
    up: i64,
    below: Option<i64>,
    is_new: bool,
    priority: i32,
}

/// The collections whose cursor this server did not give, or cannot continue.
fn starts_over(request: &PullRequest, purged: i64) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    for wanted in &request.collections {
        whole.retain(|name| *name != wanted.collection);
        let continues = |text: &str| position(text).is_some_and(|(up, _)| up >= purged);
        if wanted.cursor.as_deref().is_some_and(|text| !continues(text)) {
            whole.push(wanted.collection.clone());
        }
    }
    whole
}

/// How far a cursor came, upwards and downwards; `None` for one this server did not give.
fn position(text: &str) -> Option<(i64, Option<i64>)> {
    let Some((up, below)) = text.split_once('<') else {
        return Some((text.parse().ok()?, None));
    };
    let (up, below): (i64, i64) = (up.parse().ok()?, below.parse().ok()?);
    (below <= up.saturating_add(1)).then_some((up, Some(below)))
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

/// Bytes a version is counted for: its body, its clocks, and something for the rest.
fn size(version: &Version) -> usize {
    let bytes = |text: &Option<Box<serde_json::value::RawValue>>| text.as_ref().map_or(0, |text| text.get().len());
    1_000 + bytes(&version.data) + bytes(&version.clocks)
}

/// In place of a conflict for which the answer has no room.
fn put_off(conflict: SyncResult) -> SyncResult {
    SyncResult {
        status: SyncStatus::Error,
        code: Some(code::TRY_LATER.to_owned()),
        error_message: Some("it met another version; there are too many to show at once".to_owned()),
        retry_after_ms: Some(1_000),
        server: None,
        ..conflict
    }
}

fn refused(item: &SyncItem, code: &str, message: String) -> SyncResult {
    SyncResult {
        code: Some(code.to_owned()),
        error_message: Some(message),
        ..blank(item)
    }
}

fn conflict(item: &SyncItem, current: Option<Version>) -> SyncResult {
    let nothing = || Version {
        data: None,
        version: 0,
        hlc: keepsync_wire::Hlc::default(),
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

/// Refuses a body with `"bad": true`, as a schema would.
pub fn refuses_bad(item: &SyncItem) -> Option<(&'static str, String)> {
    let bad = item
        .data
        .as_ref()
        .is_some_and(|data| data.get().contains("\"bad\":true"));
    bad.then(|| (code::VALIDATION, "bad is not allowed".to_owned()))
}
