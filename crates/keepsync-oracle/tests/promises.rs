//! Per promise: a good history passes, and one with the fault does not.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use keepsync_oracle::{Applied, Fact, History, Key, Outcome, Promise, check};
use serde_json::json;

fn key(id: &str) -> Key {
    let collection = if id.starts_with('s') { "set_log" } else { "workout" };
    Key::new(collection, id)
}

fn tried(write: &str, device: &str, id: &str, saw: &[&str]) -> Fact {
    Fact::Tried {
        write: write.to_owned(),
        user: "ann".to_owned(),
        device: device.to_owned(),
        key: key(id),
        deletes: false,
        saw: saw.iter().map(|&saw| saw.to_owned()).collect(),
    }
}

fn returned(write: &str) -> Fact {
    Fact::Returned {
        write: write.to_owned(),
        op: Some(format!("op-{write}")),
    }
}

fn wrote(write: &str, device: &str, id: &str, saw: &[&str]) -> [Fact; 2] {
    [tried(write, device, id, saw), returned(write)]
}

fn applied(write: &str, id: &str, version: i64) -> Fact {
    Fact::Applied(Applied {
        user: "ann".to_owned(),
        key: key(id),
        op: format!("op-{write}"),
        version: Some(version),
        write: None,
        deletes: false,
        parent: id.starts_with('s').then(|| "w1".to_owned()),
    })
}

fn holds(write: &str, id: &str, version: i64) -> Fact {
    Fact::Holds {
        user: "ann".to_owned(),
        key: key(id),
        version: Some(version),
        write: Some(write.to_owned()),
        body: Some(json!({ "m": write })),
    }
}

fn shows(device: &str, write: &str, id: &str) -> Fact {
    Fact::Shows {
        user: "ann".to_owned(),
        device: device.to_owned(),
        key: key(id),
        write: Some(write.to_owned()),
        body: Some(json!({ "m": write })),
    }
}

fn unsent(device: &str, write: &str, id: &str, why: &str) -> Fact {
    Fact::Unsent {
        user: "ann".to_owned(),
        device: device.to_owned(),
        key: key(id),
        write: Some(write.to_owned()),
        why: why.to_owned(),
    }
}

fn told(write: &str, outcome: Outcome) -> Fact {
    Fact::Told {
        write: write.to_owned(),
        outcome,
    }
}

/// A phone logs a workout with a set and changes the workout; a tablet changes it again, knowing.
fn good() -> Vec<Fact> {
    let mut facts = vec![Fact::Collection {
        name: "set_log".to_owned(),
        parent: Some(("workout".to_owned(), "workout_id".to_owned())),
        merges: false,
        sent: true,
        pulled: true,
    }];
    facts.extend(wrote("a1", "phone", "w1", &[]));
    facts.extend(wrote("a2", "phone", "s1", &[]));
    facts.extend(wrote("a3", "phone", "w1", &["a1"]));
    facts.extend(wrote("b1", "tablet", "w1", &["a3"]));
    facts.push(told("b1", Outcome::Accepted));
    facts.extend([
        applied("a1", "w1", 1),
        applied("a2", "s1", 1),
        applied("a3", "w1", 2),
        applied("b1", "w1", 3),
    ]);
    facts.extend([holds("a2", "s1", 1), holds("b1", "w1", 3)]);
    for device in ["phone", "tablet"] {
        facts.extend([shows(device, "a2", "s1"), shows(device, "b1", "w1")]);
    }
    facts.push(Fact::Quiet);
    facts
}

fn judge(facts: Vec<Fact>) -> Vec<Promise> {
    let history = History::of(facts).unwrap();
    // What is written can be read.
    let again = History::parse(&history.to_lines()).unwrap();
    assert_eq!(again.facts, history.facts);
    let violations = check(&again);
    let mut promises: Vec<Promise> = violations.iter().map(|violation| violation.promise).collect();
    promises.dedup();
    promises
}

/// The good history, changed.
fn with(change: impl FnOnce(&mut Vec<Fact>)) -> Vec<Promise> {
    let mut facts = good();
    change(&mut facts);
    judge(facts)
}

fn without(facts: &mut Vec<Fact>, gone: impl Fn(&Fact) -> bool) {
    let before = facts.len();
    facts.retain(|fact| !gone(fact));
    assert!(facts.len() < before, "there was nothing to take out");
}

/// Nothing is known of the server but its log.
fn without_end(facts: &mut Vec<Fact>) {
    without(facts, |fact| {
        matches!(fact, Fact::Holds { .. } | Fact::Shows { .. } | Fact::Quiet)
    });
}

#[test]
fn a_good_history_passes() {
    assert_eq!(judge(good()), []);
}

#[test]
fn a_write_that_returned_and_is_nowhere_is_lost() {
    let lost = |facts: &mut Vec<Fact>| {
        without_end(facts);
        facts.extend(wrote("a4", "phone", "w2", &[]));
    };
    assert_eq!(with(lost), [Promise::Kept]);
    let excuses: [Vec<Fact>; 6] = [
        vec![unsent("phone", "a4", "w2", "behind_parked")],
        vec![applied("a4", "w2", 1)],
        vec![told("a4", Outcome::Discarded)],
        wrote("a5", "phone", "w2", &[])
            .into_iter()
            .chain([applied("a5", "w2", 1)])
            .collect(),
        vec![Fact::Wiped {
            user: "ann".to_owned(),
            device: "phone".to_owned(),
        }],
        vec![Fact::History {
            user: "ann".to_owned(),
            device: "phone".to_owned(),
            key: key("w2"),
            write: Some("a4".to_owned()),
        }],
    ];
    for excuse in excuses {
        let kept = |facts: &mut Vec<Fact>| {
            lost(facts);
            facts.extend(excuse.clone());
        };
        assert_eq!(with(kept), [], "{excuse:?}");
    }
}

#[test]
fn what_is_written_after_a_wipe_is_kept_again() {
    let after = |facts: &mut Vec<Fact>| {
        without_end(facts);
        facts.push(Fact::Wiped {
            user: "ann".to_owned(),
            device: "phone".to_owned(),
        });
        facts.extend(wrote("a4", "phone", "w2", &[]));
    };
    assert_eq!(with(after), [Promise::Kept]);
}

#[test]
fn a_write_of_which_nobody_knows_whether_it_returned_may_be_there_or_not() {
    assert_eq!(with(|facts| facts.push(tried("a4", "phone", "w2", &[]))), []);
    let arrived = |facts: &mut Vec<Fact>| {
        facts.insert(0, tried("a4", "phone", "w2", &[]));
        facts.push(Fact::Applied(Applied {
            user: "ann".to_owned(),
            key: key("w2"),
            op: "nobody was told".to_owned(),
            version: Some(1),
            write: Some("a4".to_owned()),
            ..Applied::default()
        }));
        facts.extend([
            holds("a4", "w2", 1),
            shows("phone", "a4", "w2"),
            shows("tablet", "a4", "w2"),
        ]);
    };
    assert_eq!(with(arrived), []);
}

#[test]
fn a_deletion_that_returned_and_is_nowhere_is_lost() {
    let deleted = |facts: &mut Vec<Fact>| {
        facts.push(Fact::Tried {
            write: "a4".to_owned(),
            user: "ann".to_owned(),
            device: "phone".to_owned(),
            key: key("w1"),
            deletes: true,
            saw: vec!["b1".to_owned()],
        });
        facts.push(returned("a4"));
    };
    assert_eq!(with(deleted), [Promise::Kept], "the record is still shown");
    let stands = |facts: &mut Vec<Fact>| {
        deleted(facts);
        facts.push(Fact::Unsent {
            user: "ann".to_owned(),
            device: "phone".to_owned(),
            key: key("w1"),
            write: None,
            why: "behind_parked".to_owned(),
        });
    };
    assert_eq!(with(stands), []);
}

fn deleted(write: &str, device: &str, id: &str, saw: &[&str]) -> [Fact; 2] {
    let mut deletion = tried(write, device, id, saw);
    if let Fact::Tried { deletes, .. } = &mut deletion {
        *deletes = true;
    }
    [deletion, returned(write)]
}

#[test]
fn a_deletion_of_what_never_arrived_need_not_travel_and_one_of_what_arrived_must() {
    let story = |arrived: bool| {
        move |facts: &mut Vec<Fact>| {
            facts.extend(wrote("a4", "phone", "w2", &[]));
            facts.extend(deleted("a5", "phone", "w2", &["a4"]));
            facts.extend(wrote("b4", "tablet", "w2", if arrived { &["a4"] } else { &[] }));
            facts.extend(arrived.then(|| applied("a4", "w2", 1)));
            facts.push(Fact::History {
                user: "ann".to_owned(),
                device: "phone".to_owned(),
                key: key("w2"),
                write: Some("a4".to_owned()),
            });
            facts.push(applied("b4", "w2", 1 + i64::from(arrived)));
            facts.push(holds("b4", "w2", 1 + i64::from(arrived)));
            facts.extend([shows("phone", "b4", "w2"), shows("tablet", "b4", "w2")]);
        }
    };
    assert_eq!(with(story(false)), []);
    assert_eq!(
        with(story(true)),
        [Promise::Kept],
        "the other device did not know of the deletion"
    );
}

#[test]
fn a_deletion_may_be_undone_by_a_restore_after_it_and_by_a_full_disk_that_took_its_trace() {
    let gone = |facts: &mut Vec<Fact>| facts.extend(deleted("a4", "phone", "w1", &["b1"]));
    assert_eq!(with(gone), [Promise::Kept]);
    let excuses = [
        Fact::Restored,
        Fact::PrunedDeletion {
            user: "ann".to_owned(),
            key: key("w1"),
        },
    ];
    for excuse in excuses {
        let after = |facts: &mut Vec<Fact>| {
            gone(facts);
            facts.push(excuse.clone());
        };
        assert_eq!(with(after), [], "{excuse:?}");
    }
    let before = |facts: &mut Vec<Fact>| {
        facts.push(Fact::Restored);
        gone(facts);
    };
    assert_eq!(
        with(before),
        [],
        "what it deleted is older than the restore, and was given again"
    );
    let between = |facts: &mut Vec<Fact>| {
        facts.insert(1, Fact::Restored);
        gone(facts);
    };
    assert_eq!(
        with(between),
        [Promise::Kept],
        "what is shown was written after the restore"
    );
}

#[test]
fn a_deletion_is_undone_by_a_restore_where_what_was_given_again_went_on_without_knowing_of_it() {
    let story = |went_on: bool| {
        move |facts: &mut Vec<Fact>| {
            without_end(facts);
            facts.push(Fact::Restored);
            facts.extend(deleted("a4", "phone", "w1", &["b1"]));
            let (device, saw): (_, &[&str]) = if went_on { ("tablet", &["b1"]) } else { ("laptop", &[]) };
            facts.extend(wrote("b2", device, "w1", saw));
            facts.extend([applied("b2", "w1", 4), holds("a2", "s1", 1), holds("b2", "w1", 4)]);
            for device in ["phone", "tablet"] {
                facts.extend([shows(device, "a2", "s1"), shows(device, "b2", "w1")]);
            }
        }
    };
    assert_eq!(with(story(true)), []);
    assert!(with(story(false)).contains(&Promise::Kept), "nobody gave it again");
}

#[test]
fn who_was_wiped_deletes_what_was_written_there_since_and_nothing_older() {
    let story = |wiped: bool| {
        move |facts: &mut Vec<Fact>| {
            facts.extend(wiped.then(|| Fact::Wiped {
                user: "ann".to_owned(),
                device: "phone".to_owned(),
            }));
            facts.extend(wrote("a4", "phone", "w1", &[]));
            facts.extend(deleted("a5", "phone", "w1", &["a4"]));
            facts.push(Fact::History {
                user: "ann".to_owned(),
                device: "phone".to_owned(),
                key: key("w1"),
                write: Some("a4".to_owned()),
            });
        }
    };
    assert_eq!(with(story(true)), []);
    assert_eq!(with(story(false)), [Promise::Kept]);
}

#[test]
fn what_is_brought_back_after_a_deletion_begins_its_order_anew() {
    let back = |deletes: bool| {
        move |facts: &mut Vec<Fact>| {
            without_end(facts);
            for (op, write, deletes) in [("op-x", None, true), ("op-y", Some("a1"), false)] {
                facts.push(Fact::Applied(Applied {
                    user: "ann".to_owned(),
                    key: key("w1"),
                    op: op.to_owned(),
                    write: write.map(str::to_owned),
                    deletes,
                    ..Applied::default()
                }));
            }
            facts.retain(|fact| deletes || !matches!(fact, Fact::Applied(line) if line.op == "op-x"));
            facts.push(Fact::History {
                user: "ann".to_owned(),
                device: "phone".to_owned(),
                key: key("w1"),
                write: Some("b1".to_owned()),
            });
        }
    };
    assert_eq!(with(back(true)), []);
    assert_eq!(with(back(false)), [Promise::Once, Promise::InOrder]);
}

#[test]
fn what_a_collection_or_an_app_does_not_take_in_is_not_missed_there() {
    let stat = |id: &str| Key::new("stat", id);
    let story = |pulled: bool| {
        move |facts: &mut Vec<Fact>| {
            facts.push(Fact::Collection {
                name: "stat".to_owned(),
                parent: None,
                merges: false,
                sent: true,
                pulled,
            });
            facts.push(Fact::Holds {
                user: "ann".to_owned(),
                key: stat("t1"),
                version: None,
                write: None,
                body: Some(json!({})),
            });
        }
    };
    assert_eq!(with(story(true)), [Promise::Converged]);
    assert_eq!(with(story(false)), []);
    let old = |devices: &'static [&str]| {
        move |facts: &mut Vec<Fact>| {
            story(true)(facts);
            facts.extend(devices.iter().map(|device| Fact::Unregistered {
                user: "ann".to_owned(),
                device: (*device).to_owned(),
                collection: "stat".to_owned(),
            }));
        }
    };
    assert_eq!(with(old(&["phone"])), [Promise::Converged], "the tablet's app knows it");
    assert_eq!(with(old(&["phone", "tablet"])), []);
    let local = |shown: bool| {
        move |facts: &mut Vec<Fact>| {
            facts.push(Fact::Collection {
                name: "stat".to_owned(),
                parent: None,
                merges: false,
                sent: false,
                pulled: false,
            });
            let mut try_it = tried("a4", "phone", "t1", &[]);
            let mut show = shows("phone", "a4", "t1");
            if let (Fact::Tried { key, .. }, Fact::Shows { key: shown, .. }) = (&mut try_it, &mut show) {
                (*key, *shown) = (stat("t1"), stat("t1"));
            }
            facts.extend([try_it, returned("a4")]);
            facts.extend(shown.then_some(show));
        }
    };
    assert_eq!(with(local(true)), [], "what stays on its device is kept there");
    assert_eq!(with(local(false)), [Promise::Kept]);
}

#[test]
fn a_write_told_to_be_accepted_that_the_server_never_applied_is_lost() {
    let told = |facts: &mut Vec<Fact>| {
        facts.extend(wrote("a4", "phone", "w2", &[]));
        facts.push(told("a4", Outcome::Accepted));
        facts.push(unsent("phone", "a4", "w2", "behind_parked"));
    };
    assert_eq!(with(told), [Promise::Kept]);
}

#[test]
fn what_is_applied_twice_or_written_by_nobody_is_doubled() {
    let again = |facts: &mut Vec<Fact>| {
        without_end(facts);
        facts.push(applied("b1", "w1", 4));
    };
    assert_eq!(with(again), [Promise::Once]);
    let under_another_id = |facts: &mut Vec<Fact>| {
        without_end(facts);
        facts.push(Fact::Applied(Applied {
            user: "ann".to_owned(),
            key: key("w1"),
            op: "another".to_owned(),
            version: Some(4),
            write: Some("b1".to_owned()),
            ..Applied::default()
        }));
    };
    assert_eq!(with(under_another_id), [Promise::Once]);
    let gap = |facts: &mut Vec<Fact>| {
        without_end(facts);
        facts.extend(wrote("b2", "tablet", "w1", &[]));
        facts.push(applied("b2", "w1", 5));
    };
    assert_eq!(with(gap), [Promise::Once], "a version that no line of the log made");
    let nobodys = |facts: &mut Vec<Fact>| {
        without_end(facts);
        facts.push(Fact::Applied(Applied {
            user: "ann".to_owned(),
            key: key("w9"),
            op: "another".to_owned(),
            version: Some(1),
            write: Some("z1".to_owned()),
            ..Applied::default()
        }));
    };
    assert_eq!(with(nobodys), [Promise::Once]);
    let failed = |facts: &mut Vec<Fact>| {
        without_end(facts);
        facts.push(Fact::Failed { write: "b1".to_owned() });
    };
    assert_eq!(with(failed), [Promise::Once]);
}

#[test]
fn what_was_deleted_may_be_brought_back_as_it_was() {
    let back = |deleted: bool| {
        move |facts: &mut Vec<Fact>| {
            without_end(facts);
            for (op, deletes) in [("delete", true), ("again", false)]
                .into_iter()
                .filter(|(_, is)| deleted || !is)
            {
                facts.push(Fact::Applied(Applied {
                    user: "ann".to_owned(),
                    key: key("w1"),
                    op: op.to_owned(),
                    write: (!deletes).then(|| "b1".to_owned()),
                    deletes,
                    ..Applied::default()
                }));
            }
            facts.push(Fact::History {
                user: "ann".to_owned(),
                device: "phone".to_owned(),
                key: key("w1"),
                write: Some("b1".to_owned()),
            });
        }
    };
    assert_eq!(with(back(true)), []);
    assert_eq!(with(back(false)), [Promise::Once]);
}

#[test]
fn writes_of_one_device_that_change_places_are_out_of_order() {
    let turned = |facts: &mut Vec<Fact>| {
        without_end(facts);
        without(
            facts,
            |fact| matches!(fact, Fact::Applied(line) if line.key == key("w1")),
        );
        without(facts, |fact| matches!(fact, Fact::Told { .. }));
        facts.extend([applied("a3", "w1", 1), applied("a1", "w1", 2), applied("b1", "w1", 3)]);
        facts.push(Fact::History {
            user: "ann".to_owned(),
            device: "phone".to_owned(),
            key: key("w1"),
            write: Some("a3".to_owned()),
        });
    };
    // The set came before, in this log.
    assert_eq!(with(turned), [Promise::InOrder, Promise::ParentFirst]);
}

#[test]
fn a_child_before_its_parent_is_seen() {
    let early = |facts: &mut Vec<Fact>| {
        let at = facts.iter().position(|fact| *fact == applied("a2", "s1", 1)).unwrap();
        let child = facts.remove(at);
        facts.insert(at - 1, child);
    };
    assert_eq!(with(early), [Promise::ParentFirst]);
    let restored = |facts: &mut Vec<Fact>| {
        early(facts);
        facts.push(Fact::Restored);
    };
    assert_eq!(with(restored), [], "the server lost it, the devices did not");
}

#[test]
fn a_version_that_nobody_saw_and_nothing_keeps_is_overwritten_unseen() {
    let blind = |facts: &mut Vec<Fact>| {
        for fact in facts.iter_mut() {
            if let Fact::Tried { write, saw, .. } = fact
                && write == "b1"
            {
                *saw = vec!["a1".to_owned()];
            }
        }
    };
    // Nothing is left of it, so it is lost as well.
    assert_eq!(with(blind), [Promise::NotOverwrittenUnseen]);
    let kept: [Fact; 3] = [
        Fact::History {
            user: "ann".to_owned(),
            device: "tablet".to_owned(),
            key: key("w1"),
            write: Some("a3".to_owned()),
        },
        Fact::ConflictShown {
            device: "tablet".to_owned(),
            key: key("w1"),
            writes: vec!["a3".to_owned(), "b1".to_owned()],
        },
        Fact::Resolved {
            kept: "b1".to_owned(),
            dropped: vec!["a3".to_owned()],
        },
    ];
    for kept in kept {
        let known = |facts: &mut Vec<Fact>| {
            blind(facts);
            facts.push(kept.clone());
        };
        assert_eq!(with(known), [], "{kept:?}");
    }
}

#[test]
fn what_is_met_in_another_account_is_leaked() {
    let bob = "bob".to_owned();
    let leaks: [Fact; 3] = [
        Fact::Shows {
            user: bob.clone(),
            device: "phone".to_owned(),
            key: key("w1"),
            write: Some("a1".to_owned()),
            body: None,
        },
        Fact::Unsent {
            user: bob.clone(),
            device: "phone".to_owned(),
            key: key("w1"),
            write: Some("a1".to_owned()),
            why: "offline".to_owned(),
        },
        Fact::Holds {
            user: bob,
            key: key("w1"),
            version: None,
            write: Some("a1".to_owned()),
            body: None,
        },
    ];
    for leak in leaks {
        assert_eq!(with(|facts| facts.push(leak.clone())), [Promise::MineOnly], "{leak:?}");
    }
}

#[test]
fn devices_that_show_something_else_in_a_quiet_end_have_not_converged() {
    let show = |device: &str, write: &str| {
        let (device, write) = (device.to_owned(), write.to_owned());
        move |facts: &mut Vec<Fact>| {
            without(facts, |fact| *fact == shows(&device, "b1", "w1"));
            facts.push(shows(&device, &write, "w1"));
        }
    };
    assert_eq!(with(show("phone", "a3")), [Promise::Converged], "another version");
    let missing = |facts: &mut Vec<Fact>| without(facts, |fact| *fact == shows("phone", "b1", "w1"));
    assert_eq!(with(missing), [Promise::Converged]);
    let more = |facts: &mut Vec<Fact>| facts.push(shows("phone", "a1", "w7"));
    assert_eq!(with(more), [Promise::Converged]);
    let parked = |facts: &mut Vec<Fact>| {
        show("phone", "a3")(facts);
        facts.push(unsent("phone", "a3", "w1", "validation"));
    };
    assert_eq!(with(parked), [], "what is parked there may differ there");
    let early = |facts: &mut Vec<Fact>| {
        show("phone", "a3")(facts);
        without(facts, |fact| *fact == Fact::Quiet);
    };
    assert_eq!(with(early), [], "there was no time yet");
}

#[test]
fn what_is_unsent_in_a_quiet_end_says_why() {
    for why in ["", "ready", "unanswered"] {
        let stuck = |facts: &mut Vec<Fact>| {
            facts.extend(wrote("a4", "phone", "w2", &[]));
            facts.push(unsent("phone", "a4", "w2", why));
        };
        assert_eq!(with(stuck), [Promise::NeverStuckInSilence], "{why:?}");
    }
}

#[test]
fn a_history_that_makes_no_sense_is_not_judged() {
    assert!(History::of([returned("a1")]).is_err(), "never tried");
    assert!(History::of([tried("a1", "phone", "w1", &[]), tried("a1", "phone", "w1", &[])]).is_err());
    assert!(History::parse("{\"fact\":\"nonsense\"}").is_err());
    assert!(History::parse("\n\n").unwrap().facts.is_empty());
}
