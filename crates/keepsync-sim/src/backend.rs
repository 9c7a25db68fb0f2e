//! The server of a story: the code that ships, without its sockets. `keepsync-server`'s checks and its SQLite
//! tables, in memory; its own schema check, limits, refresh tokens, purge, backups and epochs.
//!
//! Two things look at it from outside:
//!
//! * [`Account`] is what its tables show, read by SQL of our own after each request that changed them. The oracle
//!   judges by that. The tables hold the last version of a record alone, so the bodies in between come from the
//!   requests, and the last must be the one in the table.
//! * [`ModelServer`] is told the same and must give the same answers, to the byte. Where a bug of the server is
//!   planted it is left out: the promises have to show that.

use crate::{
    device::Broken,
    oracle::{Violation, broken},
    server::{self, Applied, Key, ModelServer},
};
use keepsync_proxy::rng::Rng;
use keepsync_server::{
    Limits, Retention,
    check::{Checks, Unfit},
    storage::{
        StorageError, TokenHash, Trade,
        sqlite::{Backup, Ledger},
    },
};
use keepsync_wire::{Hlc, Operation, PullRequest, PullResponse, SyncItem, SyncRequest, SyncResponse, Version, code};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};
use uuid::Uuid;

/// A collection's body with `"bad": true` breaks this.
const SCHEMA: &str = r#"{"type":"object","properties":{"bad":{"const":false}}}"#;
/// The collections that have it.
const CHECKED: [&str; 10] = [
    "workout", "set_log", "run", "lap", "note", "goal", "profile", "tag", "mixed", "stat",
];

const HOUR_S: u64 = 3_600;

/// The server.
pub struct Server {
    ledger: Ledger,
    checks: Checks,
    model: Option<ModelServer>,
    accounts: BTreeMap<String, Account>,
    epochs: u32,
    retention: Option<Retention>,
    purge_at: i64,
    rng: Rng,
}

/// What the tables show of one user.
#[derive(Debug, Clone, Default)]
pub struct Account {
    records: BTreeMap<Key, Stored>,
    head: i64,
    applied: HashSet<Uuid>,
    made: HashSet<Key>,
    log: Vec<Applied>,
}

/// A row of `record`.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its current version.
    pub version: Version,
    /// The change number of that version.
    pub change: i64,
}

/// A backup, and what was to be seen when it was made.
#[derive(Clone)]
pub struct Snapshot {
    backup: Backup,
    model: Option<server::Snapshot>,
    accounts: BTreeMap<String, Account>,
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

    /// Whether the record was ever there, also if its tombstone was forgotten since.
    pub fn was_made(&self, key: &Key) -> bool {
        self.made.contains(key)
    }

    /// Whether an operation was applied.
    pub fn has_applied(&self, op: Uuid) -> bool {
        self.applied.contains(&op)
    }
}

impl From<StorageError> for Violation {
    fn from(error: StorageError) -> Self {
        Self {
            promise: "server",
            what: format!("the storage failed: {error}"),
        }
    }
}

impl Server {
    /// An empty server. `is_compared` with the model; `forgets` what is old, now and then; `is_default` with
    /// the limits that it ships with.
    pub fn new(seed: u64, is_compared: bool, forgets: bool, is_default: bool) -> Result<Self, Broken> {
        let mut rng = Rng::new(seed, 50);
        let page_bytes = *rng
            .pick(&[2_000_000, 2_000_000, 2_000_000, 9_000, 2_500])
            .unwrap_or(&2_000_000);
        let page_bytes = if is_default { 2_000_000 } else { page_bytes };
        let limits = Limits {
            page_bytes,
            ..Limits::default()
        };
        let mut model = ModelServer::with(schema_says);
        model.limit_bytes(page_bytes);
        // A tombstone and an answer outlive every journal (docs/server.md), and so every story in which the server
        // may be restored and devices give again what it lost.
        let answers = rng.between(10, 20);
        let retention = Retention {
            tombstones: Duration::from_secs((answers + rng.between(0, 4)) * HOUR_S),
            answers: Duration::from_secs(answers * HOUR_S),
        };
        let retention = (rng.chance(0.4) && forgets).then_some(retention);
        let mut server = Self {
            ledger: Ledger::open_in_memory(epoch(1))?,
            checks: Checks::new(limits, CHECKED.map(|name| (name, SCHEMA)))?,
            model: is_compared.then_some(model),
            accounts: BTreeMap::new(),
            epochs: 1,
            retention,
            purge_at: 0,
            rng,
        };
        server.name_epoch();
        Ok(server)
    }

    /// The name of this life of the data.
    pub fn epoch(&self) -> String {
        self.ledger.epoch().to_owned()
    }

    /// What a user has, if anything was ever applied.
    pub fn account(&self, user: &str) -> Option<&Account> {
        self.accounts.get(user)
    }

    /// The users, in the order of their names.
    pub fn users(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.accounts.iter().map(|(user, account)| (user.as_str(), account))
    }

    /// Answers a push of `user`, whom the token names; of more than `most_items` items none is looked at.
    pub fn push(
        &mut self,
        user: &str,
        request: &SyncRequest,
        most_items: usize,
        now_ms: i64,
    ) -> Result<Result<SyncResponse, Unfit>, Violation> {
        self.purge(now_ms)?;
        self.checks.limits.items = most_items;
        let push = match self.checks.push(user, request.clone()) {
            Ok(push) => push,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let here = self.ledger.push(user, &push, now_ms)?;
        if let Some(model) = &mut self.model {
            same("push", &here, &model.sync(user, request, now_ms))?;
        }
        self.look(user, request)?;
        Ok(Ok(here))
    }

    /// Answers a pull of `user`, whom the token names.
    pub fn pull(
        &mut self,
        user: &str,
        request: &PullRequest,
        now_ms: i64,
    ) -> Result<Result<PullResponse, Unfit>, Violation> {
        self.purge(now_ms)?;
        let pull = match self.checks.pull(user, request.clone()) {
            Ok(pull) => pull,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let here = self.ledger.pull(user, &pull, now_ms)?;
        if let Some(model) = &self.model {
            same("pull", &here, &model.pull(user, request, now_ms))?;
        }
        Ok(Ok(here))
    }

    /// The page this user would get just now.
    pub fn page(&self, user: &str, request: &PullRequest, now_ms: i64) -> Result<Option<PullResponse>, Violation> {
        Ok(match self.checks.pull(user, request.clone()) {
            Ok(pull) => Some(self.ledger.pull(user, &pull, now_ms)?),
            Err(_) => None,
        })
    }

    /// How long it remembers; `None`: for ever.
    pub fn remembers_ms(&self) -> Option<u64> {
        let longest = self.retention.as_ref()?.tombstones;
        u64::try_from(longest.as_millis()).ok()
    }

    /// Now what is old is forgotten, although nobody asked for anything.
    pub fn forget(&mut self, now_ms: i64) -> Result<(), Violation> {
        self.purge_at = now_ms;
        self.purge(now_ms)
    }

    /// A user signs in: the first token of a family.
    pub fn sign_in(&mut self, user: &str, now_ms: i64) -> Result<TokenHash, Violation> {
        let token = self.token();
        self.ledger.begin_family(user, &token, now_ms)?;
        Ok(token)
    }

    /// Trades a refresh token for the next. `None`: it is not taken, or not any more.
    pub fn trade(&mut self, token: &TokenHash, now_ms: i64) -> Result<Option<TokenHash>, Violation> {
        let next = self.token();
        Ok(match self.ledger.trade(token, &next, now_ms)? {
            Trade::Traded { .. } => Some(next),
            Trade::Refused | Trade::Reused { .. } => None,
        })
    }

    /// What is stored of a token stands for the token.
    fn token(&mut self) -> TokenHash {
        let mut token = TokenHash::default();
        token[..16].copy_from_slice(&self.rng.bytes());
        token[16..].copy_from_slice(&self.rng.bytes());
        token
    }

    /// Now and then, what is old is forgotten.
    fn purge(&mut self, now_ms: i64) -> Result<(), Violation> {
        let Some(retention) = self.retention.as_ref().filter(|_| now_ms >= self.purge_at) else {
            return Ok(());
        };
        self.purge_at = now_ms + i64::try_from(self.rng.between(600_000, 4 * 3_600_000)).unwrap_or(0);
        self.ledger.purge(retention, now_ms)?;
        let before = |age: Duration| now_ms - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        if let Some(model) = &mut self.model {
            model.purge(before(retention.tombstones), before(retention.answers));
        }
        self.read_all()
    }

    /// A backup.
    pub fn snapshot(&mut self, now_ms: i64) -> Result<Snapshot, Violation> {
        Ok(Snapshot {
            backup: self.ledger.backup(now_ms)?,
            model: self.model.as_ref().map(ModelServer::snapshot),
            accounts: self.accounts.clone(),
        })
    }

    /// Takes a backup back.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Violation> {
        self.epochs += 1;
        self.ledger = Ledger::restore(&snapshot.backup, epoch(self.epochs))?;
        if let (Some(model), Some(there)) = (&mut self.model, &snapshot.model) {
            model.restore(there);
        }
        self.accounts.clone_from(&snapshot.accounts);
        self.name_epoch();
        self.read_all()
    }

    /// Everything is gone, backups too.
    pub fn reset(&mut self) -> Result<(), Violation> {
        self.epochs += 1;
        self.ledger = Ledger::open_in_memory(epoch(self.epochs))?;
        if let Some(model) = &mut self.model {
            model.reset();
        }
        self.accounts.clear();
        self.name_epoch();
        Ok(())
    }

    fn name_epoch(&mut self) {
        if let Some(model) = &mut self.model {
            model.name_epoch(self.ledger.epoch());
        }
    }

    // What the tables show.

    /// After a push: what it left in the tables.
    fn look(&mut self, user: &str, request: &SyncRequest) -> Result<(), Violation> {
        let conn = self.ledger.tables();
        let head = head(conn, user)?;
        let known = self.accounts.get(user).map_or(0, |account| account.head);
        if head == known {
            return Ok(());
        }
        let account = self.accounts.entry(user.to_owned()).or_default();
        let mut applied: Vec<(i64, &SyncItem)> = Vec::new();
        for item in &request.items {
            let change: Option<i64> = conn
                .prepare_cached("SELECT change FROM applied WHERE user = ?1 AND op = ?2")?
                .query_row(params![user, item.op_id.as_bytes()], |row| row.get(0))
                .optional()?;
            applied.extend(change.filter(|change| *change > known).map(|change| (change, item)));
        }
        applied.sort_by_key(|(change, _)| *change);
        applied.dedup_by_key(|(change, _)| *change);
        if !applied.iter().map(|(change, _)| *change).eq(known + 1..=head) {
            return broken(
                "server",
                format!("the changes of {user} from {known} to {head} are {applied:?}"),
            );
        }
        let mut bodies: HashMap<Key, Option<String>> = HashMap::new();
        for (change, item) in applied {
            let key = (item.entity_type.clone(), item.entity_id.clone());
            let body = item.data.as_ref().filter(|_| item.operation != Operation::Delete);
            let body = body.map(|body| body.get().to_owned());
            let before = account
                .records
                .get(&key)
                .and_then(|stored| stored.version.data.as_ref());
            let before = before.map(|before| before.get().to_owned());
            account.applied.insert(item.op_id);
            account.made.insert(key.clone());
            account.log.push(Applied {
                op: item.op_id,
                key: key.clone(),
                operation: item.operation,
                body: body.clone(),
                replaced: bodies.insert(key, body).unwrap_or(before),
                device: request.device_id.clone(),
                change,
            });
        }
        account.head = head;
        for (key, stored) in records(conn, user, known)? {
            let body = stored.version.data.as_ref().map(|body| body.get());
            if bodies.get(&key).map(Option::as_deref) != Some(body) {
                return broken("server", format!("{key:?} holds {body:?}, which nobody sent"));
            }
            account.records.insert(key, stored);
        }
        Ok(())
    }

    /// After a purge or a restore: everything, which must be no other than before.
    fn read_all(&mut self) -> Result<(), Violation> {
        let conn = self.ledger.tables();
        for (user, account) in &mut self.accounts {
            let records = records(conn, user, 0)?;
            for (key, stored) in &records {
                if account.records.get(key).map(|before| before.change) != Some(stored.change) {
                    return broken("server", format!("{key:?} of {user} has changed by itself"));
                }
            }
            let there = records.len();
            let kept = account.records.values().filter(|stored| stored.version.data.is_some());
            if head(conn, user)? != account.head || kept.count() > there {
                return broken("server", format!("something of {user} is gone"));
            }
            account.records = records.into_iter().collect();
        }
        Ok(())
    }
}

/// A name that no epoch has had.
fn epoch(number: u32) -> Uuid {
    Uuid::from_u128(0xe0c4_0000 + u128::from(number))
}

fn head(conn: &Connection, user: &str) -> Result<i64, Violation> {
    let mut statement = conn.prepare_cached("SELECT head FROM account WHERE user = ?1")?;
    Ok(statement.query_row([user], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn records(conn: &Connection, user: &str, above: i64) -> Result<Vec<(Key, Stored)>, Violation> {
    let mut statement = conn.prepare_cached(
        "SELECT collection, id, change, body, version, hlc, op, device_id, created_at, updated_at FROM record
         WHERE user = ?1 AND change > ?2 ORDER BY change",
    )?;
    let read = |row: &Row<'_>| {
        let body: Option<String> = row.get(3)?;
        let stored = Stored {
            version: Version {
                data: body.and_then(|body| RawValue::from_string(body).ok()),
                version: row.get(4)?,
                hlc: Hlc::from_i64(row.get(5)?),
                clocks: None,
                op_id: Some(Uuid::from_bytes(row.get(6)?)),
                device_id: row.get(7)?,
                device_label: None,
                server_id: None,
                created_at: row.get(8)?,
                updated_at: row.get(9)?,
            },
            change: row.get(2)?,
        };
        Ok(((row.get(0)?, row.get(1)?), stored))
    };
    let rows = statement.query_map(params![user, above], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What the model is told of [`SCHEMA`], in the words of the server.
fn schema_says(item: &SyncItem) -> Option<(&'static str, String)> {
    let is_bad = |data: &&RawValue| data.get().contains("\"bad\":true");
    let checked = CHECKED.contains(&item.entity_type.as_str());
    item.data.as_deref().filter(is_bad).filter(|_| checked)?;
    Some((code::VALIDATION, "data/bad breaks the rule const".to_owned()))
}

fn same(what: &str, here: &impl Serialize, there: &impl Serialize) -> Result<(), Violation> {
    let text = |answer: Result<String, serde_json::Error>| answer.unwrap_or_default();
    let (here, there) = (text(serde_json::to_string(here)), text(serde_json::to_string(there)));
    if here == there {
        return Ok(());
    }
    broken(
        "server",
        format!("it answers a {what} with {here}, the model with {there}"),
    )
}
