//! The app of the stories: what it registers, in two versions, and how its resolver decides.
//!
//! The second version has a collection more, an index more, another policy for one collection, and
//! other settings. A device that goes back to the first keeps the records of the new collection
//! without knowing them.

use keepsync::{
    collection::{Collection, Collections, Direction, OnRejected, Sending},
    conflict::{Conflict, Policy, Resolvers, Verdict},
    settings::Settings,
};
use std::sync::{Arc, Mutex, PoisonError};

/// The latest version of the app.
pub(crate) const LATEST: u32 = 2;

/// What only the second version knows.
pub(crate) const NEW: &str = "extra";

/// Counted up, never set: the end is the sum.
pub(crate) const COUNTED: &str = "tally";

/// The larger number stands.
pub(crate) const LARGEST: &str = "best";

/// The later instant stands.
pub(crate) const INSTANT: &str = "moment";

/// Each day by its own later write.
pub(crate) const DAYS: &str = "days";

/// Each field by its own later write; `w` and `u` belong together.
pub(crate) const FIELDS: &str = "measure";

/// The app's own resolver decides.
pub(crate) const JUDGED: &str = "judged";

/// Two of one date are twins.
pub(crate) const TWINS: &str = "meal";

/// Where a refused write holds up nothing but itself.
pub(crate) const PARKS_ENTRIES: &str = "tag";

/// What hangs on a twin.
pub(crate) const DISHES: &str = "dish";

/// Collections in which a body may be made of two, or move to another record, so that a marker can
/// travel with another write.
pub(crate) const MERGED: [&str; 9] = ["mixed", COUNTED, LARGEST, INSTANT, DAYS, FIELDS, JUDGED, TWINS, DISHES];

/// What a version of the app registers: every policy, both kinds of sessions, every direction.
pub(crate) fn collections(version: u32) -> keepsync::Result<Collections> {
    let profile = if version < 2 {
        Policy::ServerWins
    } else {
        Policy::LastWriteWins
    };
    let mut all = vec![
        Collection::new("workout", Policy::Ask).priority(1),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(2),
        Collection::new("run", Policy::LastWriteWins).sending(Sending::OnComplete),
        Collection::new("lap", Policy::LastWriteWins).child_of("run", "run_id"),
        Collection::new("note", Policy::LastWriteWins).index("n"),
        Collection::new("goal", Policy::Ask),
        Collection::new("profile", profile),
        Collection::new(PARKS_ENTRIES, Policy::ClientWins)
            .priority(-1)
            .on_rejected(OnRejected::ParkEntry),
        Collection::new("mixed", Policy::LastWriteWins)
            .group(["p"], Policy::ServerWins)
            .group(["c", "d"], Policy::ClientWins),
        Collection::new("stat", Policy::ClientWins)
            .direction(Direction::PushOnly)
            .priority(-5),
        Collection::new("draft", Policy::ClientWins).direction(Direction::Local),
        Collection::new(COUNTED, Policy::Counter),
        Collection::new(LARGEST, Policy::merge_max("v")),
        Collection::new(INSTANT, Policy::latest_of("at")),
        Collection::new(DAYS, Policy::lww_per("day")),
        Collection::new(FIELDS, Policy::merge_fields([["w", "u"]])),
        Collection::new(JUDGED, Policy::custom("judge")),
        Collection::new(TWINS, Policy::LastWriteWins).same_when(["date"]),
        Collection::new(DISHES, Policy::LastWriteWins).child_of(TWINS, "meal_id"),
    ];
    if version >= 2 {
        all.push(Collection::new(NEW, Policy::LastWriteWins).index("n"));
        all.retain(|one| one.name() != "goal");
        all.push(Collection::new("goal", Policy::Ask).index("n"));
    }
    Collections::new(all)
}

/// The settings of a version: the later one sends and fetches less at once.
pub(crate) fn settings(version: u32, of_first: &Settings) -> Settings {
    let mut settings = of_first.clone();
    if version >= 2 {
        settings.batch_count = (settings.batch_count / 2).max(1);
        settings.pull_page = (settings.pull_page / 2).max(2);
    }
    settings
}

/// What the app's resolver says next: chance decides, from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judge(Arc<Mutex<Option<Result<Verdict, String>>>>);

impl Judge {
    pub(crate) fn says(&self, next: Result<Verdict, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    pub(crate) fn resolvers(&self) -> Resolvers {
        let next = Arc::clone(&self.0);
        Resolvers::new().with("judge", move |_: &Conflict| {
            let said = next.lock().unwrap_or_else(PoisonError::into_inner).take();
            said.unwrap_or_else(|| Err("nobody said what the resolver says".to_owned()))
        })
    }
}
