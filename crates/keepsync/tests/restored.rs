//! A server that was restored or reset: what goes again, under which ids, and what is shown meanwhile.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    conflict::{self, Resolution},
    drain::{Answer, Request, Step, carry_out},
    queue::EntryState,
    remote::{Accepted, Fault, Outcome, PullPage, PushAnswer, PushItem, RemoteChange, RemoteVersion},
    settings::Settings,
};
use keepsync_wire::Operation;
use std::sync::atomic::Ordering::Relaxed;
use uuid::Uuid;

/// A server in the hands of a test: its epoch, where it branched off, and its records.
struct Server {
    epoch: &'static str,
    branch: Option<(String, i64)>,
    changes: Vec<RemoteChange>,
}

impl Server {
    fn new(epoch: &'static str) -> Self {
        Self {
            epoch,
            branch: None,
            changes: Vec::new(),
        }
    }

    /// Begins another life, with these records.
    fn restored(epoch: &'static str, parent: &str, change: i64, changes: Vec<RemoteChange>) -> Self {
        Self {
            epoch,
            branch: Some((parent.to_owned(), change)),
            changes,
        }
    }

    /// One pass; the pull gives everything once per cursor from the start.
    fn sync(&self, device: &mut Device, mut push: impl FnMut(&PushItem) -> Outcome) {
        device.sync(|request| {
            Some(match request {
                Request::Pull(pull) => {
                    let afresh = pull.epoch.as_deref() != Some(self.epoch) || pull.cursors[0].1.is_none();
                    Answer::Pulled(Ok(PullPage {
                        epoch: Some(self.epoch.to_owned()),
                        branch: self.branch.clone(),
                        changes: if afresh { self.changes.clone() } else { Vec::new() },
                        cursors: pull
                            .cursors
                            .iter()
                            .map(|(name, _)| (name.clone(), "1".to_owned()))
                            .collect(),
                        ..PullPage::default()
                    }))
                }
                Request::Push(batch) => Answer::Pushed(Ok(PushAnswer {
                    results: batch.items.iter().map(|item| (item.op, push(item))).collect(),
                    server_time: None,
                    epoch: Some(self.epoch.to_owned()),
                })),
                other => well(other),
            })
        });
    }
}

fn made_by(op: Uuid, version: RemoteVersion) -> RemoteVersion {
    RemoteVersion {
        op: Some(op),
        ..version
    }
}

fn accepted_as(version: i64, change: i64) -> Outcome {
    Outcome::Accepted(Accepted {
        version,
        change,
        ..Accepted::default()
    })
}

const OTHERS: Uuid = Uuid::from_u128(0xabc);

#[test]
fn an_item_names_the_operation_that_made_its_base_pulled_or_accepted() {
    let mut device = Device::new();
    let pulled = made_by(OTHERS, version(4, Some(r#"{"n":1}"#), 0));
    device.pull_only(vec![change("workout", "pulled", pulled)]);
    device.put("workout", "pulled", r#"{"n":2}"#);
    let created = device.put("workout", "own", r#"{"n":1}"#).unwrap();
    let mut bases = Vec::new();
    let mut note = |item: &PushItem| {
        bases.push((item.id.clone(), item.base_version, item.base_id));
        accepted(item.base_version + 1)
    };
    device.push(|item| Some(note(item)));
    device.put("workout", "own", r#"{"n":2}"#);
    device.push(|item| Some(note(item)));
    let expected = [("pulled", 4, Some(OTHERS)), ("own", 0, None), ("own", 1, Some(created))];
    assert_eq!(
        bases,
        expected.map(|(id, version, base)| (id.to_owned(), version, base))
    );
}

#[test]
fn what_met_another_version_names_the_id_that_was_refused_until_its_content_changes() {
    let mut device = Device::new();
    let first = device.put("profile", "p", r#"{"n":1}"#).unwrap();
    let theirs = made_by(OTHERS, version(3, Some(r#"{"n":9}"#), -1_000));
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push((item.op, item.earlier.clone()));
        Some(match item.base_id {
            None => Outcome::Conflict(theirs.clone()),
            Some(_) => rejected("validation"),
        })
    });
    let second = sent[1].0;
    // A backend that is restored to before the other version may apply the first one late.
    assert_eq!(sent, [(first, vec![]), (second, vec![first])]);
    assert_ne!(second, first);

    device.put("profile", "p", r#"{"n":2}"#);
    sent.clear();
    device.push(|item| {
        sent.push((item.op, item.earlier.clone()));
        Some(accepted(4))
    });
    assert_eq!(sent.len(), 1);
    assert_ne!(sent[0].0, second);
    assert_eq!(
        sent[0].1,
        [] as [Uuid; 0],
        "an answer to the old content is no answer to the new"
    );
}

#[test]
fn what_meets_another_version_after_a_restore_names_the_ids_it_had_before() {
    let mut device = Device::new();
    let first = device.put("profile", "p", r#"{"n":1}"#).unwrap();
    let server = Server::new("e1");
    server.sync(&mut device, |_| accepted_as(1, 7));

    let theirs = change("profile", "p", made_by(OTHERS, version(3, Some(r#"{"n":9}"#), -1_000)));
    let restored = Server::restored("e2", "e1", 5, vec![theirs.clone()]);
    let mut sent = Vec::new();
    restored.sync(&mut device, |item| {
        sent.push((item.op, item.earlier.clone(), item.base_version, item.base_id));
        match item.base_id {
            Some(OTHERS) => accepted_as(4, 9),
            _ => Outcome::Conflict(theirs.version.clone()),
        }
    });
    assert_eq!(
        sent[0],
        (first, vec![first], 0, None),
        "under its old id, as it went then"
    );
    let (second, earlier, base, base_id) = sent[1].clone();
    assert_ne!(second, first);
    assert_eq!((earlier, base, base_id), (vec![first], 3, Some(OTHERS)));

    // Once more, to a state of the first epoch that has the first attempt in it, below another write.
    let above = change("profile", "p", made_by(OTHERS, version(2, Some(r#"{"n":8}"#), -1_000)));
    let mut sent = Vec::new();
    Server::restored("e3", "e1", 8, vec![above]).sync(&mut device, |item| {
        sent.push((item.op, item.earlier.clone()));
        accepted_as(1, 7)
    });
    assert_eq!(sent, [(second, vec![first, second])]);
    assert_eq!(
        device.body("profile", "p").as_deref(),
        Some(r#"{"n":8}"#),
        "it was overwritten there"
    );
}

#[test]
fn a_changed_body_is_another_write_and_forgets_the_ids_of_the_one_before() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    Server::new("e1").sync(&mut device, |_| accepted_as(1, 7));
    let restored = Server::restored("e2", "e1", 5, Vec::new());
    restored.sync(&mut device, |_| Outcome::Rejected {
        code: "validation".to_owned(),
        message: String::new(),
    });
    assert_eq!(device.entries()[0].state, EntryState::Parked);
    device.put("workout", "w", r#"{"n":2}"#);
    let mut sent = Vec::new();
    restored.sync(&mut device, |item| {
        sent.push((item.body.clone(), item.earlier.clone()));
        accepted_as(1, 6)
    });
    assert_eq!(sent, [(Some(r#"{"n":2}"#.to_owned()), Vec::new())]);
}

#[test]
fn an_edit_pending_on_a_lost_version_goes_on_from_nothing_once_the_pull_says_so() {
    let mut device = Device::new();
    let pulled = made_by(OTHERS, version(4, Some(r#"{"n":1}"#), 0));
    let server = Server {
        changes: vec![change("profile", "p", pulled)],
        ..Server::new("e1")
    };
    server.sync(&mut device, |_| accepted_as(1, 1));
    device.put("profile", "p", r#"{"n":2}"#);
    let mut bases = Vec::new();
    Server::restored("e2", "e1", 0, Vec::new()).sync(&mut device, |item| {
        bases.push((item.base_version, item.base_id));
        accepted_as(1, 1)
    });
    assert_eq!(bases, [(0, None)], "it does not have to run into a conflict first");
    assert_eq!(device.body("profile", "p").as_deref(), Some(r#"{"n":2}"#));
}

#[test]
fn a_write_of_which_the_server_lost_even_the_creation_comes_again_under_every_policy() {
    for collection in ["workout", "profile", "exercise", "set_log"] {
        // The creation is too old for the journal.
        let settings = Settings {
            journal_count: 1,
            ..Settings::default()
        };
        let mut device = Device::named(1, None, settings);
        let body = |n: i64| format!(r#"{{"n":{n},"workout_id":"w"}}"#);
        device.put(collection, "r", &body(1));
        Server::new("e1").sync(&mut device, |_| accepted_as(1, 1));
        device.put(collection, "r", &body(2));
        Server::new("e1").sync(&mut device, |_| accepted_as(2, 2));
        Server::restored("e2", "e1", 0, Vec::new()).sync(&mut device, |item| match item.base_version {
            0 => accepted_as(1, 1),
            _ => Outcome::Conflict(RemoteVersion::default()),
        });
        assert_eq!(device.body(collection, "r"), Some(body(2)), "{collection}");
        assert!(device.entries().is_empty(), "{collection}");
        assert!(
            device.db.read(|read| read.conflicts()).unwrap().is_empty(),
            "{collection}"
        );
    }
}

#[test]
fn a_conflict_is_shown_anew_when_the_server_began_another_life() {
    let mut device = Device::new();
    let first = device.put("workout", "w", r#"{"n":1}"#).unwrap();
    let e1 = Server::new("e1");
    e1.sync(&mut device, |_| accepted_as(1, 7));
    device.put("workout", "w", r#"{"n":2}"#);
    let theirs = made_by(OTHERS, version(2, Some(r#"{"n":9}"#), 5));
    e1.sync(&mut device, |_| Outcome::Conflict(theirs.clone()));
    let shown = |device: &Device| {
        let conflicts = device.db.read(|read| read.conflicts()).unwrap();
        (
            conflicts[0].remote_version,
            conflicts[0].remote.clone(),
            conflicts[0].local.clone(),
        )
    };
    assert_eq!(shown(&device).0, 2);

    let older = made_by(Uuid::from_u128(5), version(1, Some(r#"{"n":5}"#), 1));
    let restored = Server::restored("e2", "e1", 3, vec![change("workout", "w", older)]);
    restored.sync(&mut device, |_| unreachable!("everything of the record is in conflict"));
    let local = Some(r#"{"n":2}"#.to_owned());
    assert_eq!(shown(&device), (1, Some(r#"{"n":5}"#.to_owned()), local.clone()));
    assert!(device.entries().iter().all(|entry| entry.state == EntryState::Conflict));
    assert!(
        device.entries().iter().any(|entry| entry.op == first),
        "what was lost waits with it"
    );

    // A life without the record at all.
    let empty = Server::restored("e3", "e2", 0, Vec::new());
    let mut sent = Vec::new();
    empty.sync(&mut device, |item| {
        sent.push((item.operation, item.base_version, item.body.clone()));
        accepted_as(sent.len() as i64, sent.len() as i64)
    });
    let conflicts = device.db.read(|read| read.conflicts()).unwrap();
    assert_eq!(conflicts, [], "nobody wrote against it there");
    assert_eq!(
        (sent[0].0, sent[0].1),
        (Operation::Create, 0),
        "children wait for a creation only"
    );
    assert_eq!(sent.last().unwrap().2, local);
}

#[test]
fn a_decision_for_a_version_of_an_earlier_life_does_not_outlive_the_next_pull() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    let theirs = made_by(OTHERS, version(2, Some(r#"{"n":9}"#), 5));
    Server::new("e1").sync(&mut device, |_| Outcome::Conflict(theirs.clone()));
    let page = PullPage {
        epoch: Some("e2".to_owned()),
        ..PullPage::default()
    };
    carry_out(&mut device.db, Step::ApplyPage(page.clone()));
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "2", &Resolution::KeepRemote))
        .unwrap();
    carry_out(&mut device.db, Step::ApplyPage(page));
    assert_eq!(device.get("workout", "w"), None, "the server has no such record");
}

#[test]
fn what_a_restored_server_lost_of_others_is_kept_in_the_history() {
    let mut device = Device::new();
    let body = Some(r#"{"n":1}"#);
    let all = |ids: &[&str]| {
        ids.iter()
            .map(|id| change("workout", id, version(1, body, 0)))
            .collect()
    };
    let server = Server {
        changes: all(&["kept", "lost"]),
        ..Server::new("e1")
    };
    server.sync(&mut device, |_| accepted_as(1, 1));
    Server::restored("e2", "e1", 0, all(&["kept"])).sync(&mut device, |_| accepted_as(1, 1));
    assert_eq!(device.get("workout", "lost"), None);
    let history = |id: &str| device.db.read(|read| read.history("workout", id)).unwrap();
    assert_eq!(history("kept"), []);
    let lost = history("lost");
    assert_eq!(
        (lost[0].body.as_deref(), lost[0].reason.as_str()),
        (body, "lost_by_server")
    );
    assert_eq!(lost.len(), 1);
}

#[test]
fn a_backend_that_lists_everything_again_deletes_without_a_trace_in_the_history() {
    let mut device = Device::new();
    device.pull_only(vec![change("workout", "gone", version(1, Some("{}"), 0))]);
    let whole = PullPage {
        whole: vec!["workout".to_owned()],
        ..PullPage::default()
    };
    carry_out(&mut device.db, Step::ApplyPage(whole));
    assert_eq!(device.get("workout", "gone"), None);
    assert_eq!(device.db.read(|read| read.history("workout", "gone")).unwrap(), []);
}

#[test]
fn a_wrong_clock_does_not_age_the_journal_also_where_the_answer_was_lost() {
    let mut device = Device::new();
    let first = device.put("workout", "first", "{}").unwrap();
    let e1 = Server::new("e1");
    let answered = |item: &PushItem| {
        Outcome::Accepted(Accepted {
            version: 1,
            change: 7,
            updated_at: Some(START + item.seq),
            ..Accepted::default()
        })
    };
    e1.sync(&mut device, answered);
    // Years ahead, when the answer to the next write is lost and its version is pulled.
    device.env.wall_ms.fetch_add(5 * 365 * 86_400_000, Relaxed);
    let second = device.put("workout", "second", "{}").unwrap();
    device.sync(|request| {
        Some(match request {
            Request::Push(_) => Answer::Pushed(Err(keepsync::remote::Fault::Offline)),
            other => well(other),
        })
    });
    device.pull(vec![change(
        "workout",
        "second",
        made_by(second, version(1, Some("{}"), 10)),
    )]);
    device.put("workout", "third", "{}");
    e1.sync(&mut device, answered);
    let mut again = Vec::new();
    Server::restored("e2", "e1", 0, Vec::new()).sync(&mut device, |item| {
        again.push(item.op);
        accepted_as(1, 1)
    });
    assert_eq!(again[..2], [first, second]);
    assert_eq!(again.len(), 3);
}

#[test]
fn a_deletion_of_what_the_server_has_lost_leaves_nothing_behind() {
    let mut device = Device::new();
    let server = Server {
        changes: vec![change("profile", "p", version(4, Some("{}"), 0))],
        ..Server::new("e1")
    };
    server.sync(&mut device, |_| accepted_as(1, 1));
    device.delete("profile", "p");
    Server::restored("e2", "e1", 0, Vec::new()).sync(&mut device, |_| unreachable!("there is nothing to delete"));
    assert!(device.entries().is_empty());
    let bundle = device.db.read(|read| read.bundle()).unwrap();
    assert_eq!(bundle["records"], serde_json::json!({}));
}

/// A restored backend applies nothing that names no epoch; told its epoch, the device says it again at once.
#[test]
fn a_device_that_knows_no_epoch_yet_is_told_it_and_sends_again_in_the_same_pass() {
    let mut device = Device::new();
    let op = device.put("weight", "w", r#"{"kg":80}"#).unwrap();
    let mut asked = Vec::new();
    let mut pulls = 0;
    let report = device.sync(|request| {
        Some(match request {
            // Before the push it does not get through.
            Request::Pull(_) if asked.is_empty() => Answer::Pulled(Err(Fault::Server { status: 500 })),
            Request::Pull(_) => {
                pulls += 1;
                Answer::Pulled(Ok(PullPage {
                    epoch: Some("e2".to_owned()),
                    ..PullPage::default()
                }))
            }
            Request::Push(batch) => {
                let named = batch.epoch.is_some();
                asked.push((batch.epoch.clone(), batch.items[0].op));
                let results = batch.items.iter().filter(|_| named).map(|item| (item.op, accepted(1)));
                Answer::Pushed(Ok(PushAnswer {
                    results: results.collect(),
                    server_time: None,
                    epoch: Some("e2".to_owned()),
                }))
            }
            other => well(other),
        })
    });
    assert_eq!(asked, [(None, op), (Some("e2".to_owned()), op)], "under the same id");
    assert_eq!((report.accepted, pulls), (1, 1));
    assert!(device.entries().is_empty());
}

#[test]
fn what_was_pushed_and_never_pulled_gives_way_to_what_a_restored_server_has() {
    // A journal without room: nothing goes again.
    let mut device = Device::named(
        1,
        None,
        Settings {
            journal_bytes: 0,
            ..Settings::default()
        },
    );
    for id in ["replaced", "lost"] {
        device.put("weight", id, r#"{"kg":80}"#);
    }
    device.sync(|request| {
        Some(match request {
            Request::Pull(_) => Answer::Pulled(Err(Fault::Server { status: 500 })),
            Request::Push(batch) => Answer::Pushed(Ok(PushAnswer {
                results: batch.items.iter().map(|item| (item.op, accepted_as(1, 7))).collect(),
                server_time: None,
                epoch: Some("e1".to_owned()),
            })),
            other => well(other),
        })
    });
    let theirs = change("weight", "replaced", version(1, Some(r#"{"kg":81}"#), 0));
    Server::restored("e2", "e1", 0, vec![theirs]).sync(&mut device, |_| unreachable!("nothing is unsent"));
    assert_eq!(device.body("weight", "replaced").as_deref(), Some(r#"{"kg":81}"#));
    assert_eq!(device.get("weight", "lost"), None);
}
