//! `queue`: what has not reached the server, and what can be done about it.

use super::{files, json};
use crate::{
    args::QueueVerb,
    failure::{Exit, Failure},
    form::{EntryForm, compact, time},
    out::{Out, short},
};
use keepsync::{
    Read, Store,
    queue::{self, Entry},
};
use serde_json::json;
use std::{collections::HashMap, path::Path};
use uuid::Uuid;

/// Entries read at once.
const PAGE: usize = 500;

pub(super) async fn run(store: &Store, verb: QueueVerb, out: &mut Out) -> Result<Exit, Failure> {
    match verb {
        QueueVerb::List => list(store, out).await?,
        QueueVerb::Show { op: named } => show(&store.entry(op(&named)?).await?, out)?,
        QueueVerb::Edit { op: named, body } => {
            let body = json("JSON", &body)?;
            let edited = store.edit_entry(op(&named)?, &body).await?;
            show(&store.entry(edited).await?, out)?;
        }
        QueueVerb::Retry { op: named } => {
            let op = op(&named)?;
            store.retry_entry(op).await?;
            show(&store.entry(op).await?, out)?;
        }
        QueueVerb::Discard { op: named, cascade } => {
            let count = store.discard_entry(op(&named)?, cascade).await?;
            if out.json {
                out.object(&json!({ "discarded": count }))?;
            } else {
                out.line(&format!("discarded {count}"))?;
            }
        }
        QueueVerb::Export { file } => export(store, file.as_deref(), out).await?,
    }
    Ok(Exit::Good)
}

fn op(text: &str) -> Result<Uuid, Failure> {
    Uuid::try_parse(text).map_err(|_| Failure::new("invalid", "OP: not an operation id; `queue list` shows them"))
}

async fn list(store: &Store, out: &mut Out) -> Result<(), Failure> {
    let (mut after, mut rows) = (i64::MIN, Vec::new());
    loop {
        let entries = store.entries(after, PAGE).await?;
        for entry in &entries {
            if out.json {
                out.object(&EntryForm::from(entry))?;
            } else {
                rows.push(row(entry));
            }
        }
        match entries.last() {
            // A page may be short of entries that only a newer version knows.
            Some(last) => after = last.seq,
            None => break,
        }
    }
    if out.json {
        return Ok(());
    }
    let names = ["op", "record", "kind", "state", "attempts", "next attempt", "why"];
    out.table(names, &rows, "nothing is unsent")
}

fn row(entry: &Entry) -> [String; 7] {
    [
        entry.op.to_string(),
        format!("{}/{}", entry.collection, entry.id),
        entry.kind.as_str().to_owned(),
        entry.state.as_str().to_owned(),
        entry.attempts.to_string(),
        entry.next_attempt_at.map(time).unwrap_or_default(),
        short(&why(entry), 60),
    ]
}

fn why(entry: &Entry) -> String {
    format!("{}: {}", entry.why.code(), entry.why.message())
}

fn show(entry: &Entry, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return out.object(&EntryForm::with_body(entry));
    }
    let next = entry
        .next_attempt_at
        .map_or_else(|| "with the next sync".to_owned(), time);
    out.pairs(&[
        ("op", entry.op.to_string()),
        ("record", format!("{}/{}", entry.collection, entry.id)),
        ("kind", entry.kind.as_str().to_owned()),
        ("state", entry.state.as_str().to_owned()),
        ("base version", entry.base_version.to_string()),
        ("attempts", entry.attempts.to_string()),
        ("next attempt", next),
        ("created", time(entry.created_at)),
        ("why", why(entry)),
        ("body", entry.body.as_deref().map_or_else(|| "none".to_owned(), compact)),
    ])
}

async fn export(store: &Store, file: Option<&Path>, out: &mut Out) -> Result<(), Failure> {
    let entries = store.read(whole).await?;
    let Some(file) = file else {
        return entries
            .iter()
            .try_for_each(|entry| out.object(&EntryForm::with_body(entry)));
    };
    let mut text = Vec::new();
    for entry in &entries {
        serde_json::to_writer(&mut text, &EntryForm::with_body(entry))
            .map_err(|problem| Failure::new("internal", format!("a form cannot be written: {problem}")))?;
        text.push(b'\n');
    }
    files::replace(file, &text).map_err(|problem| Failure::file(file, &problem))?;
    let count = entries.len();
    if out.json {
        out.object(&json!({ "entries": count, "file": file.to_string_lossy() }))
    } else {
        out.line(&format!("wrote {count} unsent to {}", file.display()))
    }
}

/// All entries with their bodies. The core gives bodies one by one, by operation id, which it has no
/// index on, or all at once in its own export.
fn whole(read: &Read<'_>) -> keepsync::Result<Vec<Entry>> {
    #[derive(serde::Deserialize)]
    struct Bodies {
        seq: i64,
        body: Option<Box<serde_json::value::RawValue>>,
    }
    let text = queue::export(read)?;
    let bodies = text.lines().map(serde_json::from_str::<Bodies>);
    let mut bodies: HashMap<i64, Option<Box<serde_json::value::RawValue>>> = bodies
        .map(|line| line.map(|line| (line.seq, line.body)))
        .collect::<Result<_, _>>()?;
    let mut entries = read.entries(i64::MIN, usize::MAX)?;
    for entry in &mut entries {
        entry.body = bodies.remove(&entry.seq).flatten().map(|body| body.get().to_owned());
    }
    Ok(entries)
}
