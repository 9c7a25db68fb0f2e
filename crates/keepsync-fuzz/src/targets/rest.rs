//! Answers of a plain API to a write, a list and a probe.
//!
//! 1. A write is accepted for a 2xx of JSON, or of nothing where nothing is to be said, or a deletion for a
//!    declared "it is not there". It is refused only in the declared form. Everything else settles nothing.
//! 2. Every request goes to the base address, under the operation's own key; the token goes nowhere else.
//! 3. A page's bodies came in the answer.

use super::answers::{LONGEST_MS, check_outcome, item};
use crate::{
    input::{End, Reply, first_line, now},
    remote::{
        Fault, Outcome, PullRequest, PushBatch, Remote as _, Token,
        rest::{Api, Endpoints, ErrorForm, ListForm, RecordForm, RestRemote},
        transport::{self, HttpOptions},
    },
};
use keepsync_wire::Operation::{self, Complete, Create, Delete, Skip, Update};

const BASE: &str = "https://api.example.com/v2/";

fn remote() -> RestRemote {
    let errors = ErrorForm::new("application/problem+json", "/error/code")
        .and_then(|form| form.message("/error/message"))
        .unwrap()
        .in_progress("request_in_progress")
        .token("token_expired")
        .gone("not_found");
    let list = ListForm::since("GET /v1/sessions?updated_since={cursor}&limit={limit}")
        .and_then(|list| list.items("/items")?.next_cursor("/next")?.has_more("/more"))
        .unwrap();
    let record = RecordForm::new()
        .at("/data")
        .and_then(|form| {
            form.version_number("/version")?
                .deleted("/deleted_at")?
                .updated_at("/at")
        })
        .unwrap();
    let endpoints = || -> Result<_, crate::remote::rest::RestSetupError> {
        Endpoints::new("session")
            .on(Create, "PUT /v1/sessions/{id}")?
            .on(Update, "PATCH /v1/sessions/{id}")?
            .on(Complete, "POST /v1/sessions/{id}/complete")?
            .on(Delete, "DELETE /v1/sessions/{id}")?
            .as_update(Skip)
            .answers_record(Update)
            .read("GET /v1/sessions/{id}")
    };
    let sessions = endpoints().unwrap().record(record).list(list);
    let api = Api::new(errors)
        .probe("GET /v1/health")
        .and_then(|api| api.collection(sessions))
        .unwrap();
    RestRemote::new(HttpOptions::new(BASE), api).unwrap()
}

pub(crate) fn run(data: &[u8]) {
    let (verb, rest) = first_line(data);
    let replies = Reply::read_all(rest);
    let first = replies.first().cloned();
    transport::will_answer(replies.clone());
    let remote = remote();
    let token = Token::new("sesame", None);
    let operation = match verb.as_str() {
        "pull" => {
            pull(&remote, &token, &replies);
            return check_requests(None);
        }
        "probe" => {
            if now(remote.probe()).is_ok() {
                let first = first.expect("nobody answered");
                assert!(first.status < 500 && !(300..400).contains(&first.status));
                assert!(first.header("content-type").is_some());
            }
            return check_requests(None);
        }
        "update" => Update,
        "complete" => Complete,
        "skip" => Skip,
        "delete" => Delete,
        _ => Create,
    };
    write(&remote, &token, operation, &replies);
}

fn write(remote: &RestRemote, token: &Token, operation: Operation, replies: &[Reply]) {
    let body = (operation != Delete).then_some(r#"{"id":"a b/c","n":1}"#);
    let mut item = item(7, "session", "a b", operation, body);
    item.base_version = i64::from(operation != Create) * 3;
    let op = item.op;
    let batch = PushBatch {
        account: "ada".to_owned(),
        device_id: "phone".to_owned(),
        device_label: None,
        epoch: None,
        items: vec![item],
    };
    let answered = now(remote.push(Some(token), batch));
    let Some(first) = replies.first() else {
        assert!(matches!(answered, Err(Fault::Offline)));
        return check_requests(Some(op));
    };
    let declared = first.is_of("application/problem+json") && first.end == End::Whole;
    match answered {
        Ok(answer) => {
            assert_eq!(answer.results.len(), 1);
            let (settled, outcome) = &answer.results[0];
            assert_eq!(*settled, op);
            let all: Vec<u8> = replies.iter().flat_map(|reply| reply.body.clone()).collect();
            check_outcome(outcome, &all);
            check_settled(outcome, operation, first, replies.get(1), declared);
        }
        Err(fault) => check_fault(&fault, replies, declared),
    }
    check_requests(Some(op));
}

/// The first answer, or for a conflict the second, says it.
fn check_settled(outcome: &Outcome, operation: Operation, first: &Reply, second: Option<&Reply>, declared: bool) {
    match outcome {
        Outcome::Accepted(_) if first.is_success() => {
            assert!(first.end == End::Whole && !first.elsewhere);
            let says_nothing = first.body.is_empty() && matches!(first.status, 201 | 202 | 204 | 205);
            assert!(says_nothing || serde_json::from_slice::<serde::de::IgnoredAny>(&first.body).is_ok());
        }
        Outcome::Accepted(_) => assert!(operation == Delete && declared && matches!(first.status, 404 | 410)),
        Outcome::Rejected { code, .. } => assert!(declared && !code.is_empty() && (400..=499).contains(&first.status)),
        Outcome::Conflict(version) if matches!(first.status, 404 | 410) => assert!(declared && version.body.is_none()),
        Outcome::Conflict(version) => {
            assert!(declared && matches!(first.status, 409 | 412));
            let second = second.expect("it was never read");
            assert!(
                second.is_success() && second.end == End::Whole
                    || version.body.is_none() && matches!(second.status, 404 | 410)
            );
        }
        Outcome::Retry { .. } => assert!(declared && matches!(first.status, 408 | 409 | 425)),
        Outcome::TooLarge => assert!(declared && first.status == 413),
        Outcome::Blocked | Outcome::SignIn => panic!("{outcome:?}: no plain API says so"),
    }
}

fn check_fault(fault: &Fault, replies: &[Reply], declared: bool) {
    let is = |status: &[u16]| replies.iter().take(2).any(|reply| status.contains(&reply.status));
    match fault {
        Fault::SignIn => assert!(is(&[401]) || is(&[403]) && (declared || replies.len() > 1)),
        Fault::TooLarge => assert!(is(&[413])),
        Fault::Throttled { after_ms } => {
            assert!(is(&[429, 503]) && after_ms.is_none_or(|wait| (1_000..=LONGEST_MS).contains(&wait)));
        }
        Fault::Untrusted => panic!("nothing was encrypted"),
        _ => {}
    }
}

fn pull(remote: &RestRemote, token: &Token, replies: &[Reply]) {
    let mut request = PullRequest {
        account: "ada".to_owned(),
        device_id: "phone".to_owned(),
        cursors: vec![("session".to_owned(), Some("c0".to_owned()))],
        limit: 3,
        ..PullRequest::default()
    };
    // Each page takes an answer or two; afterwards nobody answers.
    for _ in 0..=replies.len() {
        let Ok(page) = now(remote.pull(Some(token), request.clone())) else {
            break;
        };
        let all: Vec<u8> = replies.iter().flat_map(|reply| reply.body.clone()).collect();
        for change in &page.changes {
            let body = change.version.body.as_deref().unwrap_or("{");
            assert!(body.starts_with('{') && crate::backend::contains(&all, body.as_bytes()));
        }
        for (name, cursor) in page.cursors {
            assert_eq!(name, "session");
            request.cursors = vec![(name, Some(cursor))];
        }
        if !page.has_more {
            break;
        }
    }
}

fn check_requests(op: Option<uuid::Uuid>) {
    for asked in transport::asked() {
        assert!(asked.url.as_str().starts_with(BASE), "{}", asked.url);
        assert!(asked.token.is_none_or(|token| token == "sesame"));
        if asked.method != reqwest::Method::GET {
            let (name, key) = asked.header.expect("a write without a key");
            let op = op.expect("a write that nobody asked for").to_string();
            assert_eq!((name.as_str(), key.to_str().unwrap()), ("idempotency-key", op.as_str()));
            if let Some(body) = asked.body {
                assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok());
            }
        }
    }
}
