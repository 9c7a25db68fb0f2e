//! Replays the golden transcripts (`bindings/transcripts`), as Kotlin and Swift do with the same files. Their form is
//! told in `bindings/transcripts/README.md`.

use crate::{
    Accounts, Changes, Host, HostError, KeepsyncError, Listener, Options, PullPage, PullRequest, PushAnswer, PushBatch,
    PushResult, Remote, RemoteFault, Status, Store, Token, TokenError, TokenProvider,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transcript {
    title: String,
    options: Value,
    account: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Call(Call),
    Answers { answers: Map<String, Value> },
    Asked { asked: Map<String, Value> },
    Told { told: Map<String, Value> },
    Reopen { reopen: bool },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    call: String,
    #[serde(default)]
    args: Map<String, Value>,
    gives: Option<Value>,
    fails: Option<Value>,
}

/// What is bound to the names that begin with `$`.
#[derive(Default)]
struct Names(HashMap<String, Value>);

impl Names {
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                if let Some(bound) = self.0.get(text) {
                    return bound.clone();
                }
                let mut filled = text.clone();
                for (name, bound) in &self.0 {
                    let bound = bound.as_str().map_or_else(|| bound.to_string(), str::to_owned);
                    filled = filled.replace(name, &bound);
                }
                Value::String(filled)
            }
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(members) => Value::Object(members.iter().map(|(k, v)| (k.clone(), self.fill(v))).collect()),
            other => other.clone(),
        }
    }

    /// Whether `found` is what was expected. Binds names.
    fn matches(&mut self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::String(name), found) if name.starts_with('$') => {
                if found.is_null() {
                    false
                } else if name == "$_" {
                    true
                } else if let Some(bound) = self.0.get(name) {
                    bound == found
                } else {
                    self.0.insert(name.clone(), found.clone());
                    true
                }
            }
            (Value::Object(expected), Value::Object(found)) => expected
                .iter()
                .all(|(key, value)| self.matches(value, found.get(key).unwrap_or(&Value::Null))),
            (Value::Array(expected), Value::Array(found)) => {
                expected.len() == found.len() && expected.iter().zip(found).all(|(a, b)| self.matches(a, b))
            }
            (Value::String(a), Value::String(b)) if a != b => match (object(a), object(&b.clone())) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (expected, found) => expected == found,
        }
    }
}

fn object(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// The app's backend and sign-in, by the book.
#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<String, VecDeque<Value>>>,
    asked: Mutex<HashMap<String, Vec<Value>>>,
}

impl Script {
    fn ask(&self, what: &str, asked: Value) -> Option<Value> {
        self.asked
            .lock()
            .unwrap()
            .entry(what.to_owned())
            .or_default()
            .push(asked);
        self.answers.lock().unwrap().get_mut(what)?.pop_front()
    }

    fn remote<T: DeserializeOwned>(&self, what: &str, asked: Value) -> Result<T, RemoteFault> {
        let answer = self.ask(what, asked).ok_or(RemoteFault::Offline)?;
        match answer.get("fault") {
            Some(fault) => Err(serde_json::from_value(fault.clone()).unwrap()),
            None => Ok(serde_json::from_value(answer).unwrap()),
        }
    }
}

struct Backend(Arc<Script>);

#[async_trait::async_trait]
impl Remote for Backend {
    async fn push(&self, _: Option<String>, batch: PushBatch) -> Result<PushAnswer, RemoteFault> {
        let asked = serde_json::to_value(&batch).unwrap();
        let mut answers = self.0.answers.lock().unwrap();
        let next = answers.get_mut("push").and_then(|push| push.front_mut());
        if let Some(next) = next.filter(|next| next["results"] == "acceptAll") {
            let accepted = |item: &crate::PushItem| PushResult {
                op: item.op.clone(),
                outcome: crate::Outcome::Accepted {
                    version: item.base_version + 1,
                    server_id: None,
                    body: None,
                },
            };
            next["results"] = serde_json::to_value(batch.items.iter().map(accepted).collect::<Vec<_>>()).unwrap();
        }
        drop(answers);
        self.0.remote("push", asked)
    }

    async fn pull(&self, _: Option<String>, request: PullRequest) -> Result<PullPage, RemoteFault> {
        self.0.remote("pull", serde_json::to_value(&request).unwrap())
    }

    async fn probe(&self) -> Result<(), RemoteFault> {
        self.0.remote::<Value>("probe", Value::Null).map(drop)
    }
}

#[async_trait::async_trait]
impl TokenProvider for Backend {
    async fn token(&self, account: String, rejected: Option<String>) -> Result<Option<Token>, TokenError> {
        let asked = json!({ "account": account, "rejected": rejected });
        match self.0.ask("token", asked).unwrap_or(Value::Null) {
            Value::Null => Ok(None),
            answer if answer["fault"] == "signInNeeded" => Err(TokenError::SignInNeeded),
            answer if answer["fault"] == "offline" => Err(TokenError::Offline),
            answer => Ok(Some(Token {
                secret: answer["secret"].as_str().unwrap().to_owned(),
                subject: answer["subject"].as_str().map(str::to_owned),
            })),
        }
    }
}

/// Everything that was told since it was last looked at.
#[derive(Default)]
struct Told(Mutex<Union>);

#[derive(Default)]
struct Union {
    collections: HashSet<String>,
    flags: HashSet<&'static str>,
    status: Option<Status>,
}

impl Listener for Told {
    fn changed(&self, changes: Changes) -> Result<(), HostError> {
        let mut union = self.0.lock().unwrap();
        union.collections.extend(changes.collections);
        for (flag, said) in [
            ("queue", changes.queue),
            ("conflicts", changes.conflicts),
            ("notices", changes.notices),
            ("sessions", changes.sessions),
            ("closed", changes.closed),
        ] {
            if said {
                union.flags.insert(flag);
            }
        }
        union.status = changes.status.or(union.status.take());
        Ok(())
    }
}

impl Told {
    fn holds(&self, expected: &Map<String, Value>) -> bool {
        let union = self.0.lock().unwrap();
        expected.iter().all(|(key, value)| match (key.as_str(), value) {
            ("collections", Value::Array(names)) => names
                .iter()
                .all(|name| union.collections.contains(name.as_str().unwrap())),
            ("status", status) => union
                .status
                .as_ref()
                .is_some_and(|told| serde_json::to_value(told).unwrap() == *status),
            (flag, Value::Bool(true)) => union.flags.contains(flag),
            other => panic!("not to be told: {other:?}"),
        })
    }
}

/// The arguments of a call.
struct Args(Map<String, Value>);

impl Args {
    fn get<T: DeserializeOwned>(&self, name: &str) -> T {
        let value = self.0.get(name).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value).unwrap_or_else(|problem| panic!("argument {name}: {problem}"))
    }
}

type Given = Result<Value, KeepsyncError>;

fn given<T: Serialize>(answer: Result<T, KeepsyncError>) -> Given {
    answer.map(|answer| serde_json::to_value(answer).unwrap())
}

struct Player {
    names: Names,
    script: Arc<Script>,
    accounts: Arc<Accounts>,
    account: String,
    store: Arc<Store>,
    told: Arc<Told>,
    seen: HashSet<String>,
}

impl Player {
    async fn open(accounts: &Accounts, account: &str) -> (Arc<Store>, Arc<Told>) {
        let store = accounts.open(account.to_owned()).await.unwrap();
        let told = Arc::new(Told::default());
        store.listen(told.clone()).await.unwrap();
        (store, told)
    }

    async fn play(&mut self, step: Step) {
        match step {
            Step::Call(call) => self.call(call).await,
            Step::Answers { answers } => {
                for (what, queued) in answers {
                    let Value::Array(queued) = self.names.fill(&queued) else {
                        panic!("answers are lists");
                    };
                    let mut all = self.script.answers.lock().unwrap();
                    all.entry(what).or_default().extend(queued);
                }
            }
            Step::Asked { asked } => {
                let found = std::mem::take(&mut *self.script.asked.lock().unwrap());
                for (what, expected) in asked {
                    let found = json!(found.get(&what).cloned().unwrap_or_default());
                    assert!(self.names.matches(&expected, &found), "asked {what}: {found:#}");
                }
            }
            Step::Told { told } => {
                let begin = Instant::now();
                while !self.told.holds(&told) {
                    assert!(
                        begin.elapsed() < Duration::from_secs(10),
                        "not told within 10 s: {told:?}"
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                *self.told.0.lock().unwrap() = Union::default();
            }
            Step::Reopen { reopen } => {
                assert!(reopen);
                self.store.close().await.unwrap();
                (self.store, self.told) = Self::open(&self.accounts, &self.account).await;
            }
        }
    }

    async fn call(&mut self, call: Call) {
        let Value::Object(args) = self.names.fill(&Value::Object(call.args.clone())) else {
            unreachable!();
        };
        self.seen.insert(call.call.clone());
        match (self.ask(&call.call, Args(args)).await, &call.fails) {
            (Ok(found), None) => {
                let expected = call.gives.unwrap_or(Value::Null);
                assert!(
                    self.names.matches(&expected, &found),
                    "{} gave {found:#}\nexpected {expected:#}",
                    call.call
                );
            }
            (Err(KeepsyncError::Failed { code, retry, detail }), Some(expected)) => {
                let found = json!({ "code": code, "retry": retry, "detail": detail });
                assert!(
                    self.names.matches(expected, &found),
                    "{} failed with {found}",
                    call.call
                );
            }
            (Ok(found), Some(_)) => panic!("{} gave {found:#} instead of failing", call.call),
            (Err(error), None) => panic!("{} failed: {error}", call.call),
        }
    }

    async fn ask(&self, call: &str, a: Args) -> Given {
        let (s, accounts) = (&self.store, &self.accounts);
        match call {
            "put" => given(s.put(a.get("collection"), a.get("id"), a.get("body")).await),
            "putBlocking" => given(s.put_blocking(a.get("collection"), a.get("id"), a.get("body"))),
            "patch" => given(s.patch(a.get("collection"), a.get("id"), a.get("patch")).await),
            "delete" => given(s.delete(a.get("collection"), a.get("id")).await),
            "writeAll" => given(s.write_all(a.get("mutations")).await),
            "get" => given(s.get(a.get("collection"), a.get("id")).await),
            "getBlocking" => given(s.get_blocking(a.get("collection"), a.get("id"))),
            "query" => given(s.query(a.get("query")).await),
            "queryBlocking" => given(s.query_blocking(a.get("query"))),
            "history" => given(s.history(a.get("collection"), a.get("id")).await),
            "startSession" => given(
                s.start_session(a.get("collection"), a.get("children"), a.get("id"), a.get("body"))
                    .await,
            ),
            "logSet" => given(s.log_set(a.get("set")).await),
            "logSetBlocking" => given(s.log_set_blocking(a.get("set"))),
            "removeSet" => given(s.remove_set(a.get("collection"), a.get("id"), a.get("slot")).await),
            "note" => given(s.note(a.get("collection"), a.get("id"), a.get("scratch")).await),
            "completeSession" => given(
                s.complete_session(a.get("collection"), a.get("id"), a.get("patch"))
                    .await,
            ),
            "skipSession" => given(s.skip_session(a.get("collection"), a.get("id"), a.get("patch")).await),
            "discardSession" => given(s.discard_session(a.get("collection"), a.get("id")).await),
            "activeSessions" => given(s.active_sessions().await),
            "kvGet" => given(s.kv_get(a.get("key")).await),
            "kvSet" => given(s.kv_set(a.get("key"), a.get("value")).await),
            "kvRemove" => given(s.kv_remove(a.get("key")).await),
            "kvMerge" => given(s.kv_merge(a.get("key"), a.get("value")).await),
            "kvMultiGet" => given(s.kv_multi_get(a.get("keys")).await),
            "kvMultiSet" => given(s.kv_multi_set(a.get("pairs")).await),
            "kvMultiRemove" => given(s.kv_multi_remove(a.get("keys")).await),
            "kvKeys" => given(s.kv_keys().await),
            "kvClear" => given(s.kv_clear().await),
            "entries" => given(s.entries(a.get("afterSeq"), a.get("limit")).await),
            "entry" => given(s.entry(a.get("op")).await),
            "queueCounts" => given(s.queue_counts().await),
            "editEntry" => given(s.edit_entry(a.get("op"), a.get("body")).await),
            "retryEntry" => given(s.retry_entry(a.get("op")).await),
            "retryAll" => given(s.retry_all().await),
            "discardEntry" => given(s.discard_entry(a.get("op"), a.get("cascade")).await),
            "outcome" => given(s.outcome(a.get("op")).await),
            "settled" => given(s.settled(a.get("op")).await),
            "rollback" => given(s.rollback(a.get("op"), a.get("cascade")).await),
            "confirmed" => given(s.confirmed(a.get("op"), a.get("limitMs")).await),
            "exportQueue" => given(s.export_queue().await),
            "conflicts" => given(s.conflicts().await),
            "resolve" => given(
                s.resolve(a.get("collection"), a.get("id"), a.get("token"), a.get("resolution"))
                    .await,
            ),
            "twins" => given(s.twins(a.get("collection")).await),
            "mergeInto" => given(s.merge_into(a.get("collection"), a.get("keep"), a.get("drop")).await),
            "lastChangeElsewhere" => given(s.last_change_elsewhere(a.get("collection"), a.get("id")).await),
            "sync" => given(s.sync().await),
            "background" => given(s.background(a.get("budgetMs")).await),
            "cancel" => given(s.cancel()),
            "network" => given(s.network(a.get("there"))),
            "foreground" => given(s.foreground(a.get("there"))),
            "look" => given(s.look()),
            "signedIn" => given(s.signed_in()),
            "status" => given(s.status().await),
            "lastSyncedAt" => given(s.last_synced_at().await),
            "firstSync" => given(s.first_sync().await),
            "retryFirstSync" => given(s.retry_first_sync().await),
            "continueWithoutFirstSync" => given(s.continue_without_first_sync().await),
            "notices" => given(s.notices().await),
            "dismissNotice" => given(s.dismiss_notice(a.get("n")).await),
            "counters" => given(s.counters().await),
            "events" => given(s.events(a.get("limit")).await),
            "bundle" => given(s.bundle().await),
            "exportRecords" => given(s.export_records().await),
            "importRecords" => given(s.import_records(a.get("text")).await),
            "account" => given(s.account()),
            "deviceId" => given(s.device_id()),
            "salvaged" => given(s.salvaged().await),
            "suspend" => given(s.suspend().await),
            "resume" => given(s.resume().await),
            "close" => given(s.close().await),
            "unlisten" => given(s.unlisten(a.get("listener"))),
            "accounts.list" => given(accounts.list().await),
            "accounts.signOut" => given(accounts.sign_out(a.get("account")).await),
            "accounts.losses" => given(accounts.losses(a.get("account")).await),
            "accounts.wipe" => given(accounts.wipe(a.get("account"), a.get("yes")).await),
            other => panic!("no call {other:?}"),
        }
    }
}

/// Every exported function, but for those that a transcript cannot name: opening and listening are in each.
const CALLS: &str = include_str!("transcript.rs");

fn exported() -> HashSet<String> {
    let arms = CALLS
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => given("));
    arms.map(|(call, _)| call.to_owned()).collect()
}

async fn replay(file: &Path) -> HashSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let transcript: Transcript = serde_json::from_str(&text).unwrap_or_else(|problem| panic!("{file:?}: {problem}"));
    let folder = tempfile::tempdir().unwrap();
    let mut options = transcript.options;
    options["folder"] = folder.path().to_str().unwrap().into();
    options["settings"]["automatic"] = false.into();
    let options: Options = serde_json::from_value(options).unwrap();
    let script = Arc::new(Script::default());
    let backend = Arc::new(Backend(Arc::clone(&script)));
    let host = Host {
        tokens: Some(backend.clone()),
        remote: Some(backend),
        ..Host::default()
    };
    let accounts = Accounts::new(options, host).unwrap();
    let (store, told) = Player::open(&accounts, &transcript.account).await;
    let mut player = Player {
        names: Names::default(),
        script,
        accounts,
        account: transcript.account,
        store,
        told,
        seen: HashSet::new(),
    };
    for (at, step) in transcript.steps.into_iter().enumerate() {
        eprintln!("{}, step {}", transcript.title, at + 1);
        player.play(step).await;
    }
    player.store.close().await.unwrap();
    player.seen
}

#[tokio::test(flavor = "multi_thread")]
async fn transcripts_are_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transcripts");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut seen = HashSet::new();
    for file in files {
        seen.extend(replay(&file).await);
    }
    let mut missing: Vec<_> = exported().difference(&seen).cloned().collect();
    missing.sort();
    assert!(missing.is_empty(), "in no transcript: {missing:?}");
}
