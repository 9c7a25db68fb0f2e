//! Keepsync, through its public functions.

use crate::{
    Outcome,
    data::Set,
    drain::ACCOUNT,
    fill::{PULLED_FROM, Row},
};
use keepsync::{
    Db, OpenOptions,
    collection::{Collection, Collections, Direction},
    conflict::Policy,
    drain::{Step, StepDone, carry_out},
    hlc::Hlc,
    record::{Compare, Query, Record},
    remote::{PullPage, RemoteChange, RemoteVersion},
    session,
};
use std::path::Path;

/// As many collections as an app has; the benchmarks use the first two.
fn collections(by_date: bool) -> Outcome<Collections> {
    let workout = Collection::new("workout", Policy::Ask);
    let mut set_log = Collection::new("set_log", Policy::Ask).child_of("workout", "workout_id");
    if by_date {
        set_log = set_log.index("date");
    }
    let others = (0..18).map(|n| Collection::new(format!("other_{n}"), Policy::ServerWins).direction(Direction::Local));
    Ok(Collections::new([workout, set_log].into_iter().chain(others))?)
}

pub(crate) struct Ours(Db);

impl Ours {
    /// Opens the file in `folder`, or makes it.
    pub(crate) fn open(folder: &Path, by_date: bool) -> Outcome<Self> {
        Ok(Self(Db::open(options(folder, by_date)?)?))
    }

    pub(crate) fn start(&mut self, session: &str) -> Outcome<()> {
        self.0
            .write(|write| session::start(write, "workout", "set_log", session, r#"{"name":"Mittwoch"}"#))?;
        Ok(())
    }

    /// Many sessions in one transaction.
    pub(crate) fn start_many(&mut self, sessions: &[&str]) -> Outcome<()> {
        self.0.write(|write| {
            for session in sessions {
                session::start(write, "workout", "set_log", session, r#"{"name":"Mittwoch"}"#)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    pub(crate) fn complete(&mut self, session: &str) -> Outcome<()> {
        self.0
            .write(|write| session::complete(write, "workout", session, "{}"))?;
        Ok(())
    }

    /// One transaction, one fsync.
    pub(crate) fn log_set(&mut self, session: &str, slot: &str, body: &str) -> Outcome<()> {
        self.0
            .write(|write| session::log_set(write, "workout", session, slot, body))?;
        Ok(())
    }

    /// Many sets in one transaction, to fill a file.
    pub(crate) fn log_many<'a>(&mut self, sets: impl Iterator<Item = (&'a str, &'a Set)>) -> Outcome<()> {
        let sets: Vec<_> = sets.collect();
        self.0.write(|write| {
            for (session, set) in &sets {
                session::log_set(write, "workout", session, &set.slot, &set.logged())?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Applies a page of a pull the way the drain does.
    pub(crate) fn apply(&mut self, page: PullPage) -> Outcome<()> {
        match carry_out(&mut self.0, Step::ApplyPage(page)).0 {
            StepDone::PageApplied { .. } => Ok(()),
            other => Err(format!("the page was not applied: {other:?}").into()),
        }
    }

    pub(crate) fn get(&self, id: &str) -> Outcome<Option<Record>> {
        Ok(self.0.read(|read| read.get("set_log", id))?)
    }

    /// The body of a session.
    pub(crate) fn workout(&self, session: &str) -> Outcome<String> {
        let record = self.0.read(|read| read.get("workout", session))?;
        record
            .and_then(|record| record.body)
            .ok_or_else(|| "a session is missing".into())
    }

    /// Fifty by date, from a date on if one is given.
    pub(crate) fn page(&self, from: Option<&str>) -> Outcome<Vec<Record>> {
        Ok(self.0.read(|read| read.query(&page_query(from)))?.records)
    }

    /// Unsent writes.
    pub(crate) fn queued(&self) -> Outcome<u64> {
        Ok(self.0.read(|read| read.queue_counts())?.total())
    }

    /// The most rows of a pull page, by default.
    pub(crate) fn page_rows(&self) -> usize {
        usize::try_from(self.0.settings().pull_page).unwrap_or(usize::MAX)
    }
}

/// Fifty by date, from a date on if one is given.
pub(crate) fn page_query(from: Option<&str>) -> Query {
    let query = Query::new("set_log").order_by("date").limit(50);
    match from {
        Some(from) => query.filter("date", Compare::Ge, from),
        None => query,
    }
}

pub(crate) fn options(folder: &Path, by_date: bool) -> Outcome<OpenOptions> {
    Ok(OpenOptions::new(folder, ACCOUNT, collections(by_date)?))
}

/// A page as a remote hands it over.
pub(crate) fn pull_page(rows: &[Row], position: &str, has_more: bool) -> PullPage {
    let change = |row: &Row| RemoteChange {
        collection: "set_log".to_owned(),
        id: row.id.clone(),
        version: RemoteVersion {
            body: Some(row.body.clone()),
            version: row.version,
            hlc: Hlc::at(row.at),
            device_id: PULLED_FROM.to_owned(),
            created_at: row.at,
            updated_at: row.at,
            ..RemoteVersion::default()
        },
    };
    PullPage {
        epoch: Some("first".to_owned()),
        changes: rows.iter().map(change).collect(),
        cursors: vec![("set_log".to_owned(), position.to_owned())],
        has_more,
        ..PullPage::default()
    }
}
