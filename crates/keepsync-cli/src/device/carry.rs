//! `export` and `import`: a device's records in one text file, and back.
//!
//! The file is JSON lines. The first is the header; then records, parents before their children, and
//! last the sessions in progress:
//!
//! ```text
//! {"keepsync_export":1,"exported_at":"…","records":3,"sessions":1}
//! {"record":{"collection":"workout","id":"w1","state":"synced","body":{…}}}
//! {"session":{"collection":"workout","id":"w1","started_at":"…","scratch":null}}
//! ```
//!
//! What is unsent is in it as what the user sees; the queue itself (`queue export`), deleted records,
//! and who the device is are not.
//!
//! Import:
//! 1. The whole file is read and checked: the header, its counts, every line, every body. A file that is
//!    cut off or another file is refused before anything is written.
//! 2. What is missing or different is written as the user's writes, in commits of a few hundred; what
//!    is the same is left alone. Stopped anywhere: the commits so far stand, and the same import goes
//!    on where it stopped.

use super::files;
use crate::{
    collections::{NAMES, PARENTS, SESSIONS, collections},
    failure::{Exit, Failure},
    form::{compact, time},
    out::Out,
};
use keepsync::{
    Body, Read, Result, Store,
    record::{self, Query},
    session,
    settings::Settings,
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use std::{collections::HashMap, path::Path, time::UNIX_EPOCH};

const FORMAT: u64 = 1;
/// Records in one commit.
const COMMIT: usize = 300;

#[derive(Serialize, Deserialize)]
struct Header {
    keepsync_export: u64,
    exported_at: String,
    records: usize,
    sessions: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Record(RecordLine),
    Session(SessionLine),
}

#[derive(Serialize, Deserialize)]
struct RecordLine {
    collection: String,
    id: String,
    /// For readers; import does not look at it.
    #[serde(default)]
    state: String,
    body: Box<RawValue>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SessionLine {
    collection: String,
    id: String,
    started_at: String,
    scratch: Option<String>,
}

pub(super) async fn export(
    store: &Store,
    file: &Path,
    now_ms: i64,
    out: &mut Out,
) -> std::result::Result<Exit, Failure> {
    let (records, sessions) = store.read(|read| Ok((records(read)?, sessions(read)?))).await?;
    let header = Header {
        keepsync_export: FORMAT,
        exported_at: time(now_ms),
        records: records.len(),
        sessions: sessions.len(),
    };
    let internal =
        |problem: serde_json::Error| Failure::new("internal", format!("a line cannot be written: {problem}"));
    let mut text = serde_json::to_string(&header).map_err(internal)?;
    text.push('\n');
    let sessions = sessions.into_iter().map(Line::Session);
    for line in records.into_iter().map(Line::Record).chain(sessions) {
        text.push_str(&serde_json::to_string(&line).map_err(internal)?);
        text.push('\n');
    }
    files::replace(file, text.as_bytes()).map_err(|problem| Failure::file(file, &problem))?;
    if out.json {
        out.object(&json!({ "records": header.records, "sessions": header.sessions, "file": file.to_string_lossy() }))?;
    } else {
        out.line(&format!("wrote {} records to {}", header.records, file.display()))?;
    }
    Ok(Exit::Good)
}

/// All that the user sees, parents first: a collection stands in `NAMES` after its parent.
fn records(read: &Read<'_>) -> Result<Vec<RecordLine>> {
    let mut lines = Vec::new();
    for collection in NAMES {
        let mut query = Query::new(collection).limit(1_000);
        loop {
            let page = read.query(&query)?;
            for found in page.records {
                let Some(body) = found.body else { continue };
                lines.push(RecordLine {
                    collection: found.collection,
                    id: found.id,
                    state: found.state.as_str().to_owned(),
                    body: RawValue::from_string(compact(&body))?,
                });
            }
            match page.next {
                Some(next) => query = Query::new(collection).limit(1_000).after(next),
                None => break,
            }
        }
    }
    Ok(lines)
}

fn sessions(read: &Read<'_>) -> Result<Vec<SessionLine>> {
    let active = read.active_sessions()?;
    let line = |session: session::Session| SessionLine {
        collection: session.collection,
        id: session.id,
        started_at: time(session.started_at),
        scratch: session.scratch,
    };
    Ok(active.into_iter().map(line).collect())
}

/// What an import did.
#[derive(Default, Serialize)]
struct ImportForm {
    /// Records that were missing or different.
    written: u64,
    /// Records that were the same.
    unchanged: u64,
    /// Sessions that are now in progress here.
    sessions: u64,
}

pub(super) async fn import(store: &Store, file: &Path, out: &mut Out) -> std::result::Result<Exit, Failure> {
    let bytes = files::read(file)?;
    let (records, sessions) =
        parse(&bytes).map_err(|problem| Failure::new("bad_file", format!("{}: {problem}", file.display())))?;
    let mut form = ImportForm::default();
    let sessions: HashMap<(String, String), SessionLine> = sessions
        .into_iter()
        .map(|line| ((line.collection.clone(), line.id.clone()), line))
        .collect();
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let some: Vec<RecordLine> = records.by_ref().take(COMMIT).collect();
        let sessions = sessions.clone();
        let (written, unchanged, begun) = store.write(move |write| bring(write, &some, &sessions)).await?;
        form.written += written;
        form.unchanged += unchanged;
        form.sessions += begun;
    }
    if out.json {
        out.object(&form)?;
    } else {
        out.pairs(&[
            ("written", form.written.to_string()),
            ("unchanged", form.unchanged.to_string()),
            ("sessions", form.sessions.to_string()),
        ])?;
    }
    Ok(Exit::Good)
}

/// One commit.
fn bring(
    write: &mut keepsync::Write<'_>,
    lines: &[RecordLine],
    sessions: &HashMap<(String, String), SessionLine>,
) -> Result<(u64, u64, u64)> {
    let (mut written, mut unchanged, mut begun) = (0, 0, 0);
    for line in lines {
        let body = line.body.get();
        let there = write
            .read()
            .get(&line.collection, &line.id)?
            .and_then(|record| record.body);
        if there
            .as_deref()
            .map(compact)
            .is_some_and(|there| there == compact(body))
        {
            unchanged += 1;
            continue;
        }
        let session = sessions.get(&(line.collection.clone(), line.id.clone()));
        let children = SESSIONS.into_iter().find(|(kind, _)| *kind == line.collection);
        if let (None, Some(session), Some((_, children))) = (&there, session, children) {
            let (collection, id) = (&line.collection, &line.id);
            let started_at = wall_ms(&session.started_at).unwrap_or(0);
            session::start_at(write, collection, children, id, body, started_at)?;
            session::note(write, collection, id, session.scratch.as_deref())?;
            begun += 1;
        } else {
            record::put(write, &line.collection, &line.id, body)?;
        }
        written += 1;
    }
    Ok((written, unchanged, begun))
}

/// UTC milliseconds of an RFC 3339 time.
fn wall_ms(text: &str) -> Option<i64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// The whole file, checked as far as it can be without writing.
fn parse(bytes: &[u8]) -> std::result::Result<(Vec<RecordLine>, Vec<SessionLine>), String> {
    const NOT_OURS: &str = "not a file that `export` wrote";
    let text = std::str::from_utf8(bytes).map_err(|_| NOT_OURS)?;
    let mut lines = text.lines().enumerate();
    let header: Header = lines
        .next()
        .and_then(|(_, line)| serde_json::from_str(line).ok())
        .ok_or(NOT_OURS)?;
    if header.keepsync_export != FORMAT {
        return Err(format!(
            "format {}, this version knows {FORMAT}",
            header.keepsync_export
        ));
    }
    let known = collections().map_err(|problem| problem.to_string())?;
    let limits = Settings::default();
    let (mut records, mut sessions) = (Vec::new(), Vec::new());
    for (n, line) in lines {
        let at = n + 1;
        let wrong = |problem: &dyn std::fmt::Display| format!("line {at}: {problem}");
        match serde_json::from_str(line) {
            Ok(Line::Record(record)) => {
                known.get(&record.collection).map_err(|problem| wrong(&problem))?;
                if !(1..=256).contains(&record.id.len()) || record.id.chars().any(char::is_control) {
                    return Err(wrong(&"id: 1 to 256 bytes without control characters"));
                }
                Body::parse(record.body.get(), limits.body_bytes, limits.body_depth)
                    .map_err(|problem| wrong(&problem))?;
                if let Some((_, parent, field)) = PARENTS.into_iter().find(|(name, ..)| *name == record.collection) {
                    let named: serde_json::Value =
                        serde_json::from_str(record.body.get()).map_err(|problem| wrong(&problem))?;
                    if named[field].as_str().is_none_or(str::is_empty) {
                        return Err(wrong(&format!("body.{field}: must be the id of a {parent}")));
                    }
                }
                records.push(record);
            }
            Ok(Line::Session(session)) if wall_ms(&session.started_at).is_some() => sessions.push(session),
            Ok(Line::Session(_)) => return Err(wrong(&"started_at: not a time")),
            Err(_) => return Err(wrong(&"neither a record nor a session")),
        }
    }
    if (records.len(), sessions.len()) != (header.records, header.sessions) {
        return Err(format!(
            "{} records and {} sessions, the header tells of {} and {}: the file was cut off or changed",
            records.len(),
            sessions.len(),
            header.records,
            header.sessions
        ));
    }
    Ok((records, sessions))
}
