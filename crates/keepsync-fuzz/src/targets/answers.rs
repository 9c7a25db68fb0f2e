//! An answer to a push, a pull, a probe or the trade of a token, in Keepsync's own wire.
//!
//! 1. Only an answer that is ours settles anything, and only operations that it names, with the record they
//!    were asked for, as what it says of them.
//! 2. A page that is used has every change with its body byte for byte, and moves on if it promises more.
//! 3. A fault says no more than its status does: sign-in for 401 and 403, too large for 413, bounded waits.

use crate::{
    input::{End, Reply, first_line, now},
    remote::{
        Fault, Outcome, PullRequest, PushBatch, PushItem, Remote as _,
        http::{HttpOptions, HttpRemote},
        transport,
    },
};
use keepsync::hlc::Hlc;
use keepsync_wire::Operation;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use uuid::Uuid;

pub(crate) const BASE: &str = "https://sync.example.com/api";

pub(crate) fn run(data: &[u8]) {
    let (verb, rest) = first_line(data);
    let reply = Reply::read(rest);
    transport::will_answer([reply.clone()]);
    let remote = HttpRemote::new(HttpOptions::new(BASE)).unwrap();
    let fault = match verb.as_str() {
        "pull" => now(remote.pull(None, asked())).map(|page| check_page(&reply, &page)),
        "probe" => now(remote.probe()).map(|()| {
            assert!(reply.header("keepsync-protocol").is_some() && reply.status < 500);
        }),
        "trade" => now(remote.trade("spent")).map(|tokens| {
            assert!(reply.is_ours() && reply.is_success());
            let text = String::from_utf8(reply.body.clone()).unwrap();
            assert!(text.contains("access_token") && tokens.refresh_token.len() <= text.len());
        }),
        _ => now(remote.push(None, batch())).map(|answer| check_results(&reply, &answer.results)),
    };
    if let Err(fault) = fault {
        check_fault(&reply, &fault, verb == "trade");
    }
    assert_eq!(transport::asked().len(), 1);
}

pub(crate) fn item(n: u128, collection: &str, id: &str, operation: Operation, body: Option<&str>) -> PushItem {
    PushItem {
        seq: i64::try_from(n).unwrap(),
        op: Uuid::from_u128(0x7000_8000_0000_0000_0000 | n),
        collection: collection.to_owned(),
        id: id.to_owned(),
        parent_id: Some("w1".to_owned()),
        parent_server_id: None,
        operation,
        body: body.map(str::to_owned),
        base_version: 0,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        created_at: 1_763_600_000_000,
        hlc: Hlc::at(1_763_600_000_000),
        clocks: None,
        server_id: None,
    }
}

/// What every push of this target asks.
pub(crate) fn batch() -> PushBatch {
    PushBatch {
        account: "ada".to_owned(),
        device_id: "phone".to_owned(),
        device_label: Some("Phone".to_owned()),
        epoch: None,
        items: vec![
            item(1, "workout", "w1", Operation::Create, Some(r#"{"name":"Legs"}"#)),
            item(
                2,
                "set_log",
                "s1",
                Operation::Create,
                Some(r#"{"workout_id":"w1","reps":5}"#),
            ),
            item(3, "profile", "me", Operation::Update, Some(r#"{"name":"Ada"}"#)),
            item(4, "workout", "w0", Operation::Delete, None),
        ],
    }
}

/// What every pull of this target asks.
pub(crate) fn asked() -> PullRequest {
    PullRequest {
        account: "ada".to_owned(),
        device_id: "phone".to_owned(),
        cursors: vec![
            ("workout".to_owned(), None),
            ("set_log".to_owned(), Some("7".to_owned())),
        ],
        limit: 100,
        ..PullRequest::default()
    }
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    op_id: String,
    entity_id: String,
    status: String,
}

fn check_results(reply: &Reply, results: &[(Uuid, Outcome)]) {
    assert!(reply.is_ours(), "not ours, and it settled {}", results.len());
    assert!(reply.is_success() || reply.status == 422);
    // What nobody reads need not be UTF-8.
    let text = String::from_utf8_lossy(&reply.body);
    let told: Results<'_> = serde_json::from_str(&text).unwrap();
    let named: Vec<Named> = told
        .results
        .iter()
        .filter_map(|one| serde_json::from_str(one.get()).ok())
        .collect();
    let mut seen = HashSet::new();
    for (op, outcome) in results {
        assert!(seen.insert(*op), "settled twice");
        let batch = batch();
        let item = batch
            .items
            .iter()
            .find(|item| item.op == *op)
            .expect("it was not asked for");
        let statuses: &[&str] = match outcome {
            Outcome::Accepted(_) => &["success"],
            Outcome::Conflict(_) => &["conflict"],
            Outcome::Retry { .. } => &["conflict", "error"],
            _ => &["error"],
        };
        let names = |one: &&Named| Uuid::parse_str(&one.op_id) == Ok(*op) && one.entity_id == item.id;
        assert!(
            named
                .iter()
                .filter(names)
                .any(|one| statuses.contains(&one.status.as_str())),
            "{outcome:?} was not said of it"
        );
        check_outcome(outcome, &reply.body);
    }
}

/// What is stored of an outcome is bounded, and bodies came in the answer.
pub(crate) fn check_outcome(outcome: &Outcome, answer: &[u8]) {
    let came = |body: &Option<String>| {
        let Some(body) = body else { return };
        assert!(body.starts_with('{') && serde_json::from_str::<&RawValue>(body).is_ok());
        assert!(
            crate::backend::contains(answer, body.as_bytes()),
            "a body that did not come"
        );
    };
    match outcome {
        Outcome::Accepted(accepted) => came(&accepted.body),
        Outcome::Conflict(version) => came(&version.body),
        Outcome::Rejected { code, message } => assert!(code.len() <= 2_000 && message.len() <= 2_000),
        Outcome::Retry { after_ms } => assert!(after_ms.is_none_or(|wait| wait <= LONGEST_MS)),
        Outcome::Blocked | Outcome::SignIn | Outcome::TooLarge => {}
    }
}

fn check_page(reply: &Reply, page: &crate::remote::PullPage) {
    #[derive(Deserialize)]
    struct Changes<'a> {
        #[serde(borrow)]
        changes: Vec<&'a RawValue>,
        has_more: bool,
    }
    assert!(reply.is_ours() && reply.is_success());
    let text = String::from_utf8_lossy(&reply.body);
    let told: Changes<'_> = serde_json::from_str(&text).unwrap();
    assert_eq!(told.changes.len(), page.changes.len(), "a change was lost or made up");
    assert_eq!(told.has_more, page.has_more);
    for (raw, change) in told.changes.iter().zip(&page.changes) {
        if let Some(body) = &change.version.body {
            assert!(body.starts_with('{') && raw.get().contains(body.as_str()));
        }
    }
    let asked = asked();
    let moves = |(name, cursor): &(String, String)| !asked.cursors.contains(&(name.clone(), Some(cursor.clone())));
    assert!(
        !page.has_more || page.cursors.iter().any(moves),
        "it would be asked for again for ever"
    );
}

pub(crate) const LONGEST_MS: u64 = 365 * 24 * 60 * 60_000;

/// A fault says no more than the status allows.
pub(crate) fn check_fault(reply: &Reply, fault: &Fault, is_trade: bool) {
    let status = reply.status;
    match fault {
        Fault::SignIn if is_trade => assert!(matches!(status, 401 | 403) && reply.is_ours()),
        Fault::SignIn => assert!(status == 401 || status == 403 && reply.end == End::Whole),
        Fault::TooLarge => assert_eq!(status, 413),
        Fault::Throttled { after_ms } => {
            assert!(status == 429 || status == 503 && after_ms.is_some());
            assert!(after_ms.is_none_or(|wait| (1_000..=LONGEST_MS).contains(&wait)));
        }
        Fault::Server { status: told } => assert!(*told == status && status >= 500 && reply.end == End::Whole),
        Fault::Unrecognised { status: told } => assert_eq!(*told, status),
        Fault::Offline => assert!(status == 511 || (200..400).contains(&status)),
        Fault::Timeout => assert!(reply.end == End::Broken || matches!(status, 408 | 425)),
        Fault::Untrusted => panic!("nothing was encrypted"),
    }
}
