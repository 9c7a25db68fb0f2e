//! A whole device: opens the file, does one thing, closes it.
//!
//! The store drains only in `sync`. Every other verb is one transaction of the core, so a command
//! that was cut off has happened or has not.

pub(crate) mod files;
mod records;
mod sessions;
mod queue;
mod conflicts;
mod twins;
mod notices;
mod strong;
mod progress;
mod sync;
mod carry;
mod doctor;

use crate::{
    args::{Device, Place, Verb},
    collections::collections,
    failure::{self, Exit, Failure},
    out::Out,
    tokens,
};
use keepsync::{
    Backend, OpenOptions, Store,
    db::Salvage,
    env::{Env as _, SystemEnv},
    remote::http::{HttpOptions, HttpRemote},
    settings::Settings,
};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The device the flags name.
pub(crate) struct Named {
    pub(crate) db: PathBuf,
    pub(crate) user: String,
    pub(crate) place: Place,
    pub(crate) json: bool,
}

pub(crate) fn run(device: Device, out: &mut Out) -> Result<Exit, Failure> {
    let place = device.place;
    let named = Named {
        db: place.db.clone().ok_or_else(|| Failure::usage(Device::missing("db")))?,
        user: place
            .user
            .clone()
            .ok_or_else(|| Failure::usage(Device::missing("user")))?,
        place,
        json: out.json,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|problem| Failure::new("internal", format!("no runtime: {problem}")))?;
    runtime.block_on(async {
        let store = open(&named, &device.verb).await?;
        let done = verb(&store, &named, device.verb, out).await;
        let closed = store.close().await.map_err(Failure::from);
        done.and_then(|exit| closed.map(|()| exit))
    })
}

async fn open(named: &Named, verb: &Verb) -> Result<Store, Failure> {
    // These look at a device that is there; making one for a mistyped name would hide the mistake.
    let looks = matches!(verb, Verb::Export { .. } | Verb::Doctor | Verb::Bundle { .. });
    if looks && !named.db.exists() {
        return Err(Failure::new("not_found", format!("no file {}", named.db.display())));
    }
    let options = OpenOptions {
        place: keepsync::Place::File(named.db.clone()),
        account: named.user.clone(),
        key: None,
        device_id: None,
        collections: collections()?,
        settings: Settings {
            automatic: false,
            device_label: named.place.label.clone(),
            ..Settings::default()
        },
        resolvers: keepsync::conflict::Resolvers::default(),
        env: Arc::new(SystemEnv::default()),
    };
    let backend = match (verb, &named.place.server) {
        (Verb::Sync, None) => {
            return Err(Failure::new(
                "no_server",
                format!("sync: {}", Device::missing("server")),
            ));
        }
        (Verb::Sync | Verb::Status | Verb::Bundle { .. }, Some(server)) => Some(backend(named, server)?),
        _ => None,
    };
    refuse_stranger(&named.db)?;
    let opened = Store::open(options, backend).await;
    let store = opened.map_err(|error| Failure::from(error).about(&named.db))?;
    // `doctor` tells it among what it finds.
    if let Some(saved) = store.salvaged().filter(|_| !matches!(verb, Verb::Doctor)) {
        failure::warn("salvaged", &told(saved), named.json);
    }
    Ok(store)
}

/// The core sets a file aside that it cannot read. A name typed wrong must not do that to a photo: what
/// does not begin as SQLite's files do is a damaged device only if a device's id lies beside it.
fn refuse_stranger(db: &Path) -> Result<(), Failure> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut beside = db.to_owned().into_os_string();
    beside.push(".device-id");
    if Path::new(&beside).exists() {
        return Ok(());
    }
    let mut begins = Vec::new();
    // What cannot be read is explained by opening it.
    if let Ok(file) = std::fs::File::open(db) {
        let _ = file.take(16).read_to_end(&mut begins);
    }
    if begins.is_empty() || begins == MAGIC {
        return Ok(());
    }
    Err(Failure::new("foreign_file", "the file is not a device's").about(db))
}

/// What became of a damaged file.
fn told(saved: &Salvage) -> String {
    let rest = if saved.whole { "all of it" } else { "what could be read" };
    let aside = saved.set_aside.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "the file was damaged and is now {aside}; {} unsent writes were carried over ({rest})",
        saved.entries
    )
}

fn backend(named: &Named, server: &str) -> Result<Backend, Failure> {
    let remote = HttpRemote::new(HttpOptions::new(server))
        .map_err(|problem| Failure::new("bad_server", format!("--server: {problem}")))?;
    let remote = Arc::new(remote);
    Ok(Backend {
        tokens: tokens::provider(named, &remote),
        remote,
    })
}

async fn verb(store: &Store, named: &Named, verb: Verb, out: &mut Out) -> Result<Exit, Failure> {
    match verb {
        Verb::Put(write) => records::put(store, write, out).await,
        Verb::Patch(write) => records::patch(store, write, out).await,
        Verb::Delete(key) => records::delete(store, key, out).await,
        Verb::Get(key) => records::get(store, key, out).await,
        Verb::List { collection, limit } => records::list(store, &collection, limit, out).await,
        Verb::Session { id, verb } => sessions::run(store, id, verb, out).await,
        Verb::Queue { verb } => queue::run(store, verb, out).await,
        Verb::Conflicts { verb } => conflicts::run(store, verb, out).await,
        Verb::Twins { collection, merge } => twins::run(store, collection, merge, out).await,
        Verb::Notices { verb } => notices::run(store, verb, out).await,
        Verb::Sync => sync::sync(store, out).await,
        Verb::Status => sync::status(store, out).await,
        Verb::ImportStrong { file } => strong::import(store, &file, out).await,
        Verb::Export { file } => carry::export(store, &file, SystemEnv::default().wall_ms(), out).await,
        Verb::Import { file } => carry::import(store, &file, out).await,
        Verb::Doctor => doctor::doctor(store, &named.db, out).await,
        Verb::Bundle { file } => doctor::bundle(store, &file, out).await,
    }
}

/// A JSON argument, or standard input where it is `-`. That it is JSON is checked here, so that the
/// message can name the argument.
fn json(argument: &str, given: &str) -> Result<String, Failure> {
    let (text, from) = if given == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|problem| Failure::new("input", format!("standard input: {problem}")))?;
        (text, format!("{argument} (standard input)"))
    } else {
        (given.to_owned(), argument.to_owned())
    };
    match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
        Ok(raw) if raw.get().starts_with('{') => Ok(raw.get().to_owned()),
        Ok(_) => Err(Failure::new("invalid", format!("{from}: not a JSON object"))),
        Err(problem) => {
            let (line, column) = (problem.line(), problem.column());
            let message = format!("{from}: not valid JSON at line {line} column {column}");
            Err(Failure::new("invalid", message))
        }
    }
}
