//! A tool that finds nothing may be blind: with a mistake in the disk, the app or the core it must find something,
//! and without one nothing, in the same story and the same mode.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

use keepsync_crash::{Case, Known, Mistake, Mode, Violation, scenarios};
use tempfile::TempDir;

fn told(story: &str) -> (Known, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut all = scenarios::all().unwrap().into_iter();
    let scenario = all.find(|scenario| scenario.name == story).unwrap();
    (Known::record(scenario, folder.path()).unwrap(), folder)
}

/// What is found first, if anything.
fn found(known: &Known, folder: &TempDir, mode: Mode) -> Option<Box<Violation>> {
    for point in 1..1_000 {
        let case = Case {
            mode,
            point,
            seed: 1,
            second: false,
        };
        match known.run(case, folder.path()) {
            Ok(Some(())) => {}
            Ok(None) => return None,
            Err(violation) => return Some(violation),
        }
    }
    panic!("a story without an end")
}

/// Stories whose acknowledged writes are lost where nothing was synced, and what is said then: pairs and edits that
/// are folded into what waits are no operations of their own.
const LOSING: [(&str, &str); 3] = [
    ("log-set", "was acknowledged, and is neither here nor on the server"),
    ("fold", "the file is as after none of"),
    ("pairs", "the file is as after none of"),
];

#[test]
fn a_disk_that_lies_about_its_syncs_is_seen_when_the_power_fails() {
    for (story, what) in LOSING {
        let (known, folder) = told(story);
        assert!(found(&known, &folder, Mode::Lose).is_none(), "{story}, an honest disk");
        let known = known.with(Mistake::LyingSync);
        let violation = found(&known, &folder, Mode::Lose).unwrap_or_else(|| panic!("{story}: nothing was seen"));
        assert!(violation.what.contains(what), "{story}: {violation:?}");
        // What was written is there when only the process dies.
        assert!(found(&known, &folder, Mode::Kill).is_none(), "{story}, killed");
    }
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_seen_when_what_is_unsynced_is_torn() {
    let (known, folder) = told("log-set");
    assert!(found(&known, &folder, Mode::Torn).is_none());
    assert!(found(&known.with(Mistake::LyingSync), &folder, Mode::Torn).is_some());
}

#[test]
fn commits_with_normal_in_the_place_of_full_are_seen_when_the_power_fails() {
    for (story, what) in LOSING {
        let (known, folder) = told(story);
        let known = known.with(Mistake::Normal);
        let violation = found(&known, &folder, Mode::Lose).unwrap_or_else(|| panic!("{story}: nothing was seen"));
        assert!(violation.what.contains(what), "{story}: {violation:?}");
        assert!(found(&known, &folder, Mode::Kill).is_none(), "{story}, killed");
    }
}

/// Bugs in the core itself, which only a build with the feature `planted` can have.
#[cfg(feature = "planted")]
mod planted {
    use super::*;
    use keepsync::planted::{Bug, plant};

    fn seen(bug: Bug, story: &str, mode: Mode) {
        let (known, folder) = told(story);
        assert!(found(&known, &folder, mode).is_none(), "{story} without {bug:?}");
        plant(Some(bug));
        let violation = found(&known, &folder, mode);
        plant(None);
        assert!(violation.is_some(), "{bug:?} in {story} was not seen");
        assert!(found(&known, &folder, mode).is_none(), "{story} after {bug:?}");
    }

    #[test]
    fn normal_in_the_place_of_full_is_seen() {
        seen(Bug::NormalInsteadOfFull, "log-set", Mode::Lose);
        seen(Bug::NormalInsteadOfFull, "complete-session", Mode::Torn);
    }

    #[test]
    fn two_transactions_in_the_place_of_one_are_seen() {
        seen(Bug::TwoTransactions, "fold", Mode::Kill);
        seen(Bug::TwoTransactions, "log-set", Mode::Lose);
        seen(Bug::TwoTransactions, "fold", Mode::IoEver);
    }

    #[test]
    fn a_cursor_before_its_rows_is_seen() {
        seen(Bug::CursorBeforeRows, "apply-pages", Mode::Kill);
    }

    #[test]
    fn a_batch_under_way_that_counts_as_never_sent_is_seen() {
        seen(Bug::FlightLostAtRestart, "drain-lost-answer", Mode::Kill);
    }
}
