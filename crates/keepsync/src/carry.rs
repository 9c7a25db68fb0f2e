//! A device's records out into one text, and in on another.
//!
//! The text is JSON lines. The first is the header; then records, parents before their children, and
//! last the sessions in progress:
//!
//! ```text
//! {"keepsync_export":1,"exported_at":"…","records":3,"sessions":1}
//! {"record":{"collection":"workout","id":"w1","state":"synced","body":{…}}}
//! {"session":{"collection":"workout","id":"w1","started_at":"…","scratch":null}}
//! ```
//!
//! # Export
//! Every registered collection, all of one moment. What is unsent is in it as what the user sees; the
//! queue itself ([`queue::export`](crate::queue::export)), deleted records, versions and cursors, and who
//! the device is are not.
//!
//! # Import
//! 1. The whole text is read and checked: the header, its counts, every line, every body. A text that is
//!    cut off, names a record twice or is another file is refused before anything is written.
//! 2. What is missing or different is written as the user's writes, in commits of a few hundred: what is
//!    imported stands over what was here, whose versions go into the history where the server had them.
//!    What is the same is left alone, and so is what is not in the text. Stopped anywhere: the commits so
//!    far stand, and the same import goes on where it stopped.
//!
//! The device's id, its cursors and the time of its last sync stay its own. Records of a collection that
//! is pulled only are the server's to bring; they are passed over.

use crate::{
    body::Body,
    collection::{Collection, Collections},
    db::{Read, Write},
    error::{Error, Result},
    record::{self, Query},
    session,
    settings::Settings,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, UNIX_EPOCH},
};

const FORMAT: u64 = 1;
/// Records in one commit.
const COMMIT: usize = 300;
/// Records read at once.
const PAGE: usize = 1_000;

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

#[derive(Serialize, Deserialize)]
struct SessionLine {
    collection: String,
    id: String,
    /// The collection of its children; texts of earlier versions do not tell it.
    #[serde(default)]
    children: Option<String>,
    started_at: String,
    scratch: Option<String>,
}

/// A device's records as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// JSON lines.
    pub text: String,
    /// How many records are in it.
    pub records: usize,
    /// How many sessions in progress.
    pub sessions: usize,
}

/// All that the user sees, of one moment. `exported_at` is told in the header: UTC milliseconds. It is in clear, also
/// where the file is encrypted.
///
/// # Errors
/// Only those of the file.
pub fn export(read: &Read<'_>, exported_at: i64) -> Result<Export> {
    read.together(|| {
        let mut body = String::new();
        let mut records = 0;
        for collection in in_order(&read.shared.collections) {
            let mut query = Query::new(collection.name()).limit(PAGE);
            loop {
                let page = read.query(&query)?;
                for found in page.records {
                    let Some(text) = found.body else { continue };
                    let line = RecordLine {
                        collection: found.collection,
                        id: found.id,
                        state: found.state.as_str().to_owned(),
                        body: RawValue::from_string(compact(&text))?,
                    };
                    append(&mut body, &Line::Record(line))?;
                    records += 1;
                }
                match page.next {
                    Some(next) => query = Query::new(collection.name()).limit(PAGE).after(next),
                    None => break,
                }
            }
        }
        let active = read.active_sessions()?;
        let sessions = active.len();
        for session in active {
            let line = SessionLine {
                collection: session.collection,
                id: session.id,
                children: Some(session.children),
                started_at: time(session.started_at),
                scratch: session.scratch,
            };
            append(&mut body, &Line::Session(line))?;
        }
        let mut text = serde_json::to_string(&Header {
            keepsync_export: FORMAT,
            exported_at: time(exported_at),
            records,
            sessions,
        })?;
        text.push('\n');
        text.push_str(&body);
        Ok(Export {
            text,
            records,
            sessions,
        })
    })
}

fn append(text: &mut String, line: &Line) -> Result<()> {
    text.push_str(&serde_json::to_string(line)?);
    text.push('\n');
    Ok(())
}

/// Higher priority first, by name within it, but each collection after its parent.
fn in_order(collections: &Collections) -> Vec<&Collection> {
    let mut left: Vec<&Collection> = collections.iter().collect();
    left.sort_by_key(|collection| std::cmp::Reverse(collection.priority));
    let (mut order, mut named) = (Vec::with_capacity(left.len()), HashSet::new());
    while !left.is_empty() {
        let goes = |collection: &&Collection| match &collection.parent {
            Some(parent) => named.contains(parent.collection.as_str()),
            None => true,
        };
        // Where parents go round in a circle, one of them has to begin.
        let next = left.remove(left.iter().position(goes).unwrap_or(0));
        named.insert(next.name());
        order.push(next);
    }
    order
}

/// Why a text is not imported. Nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFile(String);

/// What an import has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that were missing or different.
    pub written: u64,
    /// Records that were the same.
    pub unchanged: u64,
    /// Sessions that are now in progress here.
    pub sessions: u64,
    /// Records of collections that only the server writes.
    pub passed_over: u64,
}

impl Imported {
    /// Records that are done with.
    fn done(&self) -> usize {
        usize::try_from(self.written + self.unchanged + self.passed_over).unwrap_or(usize::MAX)
    }
}

/// A text that was read and checked, on its way in.
pub struct Import {
    records: Vec<RecordLine>,
    sessions: HashMap<(String, String), SessionLine>,
}

impl Import {
    /// Reads and checks a whole text, as far as that can be done without writing.
    ///
    /// # Errors
    /// [`BadFile`] says in which line what is wrong, never what is in it.
    pub fn parse(bytes: &[u8], known: &Collections, limits: &Settings) -> std::result::Result<Self, BadFile> {
        const NOT_OURS: &str = "not a file that `export` wrote";
        let not_ours = || BadFile(NOT_OURS.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| not_ours())?;
        let mut lines = text.lines().enumerate();
        let header: Header = lines
            .next()
            .and_then(|(_, line)| serde_json::from_str(line).ok())
            .ok_or_else(not_ours)?;
        if header.keepsync_export != FORMAT {
            let problem = format!("format {}, this version knows {FORMAT}", header.keepsync_export);
            return Err(BadFile(problem));
        }
        let (mut records, mut sessions) = (Vec::new(), HashMap::new());
        let mut named = HashSet::new();
        for (n, line) in lines {
            let wrong = |problem: &dyn std::fmt::Display| BadFile(format!("line {}: {problem}", n + 1));
            match serde_json::from_str(line) {
                Ok(Line::Record(record)) => {
                    check(&record, known, limits).map_err(|problem| wrong(&problem))?;
                    if !named.insert((record.collection.clone(), record.id.clone())) {
                        return Err(wrong(&"a record that an earlier line has"));
                    }
                    records.push(record);
                }
                Ok(Line::Session(session)) if wall_ms(&session.started_at).is_some() => {
                    sessions.insert((session.collection.clone(), session.id.clone()), session);
                }
                Ok(Line::Session(_)) => return Err(wrong(&"started_at: not a time")),
                Err(_) => return Err(wrong(&"neither a record nor a session")),
            }
        }
        if (records.len(), sessions.len()) != (header.records, header.sessions) {
            return Err(BadFile(format!(
                "{} records and {} sessions, the header tells of {} and {}: the file was cut off or changed",
                records.len(),
                sessions.len(),
                header.records,
                header.sessions
            )));
        }
        Ok(Self { records, sessions })
    }

    /// Whether nothing is left to bring in after what was done so far.
    pub fn is_done(&self, so_far: Imported) -> bool {
        so_far.done() >= self.records.len()
    }

    /// Brings some more of it in, one transaction's worth, from where `so_far` stands (at first
    /// [`Imported::default`]), and gives how far it has come.
    ///
    /// # Errors
    /// As [`record::put`] and [`session::start`]. Then nothing of this part was written.
    pub fn bring(&self, write: &mut Write<'_>, mut so_far: Imported) -> Result<Imported> {
        let shared = write.shared;
        for line in self.records.iter().skip(so_far.done()).take(COMMIT) {
            let collection = shared.collections.get(&line.collection)?;
            if collection.pulls() && !collection.pushes() {
                so_far.passed_over += 1;
                continue;
            }
            let body = line.body.get();
            let there = write
                .read()
                .get(&line.collection, &line.id)?
                .and_then(|found| found.body);
            if there.as_deref().is_some_and(|there| compact(there) == compact(body)) {
                so_far.unchanged += 1;
                continue;
            }
            let session = self.sessions.get(&(line.collection.clone(), line.id.clone()));
            let told = session.and_then(|session| session.children.as_deref());
            let children = told.or_else(|| children_of(&shared.collections, &line.collection));
            if let (None, Some(session), Some(children)) = (&there, session, children) {
                let started_at = wall_ms(&session.started_at).unwrap_or(0);
                session::start_at(write, &line.collection, children, &line.id, body, started_at)?;
                session::note(write, &line.collection, &line.id, session.scratch.as_deref())?;
                so_far.sessions += 1;
            } else {
                record::put(write, &line.collection, &line.id, body)?;
            }
            so_far.written += 1;
        }
        Ok(so_far)
    }
}

impl std::fmt::Debug for Import {
    // Its lines are what the user wrote.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import")
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

fn check(line: &RecordLine, known: &Collections, limits: &Settings) -> Result<()> {
    let collection = known.get(&line.collection)?;
    record::check_id(&line.id)?;
    let body = Body::parse(line.body.get(), limits.body_bytes, limits.body_depth)?;
    record::parent_of(collection, &body).map(|_| ())
}

/// A collection that holds children of this one, the first by name.
fn children_of<'c>(collections: &'c Collections, collection: &str) -> Option<&'c str> {
    let is_child = |child: &&Collection| {
        child
            .parent
            .as_ref()
            .is_some_and(|parent| parent.collection == collection)
    };
    collections.iter().find(is_child).map(Collection::name)
}

/// A JSON text without the white space between its parts, so that it fits on a line. Numbers and
/// strings stay as they were written.
fn compact(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|&c| {
            let keep = inside || !matches!(c, ' ' | '\t' | '\n' | '\r');
            if inside {
                inside = escaped || c != '"';
                escaped = c == '\\' && !escaped;
            } else {
                inside = c == '"';
            }
            keep
        })
        .collect()
}

fn time(at: i64) -> String {
    // The format ends with the year 9999.
    let ms = u64::try_from(at).unwrap_or(0).min(253_402_300_799_999);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// UTC milliseconds of an RFC 3339 time.
fn wall_ms(text: &str) -> Option<i64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// What only the file's own limits can say.
impl From<BadFile> for Error {
    fn from(bad: BadFile) -> Self {
        Self::invalid("file", bad.0)
    }
}

#[cfg(feature = "runtime")]
impl crate::Store {
    /// See [`export`]. The header tells the time of now.
    ///
    /// # Errors
    /// As there.
    pub async fn export(&self) -> Result<Export> {
        self.read(|read| export(read, read.shared.env.wall_ms())).await
    }

    /// Brings a whole text in: reads and checks it, then commit by commit.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is not imported; those of [`Import::bring`]. The commits before
    /// the one that failed stand, and the same import goes on there.
    pub async fn import(&self, bytes: Vec<u8>) -> Result<Imported> {
        let parse = move |read: &Read<'_>| Ok(Import::parse(&bytes, &read.shared.collections, &read.shared.settings)?);
        let import = self.read(parse).await?;
        self.bring_in(import).await
    }

    /// Brings in a text that was read and checked before, commit by commit.
    ///
    /// # Errors
    /// Those of [`Import::bring`]; then as with [`Store::import`](Self::import).
    pub async fn bring_in(&self, import: Import) -> Result<Imported> {
        let import = std::sync::Arc::new(import);
        let mut so_far = Imported::default();
        while !import.is_done(so_far) {
            let (import, before) = (std::sync::Arc::clone(&import), so_far);
            so_far = self.write(move |write| import.bring(write, before)).await?;
        }
        Ok(so_far)
    }
}
