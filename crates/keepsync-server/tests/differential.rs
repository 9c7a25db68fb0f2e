//! The SQLite storage beside the model of the contract: the same story, the same answers, to the byte,
//! but for the names of epochs. Backups are taken and restored on the way.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

mod support;

use keepsync_proxy::rng::Rng;
use keepsync_server::{
    decide::Refusal,
    storage::{Pull, Push, Storage, sqlite::SqliteStorage},
};
use keepsync_sim::server::{ModelServer, refuses_bad};
use keepsync_wire::{Cursor, Hlc, Operation, PullRequest, PullResponse, SyncItem, SyncRequest, SyncStatus};
use serde_json::{Value, value::RawValue};
use std::{collections::HashMap, path::Path};
use uuid::Uuid;

const USERS: [&str; 3] = ["ann", "ben", "zoë"];
const DEVICES: [&str; 3] = ["phone", "tablet", "web"];
const COLLECTIONS: [&str; 4] = ["note", "set_log", "plan", "a1"];

/// Both, and what the story remembers of them.
struct Pair {
    rng: Rng,
    model: ModelServer,
    storage: SqliteStorage,
    /// Names of epochs here, and what they are called there.
    epochs: HashMap<String, String>,
    /// Items that were sent, of each user.
    sent: HashMap<&'static str, Vec<SyncItem>>,
    /// Cursors that were given.
    cursors: Vec<(&'static str, String)>,
    now_ms: i64,
    ops: u128,
    seen: Seen,
}

/// That the story was not a dull one.
#[derive(Debug, Default)]
struct Seen {
    applied: u32,
    repeated: u32,
    conflicts: u32,
    codes: HashMap<String, u32>,
    changes: usize,
    tombstones: usize,
    pages: u32,
    backfills: u32,
    other_epoch: u32,
    branched: u32,
}

#[tokio::test]
async fn the_storage_answers_as_the_model_does() {
    for seed in 1..=3 {
        println!("seed {seed}");
        story(seed, 7_000).await;
    }
}

async fn story(seed: u64, requests: u32) {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::open(seed, folder.path());
    let mut kept = None;
    for request in 0..requests {
        pair.now_ms += pair.rng.between(0, 1_500) as i64;
        match pair.rng.below(10) {
            0..6 => pair.push(request).await,
            _ => pair.pull(request).await,
        }
        if request % 1_500 == 700 {
            let file = folder.path().join(format!("backup-{request}"));
            keepsync_server::backup(folder.path(), &file).unwrap();
            kept = Some((file, pair.model.snapshot()));
        }
        if request % 1_500 == 1_200
            && let Some((file, snapshot)) = kept.take()
        {
            pair.storage.close().await.unwrap();
            keepsync_server::restore(folder.path(), &file).unwrap();
            pair.model.restore(&snapshot);
            pair.storage = SqliteStorage::open(&folder.path().join("server.db")).unwrap();
            pair.epochs.insert(pair.storage.epoch().to_owned(), pair.model.epoch());
        }
    }
    println!("{:?}", pair.seen);
    let seen = &pair.seen;
    assert!(seen.applied > 500 && seen.repeated > 100 && seen.conflicts > 100 && seen.changes > 1_000);
    assert!(
        seen.tombstones > 50 && seen.pages > 50 && seen.backfills > 50 && seen.other_epoch > 50 && seen.branched > 50
    );
    for code in ["op_reused", "blocked", "validation"] {
        assert!(seen.codes.get(code).is_some_and(|count| *count > 50), "{code}");
    }
}

impl Pair {
    fn open(seed: u64, folder: &Path) -> Self {
        let storage = SqliteStorage::open(&folder.join("server.db")).unwrap();
        let model = ModelServer::with(refuses_bad);
        Self {
            rng: Rng::new(seed, 0),
            epochs: HashMap::from([(storage.epoch().to_owned(), model.epoch())]),
            model,
            storage,
            sent: HashMap::new(),
            cursors: Vec::new(),
            now_ms: 1_000_000,
            ops: 0,
            seen: Seen::default(),
        }
    }

    async fn push(&mut self, number: u32) {
        let user = *self.rng.pick(&USERS).unwrap();
        let items: Vec<SyncItem> = (0..self.rng.below(6)).map(|_| self.item(user)).collect();
        let request = SyncRequest {
            user_id: user.to_owned(),
            device_id: (*self.rng.pick(&DEVICES).unwrap()).to_owned(),
            device_label: self.rng.chance(0.5).then(|| "Ann's \u{1F4F1}".to_owned()),
            epoch: self.epoch(),
            items,
        };
        let there = self
            .model
            .sync(user, &self.translated(&request, |it| &mut it.epoch), self.now_ms)
            .unwrap();
        let refusal = |item| refuses_bad(item).map(|(code, message)| Refusal { code, message });
        let push = Push {
            answer_bytes: usize::MAX,
            refusals: request.items.iter().map(refusal).collect(),
            request: request.clone(),
        };
        let here = self.storage.push(user, push, self.now_ms).await.unwrap();
        self.same(
            number,
            serde_json::to_value(&here).unwrap(),
            serde_json::to_value(&there).unwrap(),
        );
        self.seen.other_epoch += u32::from(here.results.is_empty() && !request.items.is_empty());
        for result in &here.results {
            match result.status {
                SyncStatus::Success if result.updated_at == Some(self.now_ms) => self.seen.applied += 1,
                SyncStatus::Success => self.seen.repeated += 1,
                SyncStatus::Conflict => self.seen.conflicts += 1,
                SyncStatus::Error => *self.seen.codes.entry(result.code.clone().unwrap()).or_default() += 1,
            }
        }
        self.sent.entry(user).or_default().extend(request.items);
    }

    async fn pull(&mut self, number: u32) {
        let user = *self.rng.pick(&USERS).unwrap();
        let mut collections = Vec::new();
        for _ in 0..self.rng.below(5) {
            let own: Vec<&String> = self
                .cursors
                .iter()
                .filter(|(whose, _)| *whose == user)
                .map(|(_, it)| it)
                .collect();
            let cursor = match self.rng.below(8) {
                0..4 => own.last().map(|it| (*it).clone()),
                4..6 => self.rng.pick(&own).map(|it| (*it).clone()),
                6 if self.rng.chance(0.5) => Some(self.rng.below(100_000).to_string()),
                6 => Some(format!("{}<{}", self.rng.below(9_000), self.rng.below(9_000))),
                _ => None,
            };
            let collection = (*self.rng.pick(&COLLECTIONS).unwrap()).to_owned();
            collections.push(Cursor {
                collection,
                cursor,
                priority: self.rng.below(3) as i32 - 1,
                ..Cursor::default()
            });
        }
        let request = PullRequest {
            user_id: user.to_owned(),
            device_id: (*self.rng.pick(&DEVICES).unwrap()).to_owned(),
            epoch: self.epoch(),
            collections,
            limit: self.rng.between(0, 30) as u32,
        };
        let there = self
            .model
            .pull(user, &self.translated(&request, |it| &mut it.epoch), self.now_ms)
            .unwrap();
        let pull = Pull {
            request,
            page_bytes: usize::MAX,
        };
        let here: PullResponse = self.storage.pull(user, pull, self.now_ms).await.unwrap();
        self.same(
            number,
            serde_json::to_value(&here).unwrap(),
            serde_json::to_value(&there).unwrap(),
        );
        self.seen.changes += here.changes.len();
        self.seen.tombstones += here.changes.iter().filter(|it| it.current.data.is_none()).count();
        self.seen.pages += u32::from(here.has_more);
        let goes_down = |it: &Cursor| it.cursor.as_ref().is_some_and(|text| text.contains('<'));
        self.seen.backfills += u32::from(here.cursors.iter().any(goes_down));
        self.seen.branched += u32::from(here.branch.is_some());
        self.cursors
            .extend(here.cursors.into_iter().map(|it| (user, it.cursor.unwrap())));
    }

    /// None, the current one, an earlier one, or one that never was.
    fn epoch(&mut self) -> Option<String> {
        let mut names: Vec<&String> = self.epochs.keys().collect();
        names.sort_by_key(|name| &self.epochs[*name]);
        match self.rng.below(10) {
            0..3 => None,
            3..8 => Some(self.storage.epoch().to_owned()),
            8 => self.rng.pick(&names).map(|name| (*name).clone()),
            _ => Some("never".to_owned()),
        }
    }

    fn item(&mut self, user: &'static str) -> SyncItem {
        let sent = self.sent.entry(user).or_default();
        let again = self.rng.pick(sent).cloned();
        if self.rng.chance(0.15)
            && let Some(again) = again
        {
            return self.repeat(again);
        }
        let some = |rng: &mut Rng, sent: &[SyncItem]| rng.pick(sent).map_or(Uuid::from_u128(7), |it| it.op_id);
        let collection = (*self.rng.pick(&COLLECTIONS).unwrap()).to_owned();
        let id = format!("r{}/ü", self.rng.below(8));
        let key = (collection, id);
        let current = self
            .model
            .account(user)
            .and_then(|account| account.record(&key))
            .map_or((0, None), |it| (it.version.version, it.version.op_id));
        let version = if self.rng.chance(0.8) {
            current.0
        } else {
            self.rng.below(9) as i64
        };
        let base_op = match self.rng.below(8) {
            0 => Some(some(&mut self.rng, sent)),
            1 => current.1,
            _ => None,
        };
        let after = (0..self.rng.below(3).saturating_sub(1))
            .map(|_| {
                if self.rng.chance(0.9) {
                    some(&mut self.rng, sent)
                } else {
                    Uuid::from_u128(9)
                }
            })
            .collect();
        let operations = [
            Operation::Create,
            Operation::Update,
            Operation::Complete,
            Operation::Skip,
            Operation::Delete,
        ];
        let operation = *self.rng.pick(&operations).unwrap();
        let body = match self.rng.below(12) {
            0 => r#"{"bad":true}"#.to_owned(),
            1 => r#"{ "n" : 1.50e0 , "s":"\u0041\n" }"#.to_owned(),
            n => format!(r#"{{"n":{n}}}"#),
        };
        self.ops += 1;
        SyncItem {
            op_id: Uuid::from_u128(1_000 + self.ops),
            entity_type: key.0,
            entity_id: key.1,
            operation,
            data: (operation != Operation::Delete).then(|| RawValue::from_string(body).unwrap()),
            version,
            base_op,
            base_id: match self.rng.below(4) {
                0 => current.1,
                1 => Some(some(&mut self.rng, sent)),
                _ => None,
            },
            after,
            replaces: None,
            earlier: (0..self.rng.below(8).saturating_sub(5))
                .map(|_| some(&mut self.rng, sent))
                .collect(),
            timestamp: self.now_ms,
            hlc: Hlc::at(self.now_ms),
            clocks: self.clocks(),
        }
    }

    /// What the server does not look at and gives back as it came.
    fn clocks(&mut self) -> Option<Box<RawValue>> {
        let text = match self.rng.below(3) {
            0 => return None,
            1 => r#"{"/a":["1-0", "d"],"":["2-0","\u0065"]}"#,
            _ => r#"{ "*" : 1e2 }"#,
        };
        RawValue::from_string(text.to_owned()).ok()
    }

    /// The same again, or with something changed that may or may not matter.
    fn repeat(&mut self, mut item: SyncItem) -> SyncItem {
        match self.rng.below(12) {
            0 => item.version += 1,
            1 => item.entity_id.push('x'),
            2 => item.operation = Operation::Skip,
            3 if item.data.is_some() => item.data = Some(RawValue::from_string("{ }".to_owned()).unwrap()),
            4 => item.base_op = Some(Uuid::from_u128(3)),
            5 => item.timestamp += 1,
            6 => item.hlc = Hlc::at(1),
            7 => item.after.push(Uuid::from_u128(5)),
            8 => item.entity_type = "note".to_owned(),
            9 => item.clocks = self.clocks(),
            _ => {}
        }
        if item.operation != Operation::Delete && item.data.is_none() {
            item.data = Some(RawValue::from_string("{}".to_owned()).unwrap());
        }
        item
    }

    fn translated<T: Clone>(&self, request: &T, epoch: impl Fn(&mut T) -> &mut Option<String>) -> T {
        let mut request = request.clone();
        let name = epoch(&mut request);
        if let Some(name) = name
            && let Some(there) = self.epochs.get(name)
        {
            *name = there.clone();
        }
        request
    }

    fn same(&self, number: u32, mut here: Value, there: Value) {
        for pointer in ["/epoch", "/branch/parent"] {
            if let Some(name) = here.pointer_mut(pointer) {
                *name = self.epochs[name.as_str().unwrap()].clone().into();
            }
        }
        assert_eq!(here, there, "request {number}");
    }
}
