//! The model server against the contract.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use keepsync_sim::server::{ModelServer, refuses_bad};
use keepsync_wire::{
    Cursor, Hlc, Operation, PullRequest, PullResponse, SyncItem, SyncRequest, SyncResult, SyncStatus, code,
};
use serde_json::value::RawValue;
use uuid::Uuid;

fn item(op: u128, id: &str, operation: Operation, version: i64, body: Option<&str>) -> SyncItem {
    SyncItem {
        op_id: Uuid::from_u128(op),
        entity_type: "note".to_owned(),
        entity_id: id.to_owned(),
        operation,
        data: body.map(|body| RawValue::from_string(body.to_owned()).unwrap()),
        version,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        timestamp: 0,
        hlc: Hlc::at(1_000 + version),
        clocks: None,
    }
}

fn create(op: u128, id: &str, body: &str) -> SyncItem {
    item(op, id, Operation::Create, 0, Some(body))
}

fn update(op: u128, id: &str, version: i64, body: &str) -> SyncItem {
    item(op, id, Operation::Update, version, Some(body))
}

fn request(items: Vec<SyncItem>) -> SyncRequest {
    SyncRequest {
        user_id: "ann".to_owned(),
        device_id: "phone".to_owned(),
        device_label: Some("Phone".to_owned()),
        epoch: None,
        items,
    }
}

fn push(server: &mut ModelServer, items: Vec<SyncItem>) -> Vec<SyncResult> {
    server.sync("ann", &request(items), 5).unwrap().results
}

fn pull(server: &ModelServer, cursor: Option<&str>, limit: u32) -> PullResponse {
    let asked = PullRequest {
        user_id: "ann".to_owned(),
        device_id: "tablet".to_owned(),
        epoch: None,
        collections: vec![Cursor {
            collection: "note".to_owned(),
            cursor: cursor.map(str::to_owned),
            ..Cursor::default()
        }],
        limit,
    };
    server.pull("ann", &asked, 6).unwrap()
}

fn code(result: &SyncResult) -> Option<&str> {
    result.code.as_deref()
}

#[test]
fn a_repeat_gets_the_first_answer_and_another_content_is_refused() {
    let mut server = ModelServer::new();
    let first = push(&mut server, vec![create(1, "n", "{}")]);
    assert_eq!(
        (first[0].status, first[0].server_version, first[0].change),
        (SyncStatus::Success, 1, 1)
    );
    push(&mut server, vec![update(2, "n", 1, "{\"a\":1}")]);
    let again = push(&mut server, vec![create(1, "n", "{}")]);
    assert_eq!(
        (again[0].status, again[0].server_version, again[0].change),
        (SyncStatus::Success, 1, 1)
    );
    let other = push(&mut server, vec![create(1, "n", "{\"b\":1}")]);
    assert_eq!(code(&other[0]), Some(code::OP_REUSED));
    assert_eq!(server.account("ann").unwrap().log().len(), 2);
}

#[test]
fn a_base_that_is_not_current_is_a_conflict_with_the_whole_version() {
    let mut server = ModelServer::new();
    push(&mut server, vec![create(1, "n", "{\"a\":1}")]);
    let met = push(&mut server, vec![create(2, "n", "{\"a\":2}")]);
    let version = met[0].server.as_ref().unwrap();
    assert_eq!(met[0].status, SyncStatus::Conflict);
    assert_eq!(
        (version.version, version.op_id, &*version.device_id),
        (1, Some(Uuid::from_u128(1)), "phone")
    );
    assert_eq!(version.device_label.as_deref(), Some("Phone"));
    let gone = push(&mut server, vec![update(3, "other", 4, "{}")]);
    let nothing = gone[0].server.as_ref().unwrap();
    assert_eq!((nothing.version, nothing.data.is_none()), (0, true));
}

#[test]
fn what_follows_something_that_was_not_applied_is_blocked_and_a_chain_goes_through() {
    let mut server = ModelServer::with(refuses_bad);
    let mut chained = update(2, "n", 0, "{\"a\":2}");
    chained.base_op = Some(Uuid::from_u128(1));
    chained.after = vec![Uuid::from_u128(1)];
    let refused = push(&mut server, vec![create(1, "n", "{\"bad\":true}"), chained.clone()]);
    assert_eq!(
        (code(&refused[0]), code(&refused[1])),
        (Some(code::VALIDATION), Some(code::BLOCKED))
    );
    // A refusal is not remembered: the same id may come again.
    let good = push(&mut server, vec![create(1, "n", "{}"), chained]);
    assert_eq!((good[0].server_version, good[1].server_version), (1, 2));
}

#[test]
fn a_pull_from_the_start_brings_the_latest_first_and_what_is_new_in_between() {
    let mut server = ModelServer::new();
    push(
        &mut server,
        vec![
            create(1, "z", "{}"),
            create(2, "a", "{}"),
            create(3, "b", "{}"),
            create(4, "c", "{}"),
            update(5, "a", 1, "{}"),
        ],
    );
    let brought = |page: &PullResponse| -> String { page.changes.iter().map(|change| &*change.id).collect() };
    let cursor = |page: &PullResponse| page.cursors[0].cursor.clone().unwrap();
    let first = pull(&server, None, 2);
    assert_eq!((brought(&first), cursor(&first)), ("ac".to_owned(), "5<4".to_owned()));
    assert_eq!(
        (first.has_more, first.remaining, first.cursors[0].remaining),
        (true, Some(2), Some(2))
    );
    // A record that was given changes, one that was not does, and one is made.
    let meanwhile = vec![update(6, "a", 2, "{}"), update(7, "b", 1, "{}"), create(8, "d", "{}")];
    push(&mut server, meanwhile);
    let second = pull(&server, Some("5<4"), 2);
    assert_eq!((brought(&second), cursor(&second)), ("ab".to_owned(), "7<4".to_owned()));
    assert_eq!(second.remaining, Some(2));
    let third = pull(&server, Some("7<4"), 2);
    assert_eq!((brought(&third), cursor(&third)), ("dz".to_owned(), "8".to_owned()));
    assert!(!third.has_more);
    let last = pull(&server, Some("8"), 2);
    assert!(last.changes.is_empty() && last.cursors.is_empty(), "nothing moved");
}

#[test]
fn the_backfill_takes_collections_of_higher_priority_first() {
    let mut server = ModelServer::new();
    for n in 0..6_u128 {
        let mut made = create(n + 1, &format!("r{n}"), "{}");
        made.entity_type = if n % 2 == 0 { "workout" } else { "statistic" }.to_owned();
        push(&mut server, vec![made]);
    }
    let wanted = |name: &str, priority| Cursor {
        collection: name.to_owned(),
        priority,
        ..Cursor::default()
    };
    let mut asked = PullRequest {
        user_id: "ann".to_owned(),
        device_id: "tablet".to_owned(),
        epoch: None,
        collections: vec![wanted("statistic", 0), wanted("workout", 10)],
        limit: 2,
    };
    let mut given = Vec::new();
    loop {
        let page = server.pull("ann", &asked, 6).unwrap();
        given.extend(page.changes.iter().map(|change| change.id.clone()));
        for at in page.cursors {
            let wanted = asked.collections.iter_mut().find(|it| it.collection == at.collection);
            wanted.unwrap().cursor = at.cursor;
        }
        if !page.has_more {
            break;
        }
    }
    assert_eq!(given, ["r4", "r2", "r0", "r5", "r3", "r1"]);
}

#[test]
fn tombstones_come_to_those_who_had_the_record() {
    let mut server = ModelServer::new();
    push(&mut server, vec![create(1, "a", "{}")]);
    push(&mut server, vec![item(2, "a", Operation::Delete, 1, None)]);
    let had = pull(&server, Some("1"), 10);
    assert_eq!(
        (had.changes[0].current.version, had.changes[0].current.data.is_none()),
        (2, true)
    );
    let new = pull(&server, None, 10);
    assert!(new.changes.is_empty());
    assert_eq!(new.cursors[0].cursor.as_deref(), Some("2"), "and later ones will come");
}

#[test]
fn a_restore_begins_an_epoch_that_names_its_branch() {
    let mut server = ModelServer::new();
    push(&mut server, vec![create(1, "a", "{}")]);
    let backup = server.snapshot();
    push(&mut server, vec![create(2, "b", "{}")]);
    let before = server.epoch();
    server.restore(&backup);
    let page = pull(&server, Some("2"), 10);
    let branch = page.branch.unwrap();
    assert_eq!((branch.parent.as_str(), branch.change), (before.as_str(), 1));
    assert_ne!(page.epoch, before);
    // What counts in the old epoch applies nothing, and is told the new one.
    let old = SyncRequest {
        epoch: Some(before.clone()),
        ..request(vec![create(3, "c", "{}")])
    };
    let answer = server.sync("ann", &old, 5).unwrap();
    assert!(answer.results.is_empty() && answer.epoch == page.epoch);
    let asked = PullRequest {
        user_id: "ann".to_owned(),
        device_id: "tablet".to_owned(),
        epoch: Some(before),
        collections: vec![Cursor {
            collection: "note".to_owned(),
            cursor: Some("2".to_owned()),
            ..Cursor::default()
        }],
        limit: 10,
    };
    assert_eq!(
        server.pull("ann", &asked, 6).unwrap().changes.len(),
        1,
        "from the start"
    );
    // Answers of before the backup are remembered, later ones are not.
    let again = SyncRequest {
        epoch: Some(page.epoch),
        ..request(vec![create(1, "a", "{}"), create(2, "b", "{}")])
    };
    let again = server.sync("ann", &again, 5).unwrap().results;
    assert_eq!((again[0].change, again[1].change), (1, 2));
}

/// Found by the model of the protocol: a device's first request, which names no epoch, is held up on its way;
/// its write meets another version, goes on under another id, the server is restored, and what the request was
/// made on is there again. Applied now, the write would come a second time, over what was written since.
#[test]
fn a_request_that_names_no_epoch_does_not_outlive_a_restore() {
    let mut server = ModelServer::new();
    let empty = server.snapshot();
    let late = request(vec![create(1, "a", r#"{"by":"me"}"#)]);
    push(&mut server, vec![create(2, "a", r#"{"by":"others"}"#)]);
    server.restore(&empty);
    let answer = server.sync("ann", &late, 5).unwrap();
    assert!(answer.results.is_empty(), "{answer:?}");
    assert_eq!(answer.epoch, server.epoch(), "who is still there can say it again");
    let named = SyncRequest {
        epoch: Some(answer.epoch),
        ..late
    };
    assert_eq!(server.sync("ann", &named, 5).unwrap().results.len(), 1);
}

#[test]
fn another_user_applies_and_sees_nothing() {
    let mut server = ModelServer::new();
    assert!(server.sync("ben", &request(vec![create(1, "a", "{}")]), 5).is_none());
    assert!(server.account("ann").is_none());
}
