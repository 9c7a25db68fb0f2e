//! `doctor` and `bundle`: what is wrong with a device, and what to attach to a bug report.

use super::files;
use crate::{
    failure::{Exit, Failure},
    out::Out,
};
use keepsync::{
    Store,
    diagnostics::{Examination, Problem},
};
use serde::Serialize;
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

#[derive(Serialize)]
struct DoctorForm {
    ok: bool,
    /// Of each collection: how many records stand where, and how many of all are deleted.
    records: BTreeMap<String, BTreeMap<&'static str, u64>>,
    queue: BTreeMap<&'static str, u64>,
    conflicts: u64,
    sessions: u64,
    file_bytes: u64,
    log_bytes: u64,
    problems: Vec<ProblemForm>,
}

#[derive(Serialize)]
struct ProblemForm {
    code: &'static str,
    collection: Option<String>,
    id: Option<String>,
    message: String,
}

impl From<Problem> for ProblemForm {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code,
            collection: problem.collection,
            id: problem.id,
            message: problem.message,
        }
    }
}

pub(super) async fn doctor(store: &Store, db: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let found = store.read(|read| read.examine()).await?;
    let form = form(found, store, db);
    if out.json {
        out.object(&form)?;
    } else {
        tell(&form, out)?;
    }
    Ok(if form.ok { Exit::Good } else { Exit::Wrong })
}

fn form(found: Examination, store: &Store, db: &Path) -> DoctorForm {
    let mut records = found.records;
    for (collection, count) in found.deleted {
        records.entry(collection).or_default().insert("deleted", count);
    }
    let mut problems: Vec<ProblemForm> = found.problems.into_iter().map(Into::into).collect();
    problems.extend(store.salvaged().map(|saved| ProblemForm {
        code: "salvaged",
        collection: None,
        id: None,
        message: super::told(saved),
    }));
    let counts = found.queue;
    DoctorForm {
        ok: problems.is_empty(),
        records,
        queue: BTreeMap::from([
            ("held", counts.held),
            ("waiting", counts.waiting),
            ("conflict", counts.conflict),
            ("parked", counts.parked),
        ]),
        conflicts: found.conflicts,
        sessions: found.sessions,
        file_bytes: bytes(db, ""),
        log_bytes: bytes(db, "-wal"),
        problems,
    }
}

fn bytes(db: &Path, suffix: &str) -> u64 {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    std::fs::metadata(name).map_or(0, |found| found.len())
}

fn tell(form: &DoctorForm, out: &mut Out) -> Result<(), Failure> {
    let rows: Vec<[String; 6]> = form
        .records
        .iter()
        .map(|(collection, counts)| {
            let of = |state: &str| counts.get(state).copied().unwrap_or(0).to_string();
            [
                collection.clone(),
                of("synced"),
                of("pending"),
                of("conflict"),
                of("parked"),
                of("deleted"),
            ]
        })
        .collect();
    let names = ["collection", "synced", "pending", "conflict", "parked", "deleted"];
    out.table(names, &rows, "no records")?;
    let of = |state: &str| form.queue.get(state).copied().unwrap_or(0);
    let (held, waiting, conflict, parked) = (of("held"), of("waiting"), of("conflict"), of("parked"));
    out.line("")?;
    out.pairs(&[
        (
            "unsent",
            format!("{held} held, {waiting} waiting, {conflict} in conflict, {parked} parked"),
        ),
        ("sessions", form.sessions.to_string()),
        (
            "file",
            format!("{} bytes, log {} bytes", form.file_bytes, form.log_bytes),
        ),
        (
            "verdict",
            if form.ok {
                "nothing is wrong".to_owned()
            } else {
                format!("{} wrong", form.problems.len())
            },
        ),
    ])?;
    for problem in &form.problems {
        let place = match (&problem.collection, &problem.id) {
            (Some(collection), Some(id)) => format!("{collection}/{id}: "),
            (Some(collection), None) => format!("{collection}: "),
            _ => String::new(),
        };
        out.pairs(&[(problem.code, format!("{place}{}", problem.message))])?;
    }
    Ok(())
}

pub(super) async fn bundle(store: &Store, file: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let bundle = store.bundle().await?;
    let text = format!("{bundle:#}\n");
    files::replace(file, text.as_bytes()).map_err(|problem| Failure::file(file, &problem))?;
    if out.json {
        out.object(&json!({ "bundle": file.to_string_lossy() }))?;
    } else {
        out.line(&format!(
            "wrote {}; it holds nothing that the user wrote",
            file.display()
        ))?;
    }
    Ok(Exit::Good)
}
