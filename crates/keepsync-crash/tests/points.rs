//! A few stories in every mode, so that the tool itself is tested with everything else. All of them:
//! `cargo run --release -p keepsync-crash`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

use keepsync_crash::{Case, Known, MODES, scenarios};

fn at_every_point(story: &str) {
    let folder = tempfile::tempdir().unwrap();
    let found = scenarios::all()
        .unwrap()
        .into_iter()
        .find(|scenario| scenario.name == story);
    let known = Known::record(found.unwrap(), folder.path()).unwrap();
    for (name, mode) in MODES {
        let mut points = 0;
        for point in 1.. {
            let second = mode.kills() && point % 2 == 0;
            match known.run(
                Case {
                    mode,
                    point,
                    seed: 1,
                    second,
                },
                folder.path(),
            ) {
                Ok(Some(())) => points += 1,
                Ok(None) => break,
                Err(violation) => panic!("{story}, {name}, {point}: {violation:?}"),
            }
        }
        assert!(points >= 10, "{story}, {name}: {points} points");
    }
}

#[test]
fn a_session_survives_a_fault_at_every_operation() {
    at_every_point("log-set");
}

#[test]
fn a_drain_whose_answer_is_lost_survives_a_fault_at_every_operation() {
    at_every_point("drain-lost-answer");
}

#[test]
fn there_are_at_least_twenty_five_stories_and_each_has_a_name_of_its_own() {
    let mut names: Vec<&str> = scenarios::all().unwrap().iter().map(|scenario| scenario.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), scenarios::all().unwrap().len());
    assert!(names.len() >= 25, "{names:?}");
}
