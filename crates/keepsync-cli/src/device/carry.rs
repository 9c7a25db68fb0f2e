//! `export` and `import`: a device's records in one text file, and back. The form and the rules are
//! [`keepsync::carry`]'s.

use super::files;
use crate::{
    collections::collections,
    failure::{Exit, Failure},
    out::Out,
};
use keepsync::{
    Store,
    carry::{self, Import, Imported},
    settings::Settings,
};
use serde::Serialize;
use serde_json::json;
use std::path::Path;

pub(super) async fn export(store: &Store, file: &Path, now_ms: i64, out: &mut Out) -> Result<Exit, Failure> {
    let export = store.read(move |read| carry::export(read, now_ms)).await?;
    files::replace(file, export.text.as_bytes()).map_err(|problem| Failure::file(file, &problem))?;
    if out.json {
        let told = json!({ "records": export.records, "sessions": export.sessions, "file": file.to_string_lossy() });
        out.object(&told)?;
    } else {
        out.line(&format!("wrote {} records to {}", export.records, file.display()))?;
    }
    Ok(Exit::Good)
}

/// What an import did.
#[derive(Serialize)]
struct ImportForm {
    written: u64,
    unchanged: u64,
    sessions: u64,
}

pub(super) async fn import(store: &Store, file: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let bytes = files::read(file)?;
    // Here rather than in the store, so that what is wrong with a file is said with its name.
    let import = Import::parse(&bytes, &collections()?, &Settings::default())
        .map_err(|problem| Failure::new("bad_file", format!("{}: {problem}", file.display())))?;
    let Imported {
        written,
        unchanged,
        sessions,
        ..
    } = store.bring_in(import).await?;
    if out.json {
        out.object(&ImportForm {
            written,
            unchanged,
            sessions,
        })?;
    } else {
        out.pairs(&[
            ("written", written.to_string()),
            ("unchanged", unchanged.to_string()),
            ("sessions", sessions.to_string()),
        ])?;
    }
    Ok(Exit::Good)
}
