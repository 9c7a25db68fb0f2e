//! What the files are filled with: the log's workouts, again and again under other ids.

use crate::{
    Outcome,
    data::{Set, workouts},
    ours::{Ours, pull_page},
    yardstick::{Pulled, Yardstick},
};
use keepsync::session::set_id;
use std::path::{Path, PathBuf};

/// The id of a session; like a UUIDv7, later ones sort later.
pub(crate) fn session_id(n: usize) -> String {
    format!("01900000-0000-7000-8000-{n:012x}")
}

/// A set that is ready to be logged on either side.
pub(crate) struct Ready {
    pub(crate) session: String,
    pub(crate) id: String,
    pub(crate) slot: String,
    pub(crate) logged: String,
    pub(crate) stored: String,
}

impl Ready {
    fn new(session: &str, set: &Set) -> Self {
        Self {
            session: session.to_owned(),
            id: set_id(session, &set.slot),
            slot: set.slot.clone(),
            logged: set.logged(),
            stored: set.stored(session),
        }
    }
}

/// The workouts of the log, each under a session of its own from number `first` on.
pub(crate) fn ready_workouts(first: usize) -> Vec<Vec<Ready>> {
    let ready = |(n, sets): (usize, &Vec<Set>)| {
        let session = session_id(first + n);
        sets.iter().map(|set| Ready::new(&session, set)).collect()
    };
    workouts().iter().enumerate().map(ready).collect()
}

/// `count` sets of one session, whose slots are numbered from `first` on.
pub(crate) fn ready_sets(session: &str, first: usize, count: usize) -> Vec<Ready> {
    sets(first, count).iter().map(|set| Ready::new(session, set)).collect()
}

/// Sets with slots of their own, numbered from `first` on.
pub(crate) fn sets(first: usize, count: usize) -> Vec<Set> {
    let numbered = |(n, set): (usize, &Set)| Set {
        slot: format!("{}/{}", set.slot, first + n),
        ..set.clone()
    };
    workouts()
        .iter()
        .flatten()
        .cycle()
        .enumerate()
        .map(numbered)
        .take(count)
        .collect()
}

/// The same content on both sides.
pub(crate) struct Twins {
    pub(crate) ours: PathBuf,
    pub(crate) yardstick: PathBuf,
    pub(crate) by_date: bool,
}

impl Twins {
    /// New, empty files under `folder`.
    pub(crate) fn create(folder: &Path, by_date: bool) -> Outcome<(Self, Ours, Yardstick)> {
        std::fs::create_dir_all(folder)?;
        let twins = Self {
            ours: folder.join("ours"),
            yardstick: folder.join("yardstick.sqlite"),
            by_date,
        };
        let ours = Ours::open(&twins.ours, by_date)?;
        let yardstick = Yardstick::create(&twins.yardstick, by_date)?;
        Ok((twins, ours, yardstick))
    }

    pub(crate) fn open(&self) -> Outcome<(Ours, Yardstick)> {
        Ok((Ours::open(&self.ours, self.by_date)?, Yardstick::open(&self.yardstick)?))
    }

    /// Copies of both, closed as they are.
    pub(crate) fn copy(&self, folder: &Path) -> Outcome<Self> {
        let copy = Self {
            ours: folder.join("ours"),
            yardstick: folder.join("yardstick.sqlite"),
            by_date: self.by_date,
        };
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(&copy.ours)?;
        for entry in std::fs::read_dir(&self.ours)? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.ours.join(entry.file_name()))?;
        }
        std::fs::copy(&self.yardstick, &copy.yardstick)?;
        Ok(copy)
    }
}

/// Logs `count` sets into session `n`.
pub(crate) fn log(ours: &mut Ours, yardstick: &Yardstick, n: usize, first: usize, count: usize) -> Outcome<()> {
    let session = session_id(n);
    let sets = sets(first, count);
    ours.log_many(sets.iter().map(|set| (session.as_str(), set)))?;
    yardstick.log_many(
        sets.iter()
            .map(|set| (session.as_str(), set_id(&session, &set.slot), set.stored(&session))),
    )
}

/// Queues `count` sets in sessions of sixteen, numbered from `first` on and completed, as an app leaves
/// them. Ours then has the sessions and their endings in the queue as well.
pub(crate) fn queue(ours: &mut Ours, yardstick: &Yardstick, first: usize, count: usize) -> Outcome<()> {
    let mut left = count;
    let mut n = first;
    while left > 0 {
        let some = left.min(16);
        ours.start(&session_id(n))?;
        log(ours, yardstick, n, 0, some)?;
        ours.complete(&session_id(n))?;
        left -= some;
        n += 1;
    }
    Ok(())
}

/// A row of a pull.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) session: String,
    pub(crate) body: String,
    pub(crate) version: i64,
    pub(crate) at: i64,
}

/// Rows of a pull, made one page at a time, so that they never fill the memory.
pub(crate) struct Pull {
    log: Vec<(usize, &'static Set)>,
    made: usize,
    count: usize,
}

/// The device that wrote what is pulled.
pub(crate) const PULLED_FROM: &str = "01900000-0000-7000-8000-0000000000aa";

/// Numbers of pulled sessions start here.
const PULLED: usize = 1_000_000;

impl Pull {
    pub(crate) fn new(count: usize) -> Self {
        let numbered = |(n, sets): (usize, &'static Vec<Set>)| sets.iter().map(move |set| (n, set));
        Self {
            log: workouts().iter().enumerate().flat_map(numbered).collect(),
            made: 0,
            count,
        }
    }

    /// The next page, of at most `rows`; empty after the last.
    pub(crate) fn page(&mut self, rows: usize) -> Vec<Row> {
        let end = self.count.min(self.made.saturating_add(rows));
        let page = (self.made..end).map(|n| self.row(n)).collect();
        self.made = end;
        page
    }

    /// Each time the log begins again it is another year's.
    pub(crate) fn row(&self, n: usize) -> Row {
        let (again, place) = (n / self.log.len(), n % self.log.len());
        let (workout, set) = &self.log[place];
        let session = session_id(PULLED + again * 1_000 + workout);
        let mut set = (*set).clone();
        let date = format!("{:04}{}", 1990 + again, set.date.get(4..).unwrap_or_default());
        set.body.insert("date".to_owned(), date.into());
        Row {
            id: set_id(&session, &set.slot),
            body: set.stored(&session),
            session,
            version: 1,
            at: 1_700_000_000_000 + n as i64,
        }
    }

    pub(crate) fn has_more(&self) -> bool {
        self.made < self.count
    }

    /// The cursor after what was made.
    pub(crate) fn position(&self) -> String {
        self.made.to_string()
    }
}

/// Both sides take the same page.
pub(crate) fn apply_ours(ours: &mut Ours, rows: &[Row], pull: &Pull) -> Outcome<()> {
    ours.apply(pull_page(rows, &pull.position(), pull.has_more()))
}

pub(crate) fn apply_yardstick(yardstick: &Yardstick, rows: &[Row], pull: &Pull) -> Outcome<()> {
    let pulled = rows.iter().map(|row| Pulled {
        id: &row.id,
        session: &row.session,
        body: &row.body,
        version: row.version,
        at: row.at,
        device: PULLED_FROM,
    });
    yardstick.apply(pulled, &pull.position())
}
