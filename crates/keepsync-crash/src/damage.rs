//! Each page of a file of two hundred, damaged in turn.
//!
//! Whatever is done to a page: nothing panics; the damaged file is kept as it was; every unsent write, pair and
//! record that stays on the device is there, with its body, unless the page has a part of it or leads to it; and the
//! account goes on. Below an inner page that cannot be read its rows are lost, and everything without the schema.
//!
//! Damage that SQLite cannot tell from what was written (a page that is as it was a while ago, another letter in a
//! text) need not be met by itself. Where it hides a row, the file is examined as one that is suspected is, and then
//! the row must be there.
//!
//! In an encrypted file every damage shows, and a damaged first page is a wrong key: refused, with every byte kept.

use crate::{
    key::IS_ENCRYPTED,
    layout::{Key, Layout, Page},
    phone::{Asleep, Phone, file},
    run::text,
    scenarios,
};
use keepsync::{Db, Error, OpenOptions, kv, queue, record, session};
use keepsync_disk::Disk;
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
    /// So many sectors of 512 bytes are there; the rest is as it was when the file was closed the time before, or
    /// was never written.
    Torn(usize),
    /// Its header only.
    Header,
    /// One bit of its header or its cells, another one on each page.
    OneBit,
}

/// All of them, in pages of eight sectors.
pub const DAMAGES: [Damage; 11] = [
    Damage::Flipped,
    Damage::Zeroed,
    Damage::Torn(1),
    Damage::Torn(2),
    Damage::Torn(3),
    Damage::Torn(4),
    Damage::Torn(5),
    Damage::Torn(6),
    Damage::Torn(7),
    Damage::Header,
    Damage::OneBit,
];

const SECTOR: usize = 512;

impl Damage {
    fn strike(self, page: &mut [u8], older: Option<&[u8]>, number: usize) {
        match self {
            Self::Flipped => page.iter_mut().for_each(|byte| *byte ^= 0xff),
            Self::Zeroed => page.fill(0),
            Self::Torn(sectors) => {
                let missing = sectors * SECTOR..page.len();
                match older {
                    Some(older) => page[missing.clone()].copy_from_slice(&older[missing]),
                    None => page[missing].fill(0),
                }
            }
            Self::Header => page[..8].fill(0xa5),
            Self::OneBit => page[number * 37 % page.len()] ^= 1 << (number % 8),
        }
    }

    /// Whether SQLite and JSON can tell.
    fn shows(self) -> bool {
        IS_ENCRYPTED || !matches!(self, Self::OneBit | Self::Torn(_))
    }
}

const WORKOUTS: usize = 340;
const PAIRS: usize = 470;
const DRAFTS: usize = 120;
/// A file that is smaller says too little.
const PAGES: usize = 200;

type Run<T> = Result<T, String>;

/// What an app reads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    bodies: BTreeMap<Key, String>,
    pairs: BTreeMap<Key, String>,
    drafts: BTreeMap<Key, String>,
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
            let value = read.kv_get(&key)?.unwrap_or_default();
            pairs.insert((String::new(), key), value);
        }
        for collection in ["workout", "set_log", "plan", "plan_set"] {
            read.query(&record::Query::new(collection).limit(1_000))?;
        }
        read.query(&record::Query::new("workout").order_by("date").limit(1_000))?;
        let drafts = read
            .query(&record::Query::new("draft").limit(1_000))?
            .records
            .into_iter();
        let drafts = drafts.map(|draft| (("draft".to_owned(), draft.id), draft.body.unwrap_or_default()));
        let drafts = drafts.collect();
        read.conflicts()?;
        read.bundle()?;
        queue::export(read)?;
        let sessions = read.active_sessions()?.len();
        Ok(Seen {
            bodies,
            pairs,
            drafts,
            sessions,
        })
    })
}

/// What the app wrote up to its first or its second end. The second time it changes every third of what was there.
fn write_much(db: &mut Db, turn: usize) -> keepsync::Result<()> {
    let long = "Schulter zwickt. ".repeat(300);
    let part = |count: usize| (0..count).filter(move |n| (turn == 1) == (n % 2 == 1) || (turn == 1 && n % 3 == 0));
    let write = |write: &mut keepsync::Write<'_>| {
        for n in part(WORKOUTS) {
            // Some bodies are longer than a page.
            let notes = if n % 20 == 7 { long.as_str() } else { &long[..400] };
            let body = format!("{{\"date\":\"2025-{n:04}\",\"turn\":{turn},\"notes\":\"{notes}\"}}");
            record::put(write, "workout", &format!("w{n:03}"), &body)?;
        }
        for n in part(PAIRS) {
            kv::set(write, &format!("key-{n:03}"), &format!("{n} {turn} {}", &long[..150]))?;
        }
        for n in part(DRAFTS) {
            let body = format!("{{\"n\":{n},\"turn\":{turn},\"text\":\"{}\"}}", &long[..200]);
            record::put(write, "draft", &format!("d{n:03}"), &body)?;
        }
        for (collection, children, id) in [("workout", "set_log", "live"), ("plan", "plan_set", "held")] {
            if turn == 0 {
                session::start(write, collection, children, id, "{}")?;
            }
            for slot in 0..3 {
                session::log_set(
                    write,
                    collection,
                    id,
                    &format!("bench/{turn}{slot}"),
                    "{\"weight\":82.5}",
                )?;
            }
        }
        Ok(())
    };
    db.write(write).map(|_| ())
}

fn fresh(folder: &Path) -> Run<(Disk, OpenOptions)> {
    crate::image::clear(folder).map_err(text)?;
    let disk = Disk::at(folder).map_err(text)?;
    let collections = scenarios::collections().map_err(text)?;
    let phone = Phone::wake(Asleep::new(), disk, collections, 4 * 1024 * 1024);
    let options = phone.options.clone();
    Ok((phone.sleep().1, options))
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Pages of the file.
    pub pages: usize,
    /// How often one was damaged.
    pub runs: usize,
    /// How often that was met and the file set aside.
    pub met: usize,
    /// What does not hold.
    pub found: Vec<String>,
}

/// Damages each page in turn, or the first and every `step`th after it. `every`: in all ways; otherwise in three:
/// zeroed, torn at one of the seven places, and in one of the others.
///
/// # Errors
/// The file cannot be made.
pub fn each_page(folder: &Path, every: bool, step: usize) -> Run<Report> {
    let path = file(folder);
    let (disk, options) = fresh(folder)?;
    let end = |turn| -> Run<(Seen, Vec<u8>)> {
        let mut db = Db::open(options.clone()).map_err(text)?;
        write_much(&mut db, turn).map_err(text)?;
        let seen = look(&db).map_err(text)?;
        drop(db);
        Ok((seen, fs::read(&path).map_err(text)?))
    };
    let (_, older) = end(0)?;
    let (all, whole) = end(1)?;
    drop(disk);
    if (all.pairs.len(), all.drafts.len(), all.sessions) != (PAIRS, DRAFTS, 2) || all.bodies.len() < WORKOUTS {
        return Err("the file is not as it was written".to_owned());
    }
    let known = Known {
        layout: Layout::of(&path).map_err(text)?,
        all,
        whole,
    };
    let size = known.layout.size;
    let pages = known.whole.len() / size;
    if pages < PAGES || size != 8 * SECTOR {
        return Err(format!("the file has {pages} pages of {size} bytes"));
    }
    let mut report = Report {
        pages,
        runs: 0,
        met: 0,
        found: Vec::new(),
    };
    let others = [Damage::Flipped, Damage::Header, Damage::OneBit];
    for number in (1..=pages).step_by(step.max(1)) {
        let sampled = [Damage::Zeroed, Damage::Torn(1 + number % 7), others[number % 3]];
        for &damage in if every { &DAMAGES[..] } else { &sampled } {
            let at = (number - 1) * size..number * size;
            let mut bytes = known.whole.clone();
            damage.strike(&mut bytes[at.clone()], older.get(at), number);
            let (disk, options) = fresh(folder)?;
            fs::write(&path, &bytes).map_err(text)?;
            let run = || known.one(&options, &bytes, number, damage);
            report.runs += 1;
            match catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panicked".to_owned())) {
                Ok(met) => report.met += usize::from(met),
                Err(what) => {
                    let Page { tree, kind } = known.layout.pages.get(&number).cloned().unwrap_or_default();
                    report
                        .found
                        .push(format!("page {number}, {kind} of {tree}, {damage:?}: {what}"));
                }
            }
            drop(disk);
        }
    }
    Ok(report)
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

/// The file as it was.
struct Known {
    layout: Layout,
    all: Seen,
    whole: Vec<u8>,
}

impl Known {
    /// Gives whether the damage was met.
    fn one(&self, options: &OpenOptions, bytes: &[u8], number: usize, damage: Damage) -> Run<bool> {
        if IS_ENCRYPTED && number == 1 && bytes != self.whole.as_slice() {
            return Self::refused(options, bytes);
        }
        let (mut db, mut seen) = open_and_look(options)?;
        let mut missing = self.missing(&seen, number);
        if db.salvaged().is_none() && missing.is_some() && bytes != self.whole.as_slice() {
            // Nothing told that anything is wrong. Suspected, it is found.
            let path = db.path().map(Path::to_owned).unwrap_or_default();
            drop(db);
            let mut mark = path.into_os_string();
            mark.push(".suspect");
            fs::write(mark, "").map_err(text)?;
            (db, seen) = open_and_look(options)?;
            missing = self.missing(&seen, number);
        }
        if let Some(missing) = missing {
            return Err(missing);
        }
        self.kept(&db, &seen, bytes)?;
        if damage.shows() {
            as_written(&seen.bodies, &self.all.bodies)?;
            as_written(&seen.pairs, &self.all.pairs)?;
            as_written(&seen.drafts, &self.all.drafts)?;
        }
        let met = db.salvaged().is_some();
        if bytes == self.whole.as_slice() && met {
            return Err("a sound file was taken for damaged".to_owned());
        }
        // And the account goes on, at the latest after one more opening.
        let put = |db: &mut Db| {
            db.write(|write| record::put(write, "workout", "after", "{}"))
                .map(|_| ())
        };
        match put(&mut db) {
            Ok(()) => {}
            Err(Error::Damaged { .. }) => {
                drop(db);
                let mut db = Db::open(options.clone()).map_err(|error| format!("opening again: {error}"))?;
                put(&mut db).map_err(|error| format!("writing after opening again: {error}"))?;
            }
            Err(error) => return Err(format!("writing: {} ({error})", error.code())),
        }
        Ok(met)
    }

    /// Whether a first page that cannot be read is a wrong key, and nothing else happens.
    fn refused(options: &OpenOptions, bytes: &[u8]) -> Run<bool> {
        match Db::open(options.clone()).err() {
            Some(Error::WrongKey) => {}
            other => return Err(format!("no wrong key, but {other:?}")),
        }
        let path = options.file().unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new("."));
        let files = fs::read_dir(folder).map_err(text)?.count();
        match fs::read(&path).map_err(text)? == bytes && files == 1 {
            true => Ok(false),
            false => Err("the file or its folder was changed".to_owned()),
        }
    }

    /// What is not there, or is another, though its pages are as they were.
    fn missing(&self, seen: &Seen, number: usize) -> Option<String> {
        let page = self.layout.pages.get(&number).cloned().unwrap_or_default();
        if page.tree == "sqlite_schema" {
            return None;
        }
        let there = |table: &'static str, all: &BTreeMap<Key, String>, seen: &BTreeMap<Key, String>| {
            let intact = self.layout.without(table, number).filter(|key| all.contains_key(*key));
            let mut lost = intact.filter(|key| seen.get(*key) != all.get(*key));
            let is = |key| if seen.contains_key(key) { "another" } else { "lost" };
            let first = lost.next().map(|key| format!("{key:?} of {table} is {}", is(key)));
            let more = lost.count();
            first.map(|first| format!("{first}, and {more} more"))
        };
        let sessions = !matches!(page.tree.as_str(), "session" | "entry");
        there("entry", &self.all.bodies, &seen.bodies)
            .or_else(|| there("kv", &self.all.pairs, &seen.pairs))
            .or_else(|| there("record", &self.all.drafts, &seen.drafts))
            // A session is shown with its record, which comes from its entry.
            .or_else(|| (sessions && seen.sessions != 2).then(|| format!("{} of 2 sessions", seen.sessions)))
    }

    /// A file that was set aside is as it was, and what is told of it is true.
    fn kept(&self, db: &Db, seen: &Seen, bytes: &[u8]) -> Run<()> {
        let folder = db.path().and_then(Path::parent).unwrap_or(Path::new("."));
        let aside = crate::image::set_aside(folder).map_err(text)?;
        let Some(salvage) = db.salvaged() else {
            return match aside.len() {
                0 => Ok(()),
                count => Err(format!("{count} files were set aside, and nothing was told")),
            };
        };
        let saved = (salvage.entries, salvage.pairs, salvage.records);
        if saved != (seen.bodies.len(), seen.pairs.len(), seen.drafts.len()) {
            return Err(format!("it tells that it saved {saved:?}, and that is not so"));
        }
        match aside.as_slice() {
            [one] if *one == salvage.set_aside && fs::read(one).map_err(text)? == bytes => Ok(()),
            _ => Err("the damaged file was not kept as it was".to_owned()),
        }
    }
}

fn as_written(seen: &BTreeMap<Key, String>, all: &BTreeMap<Key, String>) -> Run<()> {
    match seen.iter().find(|(key, body)| all.get(*key) != Some(*body)) {
        Some((key, _)) => Err(format!("{key:?} is another")),
        None => Ok(()),
    }
}
