//! Each page of a file of two hundred, damaged in turn.
//!
//! Whatever is done to a page: nothing panics; the damaged file is kept as it was; every unsent write and pair
//! that is not on the page is there, with its body; and the account goes on. What a page leads to is lost with
//! it: below an inner page that cannot be read, and everything without the schema.

use crate::{
    phone::{Asleep, Phone, file},
    run::text,
    scenarios,
};
use keepsync::{Db, Error, OpenOptions, kv, queue, record, session};
use keepsync_disk::Disk;
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// What is done to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Every bit is another.
    Flipped,
    /// Nothing is there.
    Zeroed,
    /// Its first half is of another page: a write that arrived in part, in the wrong place.
    Torn,
    /// Its header only.
    Header,
    /// One bit of its header or its cells, another one on each page.
    OneBit,
}

/// All of them.
pub const DAMAGES: [Damage; 5] = [
    Damage::Flipped,
    Damage::Zeroed,
    Damage::Torn,
    Damage::Header,
    Damage::OneBit,
];

impl Damage {
    fn strike(self, bytes: &mut [u8], size: usize, number: usize) {
        let other: Vec<u8> = bytes.iter().rev().take(size / 2).copied().collect();
        let Some(page) = bytes.get_mut((number - 1) * size..number * size) else {
            return;
        };
        match self {
            Self::Flipped => page.iter_mut().for_each(|byte| *byte ^= 0xff),
            Self::Zeroed => page.fill(0),
            Self::Torn => page[..size / 2].copy_from_slice(&other),
            Self::Header => page[..8].fill(0xa5),
            Self::OneBit => page[number * 37 % size] ^= 1 << (number % 8),
        }
    }

    /// Whether SQLite and JSON can tell. One bit of a text is another text.
    fn shows(self) -> bool {
        self != Self::OneBit
    }
}

const WORKOUTS: usize = 310;
const PAIRS: usize = 470;
/// Each set has its own entry, and so have the sessions.
const ENTRIES: usize = WORKOUTS + 2 * 6;

type Run<T> = Result<T, String>;

/// What an app reads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    bodies: BTreeMap<(String, String), String>,
    pairs: BTreeMap<String, String>,
    sessions: usize,
}

fn look(db: &Db) -> keepsync::Result<Seen> {
    db.read(|read| {
        let mut bodies = BTreeMap::new();
        for entry in read.entries(i64::MIN, 10_000)? {
            let body = read.entry(entry.op)?.body.unwrap_or_default();
            bodies.insert((entry.collection, entry.id), body);
        }
        let mut pairs = BTreeMap::new();
        for key in read.kv_keys()? {
            pairs.insert(key.clone(), read.kv_get(&key)?.unwrap_or_default());
        }
        for collection in ["workout", "set_log", "plan", "plan_set"] {
            read.query(&record::Query::new(collection).limit(1_000))?;
        }
        read.query(&record::Query::new("workout").order_by("date").limit(1_000))?;
        read.conflicts()?;
        read.bundle()?;
        queue::export(read)?;
        let sessions = read.active_sessions()?.len();
        Ok(Seen {
            bodies,
            pairs,
            sessions,
        })
    })
}

fn write_much(db: &mut Db) -> keepsync::Result<()> {
    let long = "Schulter zwickt. ".repeat(300);
    let write = |write: &mut keepsync::Write<'_>| {
        for n in 0..WORKOUTS {
            // Some bodies are longer than a page.
            let notes = if n % 20 == 7 { long.as_str() } else { &long[..400] };
            let body = format!("{{\"date\":\"2025-{n:04}\",\"notes\":\"{notes}\"}}");
            record::put(write, "workout", &format!("w{n:03}"), &body)?;
        }
        for n in 0..PAIRS {
            kv::set(write, &format!("key-{n:03}"), &format!("{n} {}", &long[..150]))?;
        }
        for (collection, children, id) in [("workout", "set_log", "live"), ("plan", "plan_set", "held")] {
            session::start(write, collection, children, id, "{}")?;
            for slot in 0..5 {
                session::log_set(write, collection, id, &format!("bench/{slot}"), "{\"weight\":82.5}")?;
            }
        }
        Ok(())
    };
    db.write(write).map(|_| ())
}

/// The pages of a file: the table or index, what kind of page, and how many rows.
struct Layout {
    pages: BTreeMap<usize, (String, String, usize)>,
    size: usize,
}

fn layout(path: &Path) -> rusqlite::Result<Layout> {
    let conn = Connection::open(path)?;
    let size: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let mut statement = conn.prepare("SELECT pageno, name, pagetype, ncell FROM dbstat")?;
    let pages = statement.query_map([], |row| {
        let (page, cells): (u32, u32) = (row.get(0)?, row.get(3)?);
        Ok((page as usize, (row.get(1)?, row.get(2)?, cells as usize)))
    })?;
    Ok(Layout {
        pages: pages.collect::<rusqlite::Result<_>>()?,
        size: size as usize,
    })
}

/// Damages each page in turn, in each way. Gives how many pages there are, and what does not hold.
///
/// # Errors
/// The file cannot be made.
pub fn each_page(folder: &Path) -> Run<(usize, Vec<String>)> {
    let path = file(folder);
    let fresh = |folder: &Path| -> Run<(Disk, OpenOptions)> {
        crate::image::clear(folder).map_err(text)?;
        let disk = Disk::at(folder).map_err(text)?;
        let collections = scenarios::collections().map_err(text)?;
        let (asleep, _) = (Asleep::new(), ());
        let phone = Phone::wake(asleep, disk, collections, 4 * 1024 * 1024);
        let options = phone.options.clone();
        Ok((phone.sleep().1, options))
    };
    let (disk, options) = fresh(folder)?;
    let mut db = Db::open(options).map_err(text)?;
    write_much(&mut db).map_err(text)?;
    let all = look(&db).map_err(text)?;
    drop((db, disk));
    if (all.bodies.len(), all.pairs.len(), all.sessions) != (ENTRIES, PAIRS, 2) {
        return Err("the file is not as it was written".to_owned());
    }
    let whole = fs::read(&path).map_err(text)?;
    let layout = layout(&path).map_err(text)?;
    let count = whole.len() / layout.size;
    let mut found = Vec::new();
    for damage in DAMAGES {
        for number in 1..=count {
            let mut bytes = whole.clone();
            damage.strike(&mut bytes, layout.size, number);
            let (disk, options) = fresh(folder)?;
            fs::write(&path, &bytes).map_err(text)?;
            let (table, kind, rows) = layout.pages.get(&number).cloned().unwrap_or_default();
            let page = Page { table, kind, rows };
            let run = || one(&options, &path, &bytes, &page, &all, damage);
            let held = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panicked".to_owned()));
            if let Err(what) = held {
                found.push(format!(
                    "page {number}, {} of {}, {damage:?}: {what}",
                    page.kind, page.table
                ));
            }
            drop(disk);
        }
    }
    Ok((count, found))
}

struct Page {
    table: String,
    kind: String,
    rows: usize,
}

/// Opens; where reading finds the damage, closes and opens again.
fn open_and_look(options: &OpenOptions) -> Run<(Db, Seen)> {
    let mut problem = String::new();
    for _ in 0..3 {
        let db = Db::open(options.clone()).map_err(|error| format!("opening: {} ({error})", error.code()))?;
        match look(&db) {
            Ok(seen) => return Ok((db, seen)),
            Err(Error::Damaged { .. }) => "reading finds damage again and again".clone_into(&mut problem),
            Err(error) => return Err(format!("reading: {} ({error})", error.code())),
        }
    }
    Err(problem)
}

fn one(options: &OpenOptions, path: &Path, bytes: &[u8], page: &Page, all: &Seen, damage: Damage) -> Run<()> {
    let (mut db, seen) = open_and_look(options)?;
    let folder = path.parent().unwrap_or(path);
    let aside = crate::image::set_aside(folder).map_err(text)?;
    if db.salvaged().is_some() == aside.is_empty() {
        return Err(format!("told: {}, set aside: {}", db.salvaged().is_some(), aside.len()));
    }
    if let Some(salvage) = db.salvaged() {
        if (salvage.entries, salvage.pairs) != (seen.bodies.len(), seen.pairs.len()) {
            return Err("it tells another number than it saved".to_owned());
        }
        if fs::read(&salvage.set_aside).map_err(text)? != bytes {
            return Err("the damaged file was not kept as it was".to_owned());
        }
    }
    let schema = page.table == "sqlite_schema";
    let saved = |table: &str, there: usize, of: usize| -> Run<()> {
        let on_it = page.table == table;
        if schema || (on_it && page.kind != "leaf" && page.kind != "overflow") {
            return Ok(());
        }
        let lost = match page.kind.as_str() {
            "leaf" if on_it => page.rows,
            "overflow" if on_it => 1,
            _ => 0,
        };
        match there + lost >= of {
            true => Ok(()),
            false => Err(format!("{there} of {of} in {table}, {lost} may be lost")),
        }
    };
    saved("entry", seen.bodies.len(), ENTRIES)?;
    saved("kv", seen.pairs.len(), PAIRS)?;
    // A session is shown with its record, which comes from its entry.
    if !schema && page.table != "session" && page.table != "entry" && seen.sessions != 2 && damage.shows() {
        return Err(format!("{} of 2 sessions", seen.sessions));
    }
    if damage.shows()
        && let Some((key, _)) = seen
            .bodies
            .iter()
            .find(|(key, body)| all.bodies.get(*key) != Some(*body))
    {
        return Err(format!("{key:?} is another"));
    }
    // And the account goes on, at the latest after one more opening.
    let put = |db: &mut Db| {
        db.write(|write| record::put(write, "workout", "after", "{}"))
            .map(|_| ())
    };
    match put(&mut db) {
        Ok(()) => Ok(()),
        Err(Error::Damaged { .. }) => {
            drop(db);
            let mut db = Db::open(options.clone()).map_err(|error| format!("opening again: {error}"))?;
            put(&mut db).map_err(|error| format!("writing after opening again: {error}"))
        }
        Err(error) => Err(format!("writing: {} ({error})", error.code())),
    }
}
