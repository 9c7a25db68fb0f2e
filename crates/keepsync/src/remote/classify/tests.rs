//! Every status with every shape of body, and the rules that need more than a table.

use super::*;
use crate::{
    hlc::Hlc,
    remote::{
        Outcome,
        answer::{self, MIN_WAIT_MS, leads_elsewhere},
        wire::{MAX_TEXT, MAX_WAIT_MS},
    },
};
use keepsync_wire::PROTOCOL_VERSION;
use reqwest::Url;

const JSON: Option<&str> = Some("application/json");
const HTML: Option<&str> = Some("text/html; charset=utf-8");
const OURS: Option<&str> = Some(PROTOCOL_VERSION);
const DATE: &str = "Fri, 20 Nov 2026 07:00:00 GMT";

const PAGE: &str = r#"{"epoch":"e","changes":[],"cursors":[],"has_more":false,"server_time":5}"#;
const SYNC: &str = r#"{"results":[],"server_time":5,"epoch":"e"}"#;
const ERROR: &str = r#"{"code":"internal","message":"no"}"#;

fn op(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn asked_page() -> PullRequest {
    PullRequest {
        account: "ada".to_owned(),
        device_id: "d".to_owned(),
        epoch: None,
        cursors: vec![("sets".to_owned(), Some("7".to_owned()))],
        limit: 10,
        ..PullRequest::default()
    }
}

fn ours(status: u16) -> Head<'static> {
    Head {
        status,
        media_type: JSON,
        protocol: OURS,
        ..Head::default()
    }
}

/// A body as it may come with any status.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Recognised,
    /// JSON, but without the protocol header.
    Unrecognised,
    Html,
    Empty,
    /// JSON of ours that stops in the middle, in a body that is complete for HTTP.
    Truncated,
    /// The connection ended in the middle of the body.
    BrokenOff,
    Oversized,
}

const SHAPES: [Shape; 7] = [
    Shape::Recognised,
    Shape::Unrecognised,
    Shape::Html,
    Shape::Empty,
    Shape::Truncated,
    Shape::BrokenOff,
    Shape::Oversized,
];

/// The fault for a push, a pull and a probe; `None` for an answer.
fn faults(status: u16, shape: Shape) -> [Option<Fault>; 3] {
    let head = match shape {
        Shape::Html => Head {
            media_type: HTML,
            protocol: None,
            ..ours(status)
        },
        Shape::Unrecognised => Head {
            protocol: None,
            ..ours(status)
        },
        Shape::Empty => Head {
            media_type: None,
            protocol: None,
            ..ours(status)
        },
        _ => ours(status),
    };
    let body = |answer: &'static str| {
        let text = if status < 300 { answer } else { ERROR };
        match shape {
            Shape::Recognised | Shape::Unrecognised => Body::Whole(text.as_bytes()),
            Shape::Html => Body::Whole(b"<!doctype html><title>Welcome</title>"),
            Shape::Empty => Body::Whole(b""),
            Shape::Truncated => Body::Whole(&text.as_bytes()[..text.len() / 2]),
            Shape::BrokenOff => Body::Broken,
            Shape::Oversized => Body::TooLarge,
        }
    };
    [
        push(&head, body(SYNC), &[]).err(),
        pull(&head, body(PAGE), &asked_page()).err(),
        probe(&head, body(ERROR)).err(),
    ]
}

#[test]
fn each_status_with_each_body_means_what_the_table_says() {
    use Shape::{BrokenOff, Empty, Html, Oversized, Recognised, Truncated, Unrecognised};

    for status in [
        200, 207, 301, 304, 400, 401, 403, 404, 405, 407, 408, 409, 412, 413, 422, 425, 426, 429, 500, 502, 503, 504,
        505, 511, 599, 600,
    ] {
        let unrecognised = Some(Fault::Unrecognised { status });
        for shape in SHAPES {
            let expected = match (status, shape) {
                (200 | 207, Recognised) => None,
                (200 | 207, Html) => Some(Fault::Offline),
                (200 | 207, BrokenOff) => Some(Fault::Timeout),
                (301 | 304, Unrecognised | Html | Empty) => Some(Fault::Offline),
                (401, _) => Some(Fault::SignIn),
                (408 | 425, Recognised) => Some(Fault::Timeout),
                (403 | 408 | 425, BrokenOff) => Some(Fault::Timeout),
                (413, _) => Some(Fault::TooLarge),
                (429, _) => Some(Fault::Throttled { after_ms: None }),
                (511, _) => Some(Fault::Offline),
                (500..=599, Recognised) => Some(Fault::Server { status }),
                (500..=599, BrokenOff) => Some(Fault::Timeout),
                _ => unrecognised.clone(),
            };
            let [push, pull, probe] = faults(status, shape);
            assert_eq!(push, expected, "push {status} {shape:?}");
            assert_eq!(pull, expected, "pull {status} {shape:?}");

            let has_header = matches!(shape, Recognised | Truncated | BrokenOff | Oversized);
            let expected = match status {
                ..500 if has_header => None,
                401 | 413 => unrecognised.clone(),
                _ => expected.or(unrecognised.clone()),
            };
            assert_eq!(probe, expected, "probe {status} {shape:?}");
        }
    }
}

#[test]
fn a_redirect_to_another_origin_is_a_portal_whoever_sent_it() {
    let head = Head {
        elsewhere: true,
        ..ours(302)
    };
    assert_eq!(push(&head, Body::Whole(b""), &[]).err(), Some(Fault::Offline));
    // In a browser the redirect has been followed by the time the answer is seen.
    let head = Head {
        elsewhere: true,
        ..ours(200)
    };
    assert_eq!(
        push(&head, Body::Whole(SYNC.as_bytes()), &[]).err(),
        Some(Fault::Offline)
    );

    let asked = Url::parse("https://sync.example.com/v1/sync").unwrap();
    for (location, expected) in [
        ("/login", false),
        ("v1/elsewhere", false),
        ("https://sync.example.com:443/x", false),
        ("https://portal.example.net/", true),
        ("//portal.example.net/", true),
        ("http://sync.example.com/v1/sync", true),
        ("https://sync.example.com:8443/", true),
        ("https://[", true),
    ] {
        assert_eq!(leads_elsewhere(&asked, location), expected, "{location}");
    }
}

#[test]
fn a_media_type_is_compared_without_case_and_parameters() {
    for (media_type, fine) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        (" application/json ;x", true),
        ("application/problem+json", false),
        ("text/json", false),
        ("application/jsonx", false),
        ("", false),
    ] {
        let head = Head {
            media_type: Some(media_type),
            ..ours(200)
        };
        let answer = push(&head, Body::Whole(SYNC.as_bytes()), &[]);
        assert_eq!(answer.is_ok(), fine, "{media_type}");
    }
}

#[test]
fn another_version_of_the_protocol_proves_the_backend_but_settles_nothing() {
    let head = Head {
        protocol: Some("2"),
        ..ours(200)
    };
    let answer = push(&head, Body::Whole(SYNC.as_bytes()), &[]);
    assert_eq!(answer.err(), Some(Fault::Unrecognised { status: 200 }));
    assert_eq!(probe(&head, Body::Whole(b"")), Ok(()));
    let head = Head {
        protocol: Some("2"),
        media_type: HTML,
        ..ours(200)
    };
    let answer = push(&head, Body::Whole(b"<html>"), &[]);
    assert_eq!(answer.err(), Some(Fault::Unrecognised { status: 200 }));
}

#[test]
fn a_forbidden_request_is_a_sign_in_only_if_the_backend_names_the_token() {
    let body = Body::Whole(br#"{"code":"token_invalid"}"#);
    assert_eq!(push(&ours(403), body, &[]).err(), Some(Fault::SignIn));
    let head = Head {
        protocol: None,
        ..ours(403)
    };
    assert_eq!(push(&head, body, &[]).err(), Some(Fault::Unrecognised { status: 403 }));
    let body = Body::Whole(br#"{"code":"forbidden","message":"token_invalid"}"#);
    assert_eq!(
        push(&ours(403), body, &[]).err(),
        Some(Fault::Unrecognised { status: 403 })
    );
}

#[test]
fn retry_after_is_read_in_both_its_forms_and_by_the_answers_own_clock() {
    let wait = |retry_after, date| {
        answer::retry_after(&Head {
            retry_after,
            date,
            ..ours(429)
        })
    };
    let cases: [(&str, Option<u64>); 19] = [
        ("120", Some(120_000)),
        (" 7 ", Some(7_000)),
        ("0", Some(MIN_WAIT_MS)),
        ("00030", Some(30_000)),
        ("31536001", Some(MAX_WAIT_MS)),
        ("18446744073709551615", Some(MAX_WAIT_MS)),
        ("99999999999999999999999999", Some(MAX_WAIT_MS)),
        ("Fri, 20 Nov 2026 07:02:00 GMT", Some(120_000)),
        ("Friday, 20-Nov-26 07:02:00 GMT", Some(120_000)),
        ("Fri Nov 20 07:02:00 2026", Some(120_000)),
        ("Fri, 20 Nov 2026 06:00:00 GMT", Some(MIN_WAIT_MS)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_WAIT_MS)),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("1, 2", None),
        ("Fri, 20 Nov 2026 07:02:00 +0100", None),
    ];
    for (value, expected) in cases {
        assert_eq!(wait(Some(value), Some(DATE)), expected, "{value}");
    }
    assert_eq!(wait(None, Some(DATE)), None);
    for date in [None, Some("yesterday")] {
        assert_eq!(wait(Some("Fri, 20 Nov 2026 07:02:00 GMT"), date), None);
        assert_eq!(wait(Some("120"), date), Some(120_000), "seconds need no clock");
    }
}

#[test]
fn a_503_with_a_readable_retry_after_is_throttling_whoever_sent_it() {
    for protocol in [OURS, None] {
        let head = Head {
            retry_after: Some("5"),
            protocol,
            ..ours(503)
        };
        let expected = Some(Fault::Throttled { after_ms: Some(5_000) });
        assert_eq!(push(&head, Body::Whole(ERROR.as_bytes()), &[]).err(), expected);
        assert_eq!(push(&head, Body::Broken, &[]).err(), expected);
        assert_eq!(probe(&head, Body::Whole(b"")).err(), expected);
    }
    let head = Head {
        retry_after: Some("soon"),
        ..ours(503)
    };
    let answer = push(&head, Body::Whole(ERROR.as_bytes()), &[]);
    assert_eq!(answer.err(), Some(Fault::Server { status: 503 }));
    let head = Head {
        retry_after: Some("5"),
        ..ours(500)
    };
    let answer = push(&head, Body::Whole(ERROR.as_bytes()), &[]);
    assert_eq!(answer.err(), Some(Fault::Server { status: 500 }), "only a 503 says so");
}

/// Pushes operations 1 to 4, for records `r1` to `r4`.
fn pushed(results: &str) -> Result<PushAnswer, Fault> {
    let asked: Vec<_> = (1..=4).map(|n| (op(n), format!("r{n}"))).collect();
    let body = format!(r#"{{"results":[{results}],"server_time":5,"epoch":"e"}}"#);
    push(&ours(200), Body::Whole(body.as_bytes()), &asked)
}

fn result(n: u128, record: &str, rest: &str) -> String {
    format!(r#"{{"op_id":"{}","entity_id":"{record}",{rest}}}"#, op(n))
}

fn only(rest: &str) -> Outcome {
    let mut answer = pushed(&result(1, "r1", rest)).unwrap();
    assert_eq!(answer.results.len(), 1, "{rest}");
    answer.results.remove(0).1
}

#[test]
fn results_are_matched_by_operation_id_and_strangers_are_ignored() {
    let success =
        |n, record: &str, version| result(n, record, &format!(r#""status":"success","server_version":{version}"#));
    let results = [
        success(4, "r4", 40),
        success(9, "r1", 90),
        success(2, "r2", 20),
        success(2, "r2", 21),
        success(1, "r2", 10),
        result(3, "r3", r#""status":"from the future""#),
    ]
    .join(",");
    let answer = pushed(&results).unwrap();
    let versions: Vec<_> = answer
        .results
        .iter()
        .map(|(op, outcome)| match outcome {
            Outcome::Accepted(accepted) => (*op, accepted.version),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, [(op(4), 40), (op(2), 20)]);
    assert_eq!((answer.server_time, answer.epoch.as_deref()), (Some(5), Some("e")));
}

#[test]
fn a_422_with_results_is_an_answer_and_any_other_422_is_not() {
    let refused = result(
        1,
        "r1",
        r#""status":"error","code":"validation","error_message":"/reps: a number""#,
    );
    let text = format!(r#"{{"results":[{refused}],"server_time":5,"epoch":"e"}}"#);
    let answer = |head: &Head<'_>| push(head, Body::Whole(text.as_bytes()), &[(op(1), "r1".to_owned())]);
    let results = answer(&ours(422)).unwrap().results;
    assert!(matches!(&results[..], [(_, Outcome::Rejected { code, .. })] if code == "validation"));
    let strangers = [
        Head {
            protocol: None,
            ..ours(422)
        },
        Head {
            elsewhere: true,
            ..ours(422)
        },
        ours(400),
    ];
    for head in strangers {
        let fault = Fault::Unrecognised { status: head.status };
        assert_eq!(answer(&head).err(), Some(fault), "{head:?}");
    }
    let page = pull(&ours(422), Body::Whole(PAGE.as_bytes()), &asked_page());
    assert_eq!(page.err(), Some(Fault::Unrecognised { status: 422 }));
}

#[test]
fn each_status_and_code_of_a_result_has_its_outcome() {
    let accepted = only(
        r#""status":"success","server_version":3,"change":9,"server_id":"s","server":{"data":{"b" : 1},"version":3,"hlc":"1-0"}"#,
    );
    let Outcome::Accepted(accepted) = accepted else {
        panic!("{accepted:?}")
    };
    assert_eq!((accepted.version, accepted.change), (3, 9));
    assert_eq!(accepted.server_id.as_deref(), Some("s"));
    assert_eq!(accepted.body.as_deref(), Some(r#"{"b" : 1}"#), "not written anew");

    let conflict = only(
        r#""status":"conflict","code":"version_mismatch","server":{"version":8,"hlc":"2-1","device_id":"d2","created_at":1,"updated_at":2}"#,
    );
    let Outcome::Conflict(server) = conflict else {
        panic!("{conflict:?}")
    };
    assert_eq!((server.body, server.version), (None, 8));
    assert_eq!(server.hlc, "2-1".parse::<Hlc>().unwrap());

    for rest in [
        r#""status":"conflict","retry_after_ms":70"#,
        r#""status":"conflict","server":{"data":[1],"version":8,"hlc":"2-1"},"retry_after_ms":70"#,
        r#""status":"error","code":"try_later","retry_after_ms":70"#,
        r#""status":"error","code":"throttled","retry_after_ms":70"#,
        r#""status":"error","code":"internal","retry_after_ms":70"#,
    ] {
        let outcome = only(rest);
        assert!(
            matches!(outcome, Outcome::Retry { after_ms: Some(70) }),
            "{rest}: {outcome:?}"
        );
    }
    let blocked = only(r#""status":"error","code":"blocked""#);
    assert!(matches!(blocked, Outcome::Blocked), "{blocked:?}");
    let sign_in = only(r#""status":"error","code":"token_invalid""#);
    assert!(matches!(sign_in, Outcome::SignIn), "{sign_in:?}");
    let too_large = only(r#""status":"error","code":"too_large""#);
    assert!(matches!(too_large, Outcome::TooLarge), "{too_large:?}");

    for (rest, expected, text) in [
        (
            r#""status":"error","code":"validation","error_message":"weight""#,
            "validation",
            "weight",
        ),
        (r#""status":"error","code":"op_reused""#, "op_reused", ""),
        (r#""status":"error","code":"forbidden""#, "forbidden", ""),
        (r#""status":"error","code":"new in v7""#, "new in v7", ""),
        (r#""status":"error""#, "rejected", ""),
    ] {
        let outcome = only(rest);
        let Outcome::Rejected { code, message } = outcome else {
            panic!("{rest}: {outcome:?}")
        };
        assert_eq!((code.as_str(), message.as_str()), (expected, text));
    }
}

#[test]
fn text_that_is_kept_with_an_entry_has_a_bound() {
    let long = "é".repeat(MAX_TEXT);
    let outcome = only(&format!(r#""status":"error","code":"x","error_message":"{long}""#));
    let Outcome::Rejected { message, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(message.len(), MAX_TEXT);
}

fn pulled(changes: &str, rest: &str) -> Result<PullPage, Fault> {
    let body = format!(r#"{{"epoch":"e2","server_time":5,"changes":[{changes}],{rest}}}"#);
    pull(&ours(200), Body::Whole(body.as_bytes()), &asked_page())
}

#[test]
fn a_pulled_body_is_handed_on_as_the_very_text_that_came() {
    let body = r#"{"big":12345678901234567890, "e":1.0e2,"a":1,"a":2,"s":"\u00e9"}"#;
    let page = pulled(
        &format!(
            r#"{{"collection":"sets","id":"r1","current":{{"data": {body} ,"version":3,"hlc":"1-0","op_id":"{}"}}}},
               {{"collection":"sets","id":"r2","current":{{"version":4,"hlc":"1-1"}}}},
               {{"collection":"sets","id":"r3","current":{{"data":null,"version":5,"hlc":"1-2"}}}}"#,
            op(1)
        ),
        r#""cursors":[{"collection":"sets","cursor":"9"},{"collection":"days"}],"has_more":true,"remaining":3,"branch":{"parent":"e1","change":6}"#,
    )
    .unwrap();
    assert_eq!(page.changes[0].version.body.as_deref(), Some(body));
    assert_eq!(page.changes[0].version.op, Some(op(1)));
    assert_eq!(page.changes[1].version.body, None);
    assert_eq!(page.changes[2].version.body, None);
    assert_eq!(page.cursors, [("sets".to_owned(), "9".to_owned())]);
    assert_eq!(page.branch, Some(("e1".to_owned(), 6)));
    assert_eq!(page.epoch.as_deref(), Some("e2"));
    assert_eq!(
        (page.has_more, page.remaining, page.server_time),
        (true, Some(3), Some(5))
    );
}

#[test]
fn a_page_with_a_body_that_is_no_object_is_not_used() {
    for data in ["[]", "1", "\"{}\"", "true", "{", "{}}"] {
        let page = pulled(
            &format!(r#"{{"collection":"sets","id":"r1","current":{{"data":{data},"version":3,"hlc":"1-0"}}}}"#),
            r#""cursors":[],"has_more":false"#,
        );
        assert_eq!(page.err(), Some(Fault::Unrecognised { status: 200 }), "{data}");
    }
}

#[test]
fn a_page_that_promises_more_but_moves_no_cursor_is_not_used() {
    let unmoved = r#""cursors":[{"collection":"sets","cursor":"7"}],"has_more":true"#;
    assert_eq!(pulled("", unmoved).err(), Some(Fault::Unrecognised { status: 200 }));
    let none = r#""cursors":[],"has_more":true"#;
    assert_eq!(pulled("", none).err(), Some(Fault::Unrecognised { status: 200 }));
    let moved = r#""cursors":[{"collection":"sets","cursor":"8"}],"has_more":true"#;
    assert!(pulled("", moved).is_ok());
}
