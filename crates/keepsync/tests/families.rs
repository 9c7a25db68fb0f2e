//! Sets of one workout on two devices: one conflict of the workout, its sides with their sets.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Error, Write,
    conflict::{self, Changed, ChildBody, Conflict, Merged, Resolution},
    queue::{self, EntryState, Why},
    record::RecordState,
    remote::{Outcome, RemoteChange},
};
use std::collections::BTreeMap;

const LATER: i64 = 1_000_000;

fn set(reps: u32) -> String {
    format!(r#"{{"workout_id":"w","slot":"squat/1","weight":100,"reps":{reps}}}"#)
}

/// A workout with a set, which both sides have at version 1.
fn workout() -> Device {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"name":"Legs"}"#);
    device.put("set_log", "s", &set(5));
    assert_eq!(device.push(|_| Some(accepted(1))).accepted, 2);
    device
}

fn theirs(id: &str, number: i64, body: Option<&str>) -> RemoteChange {
    let collection = if id == "w" { "workout" } else { "set_log" };
    change(collection, id, version(number, body, LATER))
}

fn conflicts(device: &Device) -> Vec<Conflict> {
    device.db.read(|read| read.conflicts()).unwrap()
}

fn only(device: &Device) -> Conflict {
    let mut found = conflicts(device);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn resolve(device: &mut Device, shown: &str, resolution: &Resolution) -> keepsync::Result<()> {
    let resolve = |write: &mut Write<'_>| conflict::resolve(write, "workout", "w", shown, resolution);
    device.db.write(resolve).map(|_| ())
}

/// What goes out in a pass in which everything is accepted: id, base version and body.
fn sent(device: &mut Device) -> BTreeMap<String, (i64, Option<String>)> {
    let mut sent = BTreeMap::new();
    device.push(|item| {
        sent.insert(item.id.clone(), (item.base_version, item.body.clone()));
        Some(accepted(item.base_version + 1))
    });
    sent
}

/// Both devices changed the workout's name and the set; both added a set; nobody touched `calm`.
fn both_edited() -> Device {
    let mut device = workout();
    device.put("set_log", "calm", r#"{"workout_id":"w","slot":"calm/1"}"#);
    device.push(|_| Some(accepted(1)));
    device.put("workout", "w", r#"{"name":"Legs, heavy"}"#);
    device.put("set_log", "s", &set(6));
    device.put("set_log", "mine", r#"{"workout_id":"w","slot":"squat/2"}"#);
    let there = r#"{"workout_id":"w","slot":"squat/3"}"#;
    device.pull_only(vec![
        theirs("w", 2, Some(r#"{"name":"Legs, light"}"#)),
        theirs("s", 2, Some(&set(4))),
        theirs("yours", 1, Some(there)),
    ]);
    device
}

#[test]
fn what_both_did_to_a_workout_and_its_sets_is_one_conflict_of_the_workout() {
    let device = both_edited();
    let conflict = only(&device);
    assert_eq!((conflict.collection.as_str(), conflict.id.as_str()), ("workout", "w"));
    assert!(conflict.in_conflict);
    assert_eq!(conflict.base.as_deref(), Some(r#"{"name":"Legs"}"#));
    assert_eq!(conflict.local.as_deref(), Some(r#"{"name":"Legs, heavy"}"#));
    assert_eq!(conflict.remote.as_deref(), Some(r#"{"name":"Legs, light"}"#));
    assert_eq!(conflict.remote_label.as_deref(), Some("Tablet"));
    assert_eq!(conflict.local_device, "device-1");
    let sides: BTreeMap<&str, (bool, Option<&str>, Option<&str>)> = conflict
        .children
        .iter()
        .map(|child| {
            (
                child.id.as_str(),
                (child.in_conflict, child.local.as_deref(), child.remote.as_deref()),
            )
        })
        .collect();
    let (calm, mine) = (
        r#"{"workout_id":"w","slot":"calm/1"}"#,
        r#"{"workout_id":"w","slot":"squat/2"}"#,
    );
    let yours = r#"{"workout_id":"w","slot":"squat/3"}"#;
    let (six, four) = (set(6), set(4));
    let expected = BTreeMap::from([
        ("s", (true, Some(six.as_str()), Some(four.as_str()))),
        ("calm", (false, Some(calm), Some(calm))),
        ("mine", (false, Some(mine), None)),
        ("yours", (false, Some(yours), Some(yours))),
    ]);
    assert_eq!(sides, expected);
    let child = conflict.children.iter().find(|child| child.id == "s").unwrap();
    assert_eq!(child.slot.as_deref(), Some("squat/1"));
    assert_eq!(
        (child.base.as_deref(), child.remote_version),
        (Some(set(5).as_str()), 2)
    );
}

#[test]
fn a_write_in_a_workouts_conflict_says_which_one_as_it_is_named() {
    let device = both_edited();
    let name = format!("workout/w@{}", only(&device).token);
    let named: Vec<bool> = device
        .entries()
        .into_iter()
        .filter(|entry| entry.state == EntryState::Conflict)
        .map(|entry| entry.why == Why::Conflict { name: name.clone() })
        .collect();
    assert_eq!(named, [true, true]);
}

#[test]
fn the_difference_goes_field_by_field_through_workout_and_sets() {
    let conflict = only(&both_edited());
    let told: Vec<(&str, &str, Changed)> = conflict
        .difference
        .iter()
        .map(|it| (it.id.as_str(), it.path.as_str(), it.changed))
        .collect();
    assert_eq!(
        told,
        [
            ("w", "/name", Changed::Both),
            ("s", "/reps", Changed::Both),
            ("mine", "", Changed::Here)
        ]
    );
}

#[test]
fn only_the_workout_and_the_sets_in_conflict_wait() {
    let mut device = both_edited();
    device.put("workout", "other", "{}");
    let states: BTreeMap<String, EntryState> = device.entries().into_iter().map(|it| (it.id, it.state)).collect();
    assert_eq!((states["w"], states["s"]), (EntryState::Conflict, EntryState::Conflict));
    let went: Vec<String> = sent(&mut device).into_keys().collect();
    assert_eq!(went, ["mine", "other"]);
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Conflict);
}

#[test]
fn keeping_this_devices_side_sends_all_of_it_over_what_was_shown() {
    let mut device = both_edited();
    let token = only(&device).token;
    resolve(&mut device, &token, &Resolution::KeepLocal).unwrap();
    assert_eq!(conflicts(&device), []);
    let sent = sent(&mut device);
    assert_eq!(sent["w"], (2, Some(r#"{"name":"Legs, heavy"}"#.to_owned())));
    assert_eq!(sent["s"], (2, Some(set(6))));
    assert!(sent.contains_key("mine"));
    assert!(device.entries().is_empty());
    for (collection, id, lost) in [
        ("workout", "w", r#"{"name":"Legs, light"}"#),
        ("set_log", "s", set(4).as_str()),
    ] {
        let history = device.db.read(|read| read.history(collection, id)).unwrap();
        assert_eq!(
            (history[0].reason.as_str(), history[0].body.as_deref()),
            ("lost_to_device", Some(lost))
        );
    }
}

#[test]
fn keeping_the_other_side_takes_all_of_it_and_still_sends_what_is_new_here() {
    let mut device = both_edited();
    let token = only(&device).token;
    resolve(&mut device, &token, &Resolution::KeepRemote).unwrap();
    assert_eq!(
        device.body("workout", "w").as_deref(),
        Some(r#"{"name":"Legs, light"}"#)
    );
    assert_eq!(device.body("set_log", "s"), Some(set(4)));
    assert_eq!(sent(&mut device).into_keys().collect::<Vec<_>>(), ["mine"]);
    let history = device.db.read(|read| read.history("set_log", "s")).unwrap();
    assert_eq!(history[0].body, Some(set(6)), "what was lifted can still be found");
}

#[test]
fn a_merge_takes_a_body_and_bodies_of_sets_and_the_proposal_for_the_rest() {
    let mut device = both_edited();
    let conflict = only(&device);
    // The other side is later; contested are the name and the set as a whole.
    let contested: Vec<(&str, &str)> = conflict
        .proposal
        .contested
        .iter()
        .map(|it| (it.id.as_str(), it.path.as_str()))
        .collect();
    assert_eq!(contested, [("w", "/name"), ("s", "")]);
    let seven = set(7);
    let merged = Merged {
        body: Some(r#"{"name":"Legs, both"}"#.to_owned()),
        children: vec![
            ChildBody {
                collection: "set_log".into(),
                id: "s".into(),
                body: Some(seven.clone()),
            },
            ChildBody {
                collection: "set_log".into(),
                id: "calm".into(),
                body: None,
            },
        ],
    };
    resolve(&mut device, &conflict.token, &Resolution::MergeWith(merged)).unwrap();
    let sent = sent(&mut device);
    assert_eq!(sent["w"], (2, Some(r#"{"name":"Legs, both"}"#.to_owned())));
    assert_eq!(sent["s"], (2, Some(seven)));
    assert_eq!(sent["calm"], (1, None), "also a set that was not in conflict");
    assert!(device.entries().is_empty());
}

#[test]
fn the_proposal_is_what_merging_both_makes() {
    let mut device = both_edited();
    let conflict = only(&device);
    resolve(&mut device, &conflict.token, &Resolution::MergeWith(Merged::default())).unwrap();
    assert_eq!(device.body("workout", "w"), conflict.proposal.body);
    for child in &conflict.proposal.children {
        assert_eq!(device.body("set_log", &child.id), child.body, "{}", child.id);
    }
    assert_eq!(
        sent(&mut device).into_keys().collect::<Vec<_>>(),
        ["mine"],
        "the later side is there already"
    );
}

#[test]
fn a_body_of_a_stranger_or_for_another_parent_is_refused_and_nothing_is_settled() {
    let mut device = both_edited();
    let before = only(&device);
    let with = |collection: &str, id: &str, body: &str| {
        Resolution::MergeWith(Merged {
            body: None,
            children: vec![ChildBody {
                collection: collection.into(),
                id: id.into(),
                body: Some(body.into()),
            }],
        })
    };
    for wrong in [
        with("set_log", "s", r#"{"workout_id":"other"}"#),
        with("profile", "me", "{}"),
        with("set_log", "s", "[1]"),
        Resolution::Merge("{".to_owned()),
    ] {
        let refused = resolve(&mut device, &before.token, &wrong).unwrap_err();
        assert_eq!(refused.code(), "invalid", "{wrong:?}");
        assert_eq!(only(&device), before);
    }
}

#[test]
fn sets_alone_in_conflict_are_the_workouts_conflict_too() {
    let mut device = workout();
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![theirs("s", 2, Some(&set(4)))]);
    let conflict = only(&device);
    assert_eq!((conflict.id.as_str(), conflict.in_conflict), ("w", false));
    assert_eq!(conflict.local, conflict.remote);
    assert_eq!(
        (conflict.remote_at, conflict.remote_label.as_deref()),
        (START + LATER, Some("Tablet"))
    );
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
    resolve(&mut device, &conflict.token, &Resolution::KeepLocal).unwrap();
    assert_eq!(sent(&mut device), BTreeMap::from([("s".to_owned(), (2, Some(set(6))))]));
}

#[test]
fn a_refused_set_leads_to_the_same_conflict_as_a_pulled_one() {
    let mut device = workout();
    device.put("set_log", "s", &set(6));
    device.push(|_| Some(Outcome::Conflict(version(2, Some(&set(4)), LATER))));
    let refused = only(&device);
    let mut device = workout();
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![theirs("s", 2, Some(&set(4)))]);
    let pulled = only(&device);
    assert_eq!((refused.token, refused.difference), (pulled.token, pulled.difference));
}

#[test]
fn one_side_deleted_what_the_other_edited_asks_in_both_directions() {
    let mut device = workout();
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![theirs("s", 2, None)]);
    let conflict = only(&device);
    assert_eq!(
        (conflict.children[0].local.clone(), conflict.children[0].remote.clone()),
        (Some(set(6)), None)
    );
    assert_eq!(conflict.proposal.children[0].body, Some(set(6)), "the edit is kept");
    resolve(&mut device, &conflict.token, &Resolution::MergeWith(Merged::default())).unwrap();
    assert_eq!(sent(&mut device)["s"], (2, Some(set(6))));

    let mut device = workout();
    device.delete("set_log", "s");
    device.pull_only(vec![theirs("s", 2, Some(&set(4)))]);
    let conflict = only(&device);
    assert_eq!(
        (conflict.children[0].local.clone(), conflict.children[0].remote.clone()),
        (None, Some(set(4)))
    );
    resolve(&mut device, &conflict.token, &Resolution::KeepLocal).unwrap();
    assert_eq!(sent(&mut device)["s"], (2, None));
}

#[test]
fn new_sets_and_changes_of_one_side_are_no_conflict() {
    let mut device = workout();
    device.put("set_log", "mine", r#"{"workout_id":"w","slot":"squat/2"}"#);
    device.pull_only(vec![
        theirs("yours", 1, Some(r#"{"workout_id":"w","slot":"squat/3"}"#)),
        theirs("s", 2, Some(&set(4))),
    ]);
    assert_eq!(conflicts(&device), []);
    assert_eq!(device.body("set_log", "s"), Some(set(4)));
    assert!(device.body("set_log", "yours").is_some());
    assert_eq!(sent(&mut device).into_keys().collect::<Vec<_>>(), ["mine"]);
}

#[test]
fn the_same_slot_logged_on_both_devices_is_a_conflict_without_a_base() {
    let mut device = workout();
    device.put("set_log", "n", r#"{"workout_id":"w","slot":"a","reps":1}"#);
    device.push(|item| {
        let theirs = version(1, Some(r#"{"workout_id":"w","slot":"a","reps":2}"#), LATER);
        (item.id == "n").then_some(Outcome::Conflict(theirs))
    });
    let conflict = only(&device);
    let child = conflict.children.iter().find(|child| child.id == "n").unwrap();
    assert!(child.in_conflict && child.base.is_none());
    resolve(&mut device, &conflict.token, &Resolution::KeepLocal).unwrap();
    let sent = sent(&mut device);
    assert_eq!(sent["n"].0, 1);
    assert!(sent["n"].1.as_ref().unwrap().contains("\"reps\":1"));
}

#[test]
fn children_that_settle_themselves_ask_nobody() {
    let mut device = workout();
    device.put("heart_rate", "h", r#"{"workout_id":"w","bpm":1}"#);
    device.push(|_| Some(accepted(1)));
    device.put("heart_rate", "h", r#"{"workout_id":"w","bpm":2}"#);
    device.pull_only(vec![change(
        "heart_rate",
        "h",
        version(2, Some(r#"{"workout_id":"w","bpm":3}"#), LATER),
    )]);
    assert_eq!(conflicts(&device), []);
    assert_eq!(sent(&mut device)["h"].0, 2);
}

#[test]
fn every_change_of_any_side_makes_what_was_shown_stale() {
    let mut device = both_edited();
    let mut shown = vec![only(&device).token];
    let changes: [&dyn Fn(&mut Device); 6] = [
        &|device| device.pull_only(vec![theirs("w", 3, Some(r#"{"name":"Arms"}"#))]),
        &|device| device.pull_only(vec![theirs("s", 3, Some(&set(3)))]),
        &|device| {
            device.put("workout", "w", r#"{"name":"Back"}"#);
        },
        &|device| {
            device.put("set_log", "s", &set(9));
        },
        // Another set joins, and one leaves.
        &|device| {
            device.put("set_log", "calm", r#"{"workout_id":"w","slot":"calm/1","reps":1}"#);
            device.pull_only(vec![theirs(
                "calm",
                2,
                Some(r#"{"workout_id":"w","slot":"calm/1","reps":2}"#),
            )]);
        },
        &|device| {
            let op = device.entries().into_iter().find(|it| it.id == "s").unwrap().op;
            device.db.write(|write| queue::discard(write, op, false)).unwrap();
        },
    ];
    for (at, change) in changes.into_iter().enumerate() {
        change(&mut device);
        for stale in &shown {
            let refused = resolve(&mut device, stale, &Resolution::KeepRemote).unwrap_err();
            assert_eq!(refused, Error::ConflictChanged, "change {at}");
        }
        shown.push(only(&device).token);
    }
    let conflict = only(&device);
    assert_eq!(
        conflict.base.as_deref(),
        Some(r#"{"name":"Legs"}"#),
        "what both were made on stays"
    );
    resolve(&mut device, &conflict.token, &Resolution::KeepLocal).unwrap();
    let sent = sent(&mut device);
    assert_eq!(sent["w"], (3, Some(r#"{"name":"Back"}"#.to_owned())));
    assert_eq!(sent["calm"].0, 2);
    assert!(!sent.contains_key("s"));
    assert_eq!(device.body("set_log", "s"), Some(set(3)));
}

#[test]
fn a_write_while_the_conflict_of_one_record_is_open_makes_what_was_shown_stale() {
    let mut device = workout();
    device.put("workout", "w", r#"{"name":"Back"}"#);
    device.pull_only(vec![theirs("w", 2, Some(r#"{"name":"Arms"}"#))]);
    assert_eq!(only(&device).token, "2", "plain for people, while it tells all");
    device.put("workout", "w", r#"{"name":"Neck"}"#);
    assert_eq!(
        resolve(&mut device, "2", &Resolution::KeepLocal).unwrap_err(),
        Error::ConflictChanged
    );
    let token = only(&device).token;
    assert!(token.starts_with("2."), "{token}");
    resolve(&mut device, &token, &Resolution::KeepLocal).unwrap();
    assert_eq!(sent(&mut device)["w"].1.as_deref(), Some(r#"{"name":"Neck"}"#));
}

#[test]
fn a_resolution_has_both_versions_as_its_base_and_can_meet_another_one() {
    let mut device = both_edited();
    let token = only(&device).token;
    let merged = Resolution::Merge(r#"{"name":"Legs, both"}"#.to_owned());
    resolve(&mut device, &token, &merged).unwrap();
    let history = device.db.read(|read| read.history("workout", "w")).unwrap();
    let lost: Vec<&str> = history.iter().filter_map(|version| version.body.as_deref()).collect();
    assert_eq!(
        lost,
        [r#"{"name":"Legs, light"}"#, r#"{"name":"Legs, heavy"}"#],
        "both went into it"
    );
    device.push(|item| {
        Some(match item.id.as_str() {
            "w" => Outcome::Conflict(version(3, Some(r#"{"name":"Arms"}"#), LATER)),
            _ => accepted(item.base_version + 1),
        })
    });
    let conflict = only(&device);
    assert_eq!(
        conflict.base.as_deref(),
        Some(r#"{"name":"Legs, light"}"#),
        "the version that was shown"
    );
    assert_eq!(conflict.local.as_deref(), Some(r#"{"name":"Legs, both"}"#));
    assert_eq!(conflict.remote.as_deref(), Some(r#"{"name":"Arms"}"#));
    resolve(&mut device, &conflict.token, &Resolution::KeepLocal).unwrap();
    assert_eq!(sent(&mut device)["w"].0, 3);
}

#[test]
fn an_unsent_edit_of_the_workout_joins_the_conflict_of_its_sets_and_leaves_with_the_last() {
    let mut device = workout();
    device.put("workout", "w", r#"{"name":"Back"}"#);
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![theirs("s", 2, Some(&set(4)))]);
    let conflict = only(&device);
    assert!(conflict.in_conflict);
    assert_eq!(conflict.difference[0].changed, Changed::Here);
    assert_eq!(sent(&mut device), BTreeMap::new(), "one decision about all of it");
    let discard = |device: &mut Device| {
        let op = device.entries().into_iter().find(|it| it.id == "s").unwrap().op;
        device.db.write(|write| queue::discard(write, op, false)).unwrap();
    };
    discard(&mut device);
    assert_eq!(conflicts(&device), [], "nothing is left to decide");
    assert_eq!(
        sent(&mut device),
        BTreeMap::from([("w".to_owned(), (1, Some(r#"{"name":"Back"}"#.to_owned())))])
    );

    let mut device = workout();
    device.put("workout", "w", r#"{"name":"Back"}"#);
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![theirs("s", 2, Some(&set(4)))]);
    let token = only(&device).token;
    resolve(&mut device, &token, &Resolution::KeepRemote).unwrap();
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"name":"Legs"}"#));
    assert!(device.entries().is_empty());
}

/// The tablet deleted the workout; here a set was changed, one was made, and one deleted.
fn deleted_there() -> Device {
    let mut device = workout();
    device.put("set_log", "calm", r#"{"workout_id":"w","slot":"calm/1"}"#);
    device.push(|_| Some(accepted(1)));
    device.put("set_log", "s", &set(6));
    device.put("set_log", "new", r#"{"workout_id":"w","slot":"squat/2"}"#);
    device.delete("set_log", "calm");
    device.pull_only(vec![theirs("w", 2, None)]);
    device
}

#[test]
fn a_workout_deleted_elsewhere_while_its_sets_were_edited_here_is_the_users_to_decide() {
    let mut device = deleted_there();
    let conflict = only(&device);
    assert_eq!(
        (conflict.local.as_deref(), conflict.remote),
        (Some(r#"{"name":"Legs"}"#), None)
    );
    assert_eq!(
        sent(&mut device),
        BTreeMap::new(),
        "nothing goes below a workout that may be gone"
    );
    device.put("set_log", "newer", r#"{"workout_id":"w","slot":"squat/3"}"#);
    resolve(&mut device, &conflict.token, &Resolution::KeepLocal).unwrap();
    let sent = sent(&mut device);
    assert_eq!(
        sent["w"],
        (2, Some(r#"{"name":"Legs"}"#.to_owned())),
        "it is brought back"
    );
    assert_eq!(
        (sent["s"].0, sent["new"].0, sent["newer"].0, sent["calm"].clone()),
        (1, 0, 0, (1, None))
    );
    assert!(device.entries().is_empty());
    assert_eq!(device.db.read(|read| read.examine()).unwrap().problems, []);
}

#[test]
fn letting_a_deleted_workout_go_drops_what_was_unsent_below_it_into_the_history() {
    let mut device = deleted_there();
    let token = only(&device).token;
    device.put("set_log", "newer", r#"{"workout_id":"w","slot":"squat/3"}"#);
    resolve(&mut device, &token, &Resolution::KeepRemote).unwrap();
    assert!(device.entries().is_empty());
    assert_eq!(device.get("workout", "w"), None);
    assert_eq!(
        (device.body("set_log", "new"), device.body("set_log", "newer")),
        (None, None)
    );
    assert_eq!(device.body("set_log", "s"), Some(set(5)), "as the server has it");
    for id in ["s", "new", "newer"] {
        let history = device.db.read(|read| read.history("set_log", id)).unwrap();
        assert_eq!(history[0].reason, "lost_to_server", "{id}");
    }
    assert_eq!(device.db.read(|read| read.examine()).unwrap().problems, []);
}

#[test]
fn a_merge_can_change_and_leave_out_what_was_made_below_a_deleted_workout() {
    let mut device = deleted_there();
    device.put("set_log", "newer", r#"{"workout_id":"w","slot":"squat/3"}"#);
    let token = only(&device).token;
    let child = |id: &str, body: Option<&str>| ChildBody {
        collection: "set_log".into(),
        id: id.into(),
        body: body.map(str::to_owned),
    };
    let changed = r#"{"workout_id":"w","slot":"squat/2","reps":1}"#;
    let merged = Merged {
        body: None,
        children: vec![child("new", Some(changed)), child("newer", None)],
    };
    resolve(&mut device, &token, &Resolution::MergeWith(merged)).unwrap();
    let mut made = Vec::new();
    device.push(|item| {
        made.push((item.id.clone(), item.operation));
        Some(accepted(item.base_version + 1))
    });
    made.sort_by(|a, b| a.0.cmp(&b.0));
    use keepsync_wire::Operation::{Create, Delete, Update};
    let expected = [("calm", Delete), ("new", Create), ("s", Update), ("w", Update)];
    assert_eq!(made, expected.map(|(id, operation)| (id.to_owned(), operation)));
    assert_eq!(device.body("set_log", "new").as_deref(), Some(changed));
    assert_eq!(device.get("set_log", "newer"), None);
}

#[test]
fn a_workout_deleted_here_whose_set_was_edited_elsewhere_is_the_users_to_decide_as_a_whole() {
    let mut device = workout();
    device.put("set_log", "calm", r#"{"workout_id":"w","slot":"calm/1"}"#);
    device.push(|_| Some(accepted(1)));
    for id in ["s", "calm"] {
        device.delete("set_log", id);
    }
    device.delete("workout", "w");
    device.pull_only(vec![theirs("s", 2, Some(&set(4)))]);
    let conflict = only(&device);
    assert_eq!(
        (conflict.local.as_deref(), conflict.remote.as_deref()),
        (None, Some(r#"{"name":"Legs"}"#))
    );
    assert_eq!(
        conflict.proposal.body, conflict.remote,
        "the set that is kept needs its workout"
    );
    resolve(&mut device, &conflict.token, &Resolution::KeepRemote).unwrap();
    assert!(device.entries().is_empty());
    assert!(device.body("workout", "w").is_some() && device.body("set_log", "calm").is_some());
    assert_eq!(device.body("set_log", "s"), Some(set(4)));
}

#[test]
fn a_set_that_may_have_left_is_settled_by_its_answer_and_not_by_the_conflict() {
    let mut device = workout();
    device.put("set_log", "s", &set(6));
    device.push(|_| None);
    device.put("workout", "w", r#"{"name":"Back"}"#);
    device.pull_only(vec![theirs("w", 2, Some(r#"{"name":"Arms"}"#))]);
    let conflict = only(&device);
    assert!(!conflict.children[0].in_conflict);
    resolve(&mut device, &conflict.token, &Resolution::KeepRemote).unwrap();
    assert_eq!(sent(&mut device), BTreeMap::from([("s".to_owned(), (1, Some(set(6))))]));
}

#[test]
fn a_set_made_and_deleted_again_below_a_deleted_workout_is_never_sent() {
    let mut device = deleted_there();
    device.delete("set_log", "new");
    let token = only(&device).token;
    resolve(&mut device, &token, &Resolution::KeepLocal).unwrap();
    assert_eq!(sent(&mut device).into_keys().collect::<Vec<_>>(), ["calm", "s", "w"]);
    assert_eq!(device.db.read(|read| read.record("set_log", "new")).unwrap(), None);
}

#[test]
fn a_workout_that_never_left_takes_its_sets_and_their_conflict_with_it() {
    let mut device = Device::new();
    device.put("workout", "w", "{}");
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![theirs("s", 1, Some(&set(4)))]);
    assert_eq!(only(&device).id, "w");
    device.delete("workout", "w");
    assert_eq!(conflicts(&device), []);
    assert!(device.entries().is_empty());
    assert_eq!(device.body("set_log", "s"), Some(set(4)));
    assert_eq!(device.db.read(|read| read.examine()).unwrap().problems, []);
}

#[test]
fn a_workout_deleted_on_both_devices_with_its_sets_asks_nobody() {
    let mut device = workout();
    device.delete("set_log", "s");
    device.pull_only(vec![theirs("w", 2, None), theirs("s", 2, None)]);
    assert_eq!(conflicts(&device), []);
    assert!(device.entries().is_empty());
}

#[test]
fn the_app_is_told_when_a_conflict_opens_changes_and_is_settled() {
    let mut device = workout();
    device.put("set_log", "s", &set(6));
    let page = |device: &mut Device, changes: Vec<RemoteChange>| {
        let page = keepsync::remote::PullPage {
            changes,
            ..Default::default()
        };
        keepsync::drain::carry_out(&mut device.db, keepsync::drain::Step::ApplyPage(page)).1
    };
    assert!(
        page(&mut device, vec![theirs("s", 2, Some(&set(4)))]).conflicts,
        "opened"
    );
    assert!(
        page(&mut device, vec![theirs("s", 3, Some(&set(3)))]).conflicts,
        "refreshed"
    );
    assert!(
        !page(&mut device, vec![theirs("other", 1, Some(&set(3)))]).conflicts,
        "nothing to do with it"
    );
    let token = only(&device).token;
    let resolve = |write: &mut Write<'_>| conflict::resolve(write, "workout", "w", &token, &Resolution::KeepLocal);
    assert!(device.db.write(resolve).unwrap().1.conflicts, "settled");
}

#[test]
fn a_conflict_with_its_sets_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(
        1,
        Some(folder.path().to_owned()),
        keepsync::settings::Settings::default(),
    );
    device.put("workout", "w", r#"{"name":"Legs"}"#);
    device.put("set_log", "s", &set(5));
    device.push(|_| Some(accepted(1)));
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![theirs("s", 2, Some(&set(4)))]);
    let before = only(&device);
    let mut device = device.restart();
    assert_eq!(only(&device), before);
    resolve(&mut device, &before.token, &Resolution::KeepLocal).unwrap();
    assert_eq!(sent(&mut device.restart())["s"], (2, Some(set(6))));
}

#[test]
fn a_kill_in_the_middle_of_a_resolution_leaves_all_of_it_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(
        1,
        Some(folder.path().join("phone")),
        keepsync::settings::Settings::default(),
    );
    device.put("workout", "w", r#"{"name":"Legs"}"#);
    device.put("set_log", "s", &set(5));
    device.push(|_| Some(accepted(1)));
    device.put("workout", "w", r#"{"name":"Back"}"#);
    device.put("set_log", "s", &set(6));
    device.pull_only(vec![
        theirs("w", 2, Some(r#"{"name":"Arms"}"#)),
        theirs("s", 2, Some(&set(4))),
    ]);
    let before = only(&device);
    // What a dead process leaves behind is what is on the disk at that moment.
    let image = |name: &str| {
        let to = folder.path().join(name);
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(folder.path().join("phone")).unwrap() {
            let file = file.unwrap();
            if !file.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        to
    };
    let resolve = |write: &mut Write<'_>| {
        conflict::resolve(write, "workout", "w", &before.token, &Resolution::KeepRemote)?;
        image("killed before the commit");
        Ok(())
    };
    device.db.write(resolve).unwrap();
    image("killed after it");
    let open = |name: &str| {
        Device::named(
            1,
            Some(folder.path().join(name)),
            keepsync::settings::Settings::default(),
        )
    };
    let killed = open("killed before the commit");
    assert_eq!(only(&killed), before);
    assert_eq!(killed.body("set_log", "s"), Some(set(6)));
    let after = open("killed after it");
    assert_eq!(conflicts(&after), []);
    assert_eq!(after.body("workout", "w").as_deref(), Some(r#"{"name":"Arms"}"#));
    assert_eq!(after.body("set_log", "s"), Some(set(4)));
    assert!(after.entries().is_empty());
    assert_eq!(after.db.read(|read| read.examine()).unwrap().problems, []);
}

#[test]
fn the_file_is_sound_while_a_conflict_with_sets_is_open() {
    let device = both_edited();
    assert_eq!(device.db.read(|read| read.examine()).unwrap().problems, []);
}
