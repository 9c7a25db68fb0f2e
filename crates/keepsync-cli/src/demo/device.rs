//! A device of the demo: a whole process with a file of its own, as an app would be. It is a hidden
//! subcommand, so that it can be killed without warning.
//!
//! 1. It reads its [`Identity`] and opens its store; from then on it drains by itself.
//! 2. It says `"ready"`.
//! 3. It does one [`Order`] after the other and answers each after the core's call has returned: what
//!    was answered is on the disk. Killed before the answer: it may be, or not.
//! 4. At the end of its input it closes.

use super::order::{Conflict, How, Identity, Order, Parked, Reply, Session, Shown, State};
use crate::{
    args::Place,
    collections::{SET_LOG, WORKOUT, collections},
    device::Named,
    failure::{Exit, Failure},
    tokens,
};
use keepsync::{
    Backend, OpenOptions, Store,
    conflict::Resolution,
    env::SystemEnv,
    queue::EntryState,
    record::{Mutation, Query},
    remote::http::{HttpOptions, HttpRemote},
    settings::Settings,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, Write as _},
    sync::Arc,
};

/// More than any device of the demo has unsent at once.
const MANY: usize = 10_000;

/// Runs until its input ends.
pub(crate) fn run() -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|problem| Failure::new("internal", format!("no runtime: {problem}")))?;
    runtime.block_on(async {
        // Read on a thread of its own: waiting for the next order must not hold up the drain.
        let (lines, mut orders) = tokio::sync::mpsc::channel(16);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let Some(first) = orders.recv().await else {
            return Ok(Exit::Good);
        };
        let store = open(parse(&first)?).await?;
        say(&"ready")?;
        while let Some(line) = orders.recv().await {
            let reply = match carry_out(&store, parse(&line)?).await {
                Ok(value) => Reply::Ok(value),
                Err(error) => Reply::Error {
                    code: error.code().to_owned(),
                    message: error.to_string(),
                },
            };
            say(&reply)?;
        }
        store.close().await?;
        Ok(Exit::Good)
    })
}

fn parse<'a, T: serde::Deserialize<'a>>(line: &'a str) -> Result<T, Failure> {
    serde_json::from_str(line).map_err(|problem| Failure::new("input", format!("standard input: {problem}")))
}

fn say(what: &impl Serialize) -> Result<(), Failure> {
    let cannot = |problem: std::io::Error| Failure::new("output", format!("standard output: {problem}"));
    let line = serde_json::to_string(what).map_err(|problem| cannot(problem.into()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(cannot)
}

async fn open(identity: Identity) -> Result<Store, Failure> {
    // A demo's day lasts a minute, and so do its waits.
    let http = HttpOptions {
        connect_ms: 500,
        read_ms: 700,
        total_ms: 3_000,
        ..HttpOptions::new(&identity.server)
    };
    let remote = HttpRemote::new(http).map_err(|problem| Failure::new("bad_server", problem.to_string()))?;
    let remote = Arc::new(remote);
    let named = Named {
        db: identity.file.clone(),
        user: identity.user.clone(),
        json: false,
        place: Place {
            db: Some(identity.file.clone()),
            user: Some(identity.user.clone()),
            label: Some(identity.label.clone()),
            server: Some(identity.server),
            token: Some(identity.access_token),
            refresh_token: Some(identity.refresh_token),
        },
    };
    let backend = Backend {
        tokens: tokens::provider(&named, &remote),
        remote,
    };
    let options = OpenOptions {
        place: keepsync::Place::File(identity.file),
        account: identity.user,
        key: None,
        device_id: None,
        collections: collections()?,
        settings: Settings {
            device_label: Some(identity.label),
            retry_schedule_ms: vec![50, 100, 200, 500],
            backoff_schedule_ms: vec![50, 100, 200],
            write_delay_ms: 30,
            probe_interval_ms: 100,
            release_interval_ms: 200,
            ..Settings::default()
        },
        resolvers: keepsync::conflict::Resolvers::default(),
        env: Arc::new(SystemEnv::default()),
    };
    Ok(Store::open(options, Some(backend)).await?)
}

async fn carry_out(store: &Store, order: Order) -> keepsync::Result<Value> {
    match order {
        Order::Start { id, body } => store.start_session(WORKOUT, SET_LOG, &id, &body).await.map(written),
        Order::Log { id, slot, body } => store.log_set(WORKOUT, &id, &slot, &body).await.map(written),
        Order::Complete { id } => store.complete_session(WORKOUT, &id, "{}").await.map(written),
        Order::PutAll { collection, records } => {
            let put = |(id, body)| Mutation::Put {
                collection: collection.clone(),
                id,
                body,
            };
            store
                .write_all(records.into_iter().map(put).collect())
                .await
                .map(|all| json!(all.len()))
        }
        Order::Patch { collection, id, patch } => store.patch(&collection, &id, &patch).await.map(written),
        Order::Delete { collection, id } => store.delete(&collection, &id).await.map(written),
        Order::Get { collection, id } => Ok(json!(shown(store, &collection, &id).await?)),
        Order::Count { collection } => count(store, &collection).await,
        Order::State => Ok(json!(state(store).await?)),
        Order::Edit { op, patch } => edit(store, &op, &patch).await,
        Order::Resolve {
            collection,
            id,
            token,
            how,
        } => {
            let resolution = match how {
                How::KeepLocal => Resolution::KeepLocal,
                How::BothNotes => Resolution::Merge(both_notes(store, &id).await?),
            };
            store.resolve(&collection, &id, &token, resolution).await?;
            Ok(json!(shown(store, &collection, &id).await?))
        }
        Order::Network { there } => {
            store.network(there);
            Ok(Value::Null)
        }
        Order::Sync => {
            let report = store.sync().await?;
            Ok(json!(!report.pull.failed() && !report.push.failed()))
        }
    }
}

fn written(written: keepsync::record::Written) -> Value {
    json!(written.id)
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

async fn shown(store: &Store, collection: &str, id: &str) -> keepsync::Result<Option<Shown>> {
    let record = store.get(collection, id).await?;
    Ok(record.map(|record| Shown {
        body: object(record.body.as_deref().unwrap_or("null")),
        version: record.version,
    }))
}

async fn count(store: &Store, collection: &str) -> keepsync::Result<Value> {
    let mut query = Query::new(collection).limit(1_000);
    let mut count = 0;
    loop {
        let page = store.query(query.clone()).await?;
        count += page.records.len();
        match page.next {
            Some(next) => query = query.after(next),
            None => return Ok(json!(count)),
        }
    }
}

async fn state(store: &Store) -> keepsync::Result<State> {
    let slot = |body: Option<&str>| {
        let body = object(body.unwrap_or("null"));
        body["slot"].as_str().unwrap_or_default().to_owned()
    };
    let sessions = store.active_sessions().await?.into_iter().map(|session| Session {
        slots: session.sets.iter().map(|set| slot(set.body.as_deref())).collect(),
        id: session.id,
    });
    let sessions = sessions.collect();
    let entries = store.entries(i64::MIN, MANY).await?;
    let parked = entries.iter().filter(|entry| entry.state == EntryState::Parked);
    let conflicts = store.conflicts().await?;
    Ok(State {
        status: store.status().await?.code().to_owned(),
        unsent: store.queue_counts().await?.total(),
        sessions,
        parked: parked
            .map(|entry| Parked {
                op: entry.op.to_string(),
                id: entry.id.clone(),
                code: entry
                    .reason
                    .as_ref()
                    .map(|reason| reason.code.clone())
                    .unwrap_or_default(),
            })
            .collect(),
        conflicts: conflicts
            .into_iter()
            .map(|conflict| Conflict {
                id: conflict.id,
                version: conflict.remote_version,
                token: conflict.token,
            })
            .collect(),
    })
}

/// As a form that shows the refused write would: the fields the user corrected, the others as they
/// were.
async fn edit(store: &Store, op: &str, patch: &str) -> keepsync::Result<Value> {
    let op = op.parse().map_err(|_| keepsync::Error::NotFound {
        what: "entry",
        id: op.to_owned(),
    })?;
    let mut body = object(store.entry(op).await?.body.as_deref().unwrap_or("null"));
    if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), object(patch)) {
        body.extend(patch);
    }
    let op = store.edit_entry(op, &body.to_string()).await?;
    Ok(json!(op.to_string()))
}

/// As a screen that shows both versions would.
async fn both_notes(store: &Store, id: &str) -> keepsync::Result<String> {
    let conflict = store.conflicts().await?.into_iter().find(|conflict| conflict.id == id);
    let conflict = conflict.ok_or_else(|| keepsync::Error::NotFound {
        what: "conflict",
        id: id.to_owned(),
    })?;
    let local = object(conflict.local.as_deref().unwrap_or("null"));
    let mut remote = object(conflict.remote.as_deref().unwrap_or("null"));
    let note = |body: &Value| body["notes"].as_str().unwrap_or_default().to_owned();
    remote["notes"] = json!(format!("{} / {}", note(&remote), note(&local)));
    Ok(remote.to_string())
}
