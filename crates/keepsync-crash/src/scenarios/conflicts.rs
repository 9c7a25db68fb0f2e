//! Conflicts, and how they end.

use super::{
    deeds::{elsewhere, put, resolve},
    scenario,
};
use crate::{
    act::{Act, Scenario, pass, settle, write},
    server::Net,
};
use keepsync::{
    conflict::{Merged, Resolution},
    record,
};

/// A workout with a set that two devices changed, in conflict.
fn in_conflict() -> Vec<Act> {
    vec![
        put("workout", "w", r#"{"date":"1","n":1}"#),
        put("set_log", "x", r#"{"workout_id":"w","kg":1}"#),
        settle(),
        put("workout", "w", r#"{"date":"1","n":2}"#),
        put("set_log", "x", r#"{"workout_id":"w","kg":2}"#),
        elsewhere("workout", "w", Some(r#"{"date":"1","n":3,"note":"x"}"#)),
        elsewhere("set_log", "x", Some(r#"{"workout_id":"w","kg":3}"#)),
        pass(Net::Well),
    ]
}

fn resolved(name: &'static str, resolution: Resolution) -> Scenario {
    let acts = vec![resolve("workout", "w", resolution), pass(Net::Well)];
    scenario(name, in_conflict(), acts)
}

pub(super) fn all() -> Vec<Scenario> {
    let policies = || {
        let mut acts = Vec::new();
        for (collection, local, remote) in [
            ("profile", r#"{"n":2}"#, r#"{"n":3}"#),
            ("exercise", r#"{"n":2}"#, r#"{"n":3}"#),
            ("weight", r#"{"n":2}"#, r#"{"n":3}"#),
            ("best", r#"{"n":2}"#, r#"{"n":3}"#),
            ("tally", r#"{"n":4}"#, r#"{"n":3}"#),
            (
                "session",
                r#"{"schedule":1,"weight":2}"#,
                r#"{"schedule":2,"weight":1}"#,
            ),
        ] {
            acts.push((
                put(collection, "r", r#"{"n":1}"#),
                put(collection, "r", local),
                elsewhere(collection, "r", Some(remote)),
            ));
        }
        let (mut base, mut edits, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (first, edit, other) in acts {
            base.push(first);
            edits.push(edit);
            others.push(other);
        }
        base.push(settle());
        base.extend(edits);
        base.extend(others);
        base
    };
    vec![
        scenario(
            "conflict-opens",
            in_conflict().into_iter().take(7).collect(),
            vec![pass(Net::Well), pass(Net::Well)],
        ),
        scenario("policies", policies(), vec![pass(Net::Well), pass(Net::Well)]),
        scenario(
            "policies-lost-answers",
            policies(),
            vec![pass(Net::Lost), pass(Net::PartlyLost)],
        ),
        resolved("resolve-local", Resolution::KeepLocal),
        resolved("resolve-remote", Resolution::KeepRemote),
        resolved("resolve-merge", Resolution::Merge(r#"{"date":"1","n":23}"#.to_owned())),
        resolved("resolve-as-proposed", Resolution::MergeWith(Merged::default())),
        scenario(
            "resolve-and-meet-another",
            in_conflict(),
            vec![
                resolve("workout", "w", Resolution::KeepLocal),
                elsewhere("workout", "w", Some(r#"{"date":"1","n":5}"#)),
                pass(Net::Well),
                resolve("workout", "w", Resolution::KeepRemote),
                pass(Net::Lost),
                pass(Net::Well),
            ],
        ),
        scenario(
            "merge-twins",
            vec![
                put("workout", "ours", r#"{"date":"1","time":"9"}"#),
                put("set_log", "x", r#"{"workout_id":"ours","slot":"a"}"#),
                elsewhere("workout", "yours", Some(r#"{"date":"1","time":"9"}"#)),
                elsewhere("set_log", "y", Some(r#"{"workout_id":"yours","slot":"a"}"#)),
                settle(),
            ],
            vec![
                write("merge them", |write| {
                    record::merge_into(write, "workout", "ours", "yours").map(|_| None)
                }),
                pass(Net::Well),
            ],
        ),
    ]
}
