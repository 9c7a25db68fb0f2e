use super::*;
use crate::{
    hlc::Hlc,
    remote::rest::{ErrorForm, ListForm, RecordForm},
};
use Operation::{Complete, Create, Delete, Update};
use uuid::Uuid;

const JSON: Option<&str> = Some("application/json; charset=utf-8");
const HTML: Option<&str> = Some("text/html");

fn api() -> Api {
    let errors = ErrorForm::new("application/json", "/error/code")
        .and_then(|it| it.message("/error/message"))
        .unwrap()
        .in_progress("in_progress")
        .token("token_expired")
        .gone("not_found");
    let record = RecordForm::new()
        .version_number("/version")
        .and_then(|it| it.server_id("/server_id"))
        .and_then(|it| it.deleted("/deleted_at"))
        .and_then(|it| it.updated_at("/updated_at"))
        .unwrap();
    let list = ListForm::since("GET /v1/s?since={cursor}&limit={limit}")
        .and_then(|it| it.items("/items"))
        .and_then(|it| it.next_cursor("/next"))
        .unwrap();
    let session = Endpoints::new("session")
        .record(record)
        .list(list)
        .answers_record(Update);
    let whole = Endpoints::new("exercise").list(ListForm::whole("GET /v1/exercises").unwrap());
    let api = Api::new(errors).collection(session).unwrap();
    api.collection(whole).unwrap()
}

fn item(operation: Operation, base_version: i64) -> PushItem {
    PushItem {
        seq: 1,
        op: Uuid::from_u128(7),
        collection: "session".to_owned(),
        id: "s1".to_owned(),
        parent_id: None,
        parent_server_id: None,
        operation,
        body: Some("{}".to_owned()),
        base_version,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        created_at: 0,
        hlc: Hlc::at(1),
        clocks: None,
        server_id: None,
    }
}

fn head(status: u16, media_type: Option<&'static str>) -> Head<'static> {
    Head {
        status,
        media_type,
        ..Head::default()
    }
}

fn error(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"because"}}}}"#)
}

/// An outcome or a fault in a word.
fn said(answer: Result<Said, Fault>) -> String {
    match answer {
        Ok(Said::Changed(declared)) => format!("changed {}", declared.code),
        Ok(Said::Outcome(outcome)) => word(&outcome),
        Err(fault) => fault.code().to_owned(),
    }
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(it) => format!("accepted {}", it.version),
        Outcome::Conflict(it) => format!("conflict {} {:?}", it.version, it.body),
        Outcome::Rejected { code, message } => format!("rejected {code} {message}"),
        Outcome::Retry { after_ms } => format!("retry {after_ms:?}"),
        Outcome::Blocked => "blocked".to_owned(),
        Outcome::SignIn => "sign_in".to_owned(),
        Outcome::TooLarge => "too_large alone".to_owned(),
    }
}

fn answer(item: &PushItem, operation: Operation, head: &Head<'_>, body: Body<'_>) -> Result<Said, Fault> {
    let api = api();
    write(&api, api.of("session").unwrap(), item, operation, head, body)
}

#[test]
fn each_status_means_what_the_table_says_in_the_declared_form_and_otherwise() {
    for (status, code, declared, otherwise) in [
        (301, "moved", "unrecognised_answer", "unrecognised_answer"),
        (400, "bad", "rejected bad because", "unrecognised_answer"),
        (401, "who", "sign_in", "sign_in"),
        (402, "pay", "rejected pay because", "unrecognised_answer"),
        (403, "forbidden", "rejected forbidden because", "unrecognised_answer"),
        (403, "token_expired", "sign_in", "unrecognised_answer"),
        (404, "not_found", "conflict 0 None", "unrecognised_answer"),
        (404, "no_such_route", "unrecognised_answer", "unrecognised_answer"),
        (405, "method", "rejected method because", "unrecognised_answer"),
        (408, "slow", "retry None", "unrecognised_answer"),
        (409, "version", "changed version", "unrecognised_answer"),
        (409, "in_progress", "retry None", "unrecognised_answer"),
        (410, "not_found", "conflict 0 None", "unrecognised_answer"),
        (412, "version", "changed version", "unrecognised_answer"),
        (413, "big", "too_large alone", "too_large"),
        (422, "invalid", "rejected invalid because", "unrecognised_answer"),
        (425, "early", "retry None", "unrecognised_answer"),
        (429, "quota", "throttled", "throttled"),
        (500, "oops", "server_failed", "unrecognised_answer"),
        (503, "down", "server_failed", "unrecognised_answer"),
        (511, "portal", "offline", "offline"),
    ] {
        let item = item(Update, 3);
        let text = error(code);
        let case = format!("{status} {code}");
        let body = Body::Whole(text.as_bytes());
        assert_eq!(
            said(answer(&item, Update, &head(status, JSON), body)),
            declared,
            "{case}"
        );
        let others = [
            (HTML, Body::Whole(text.as_bytes())),
            (None, Body::Whole(text.as_bytes())),
            (Some("application/problem+json"), Body::Whole(text.as_bytes())),
            (JSON, Body::Whole(br#"{"code":"bad"}"#)),
            (JSON, Body::Whole(br#"{"error":{"code":""}}"#)),
            (JSON, Body::Whole(br#"{"error":{"code":null}}"#)),
            (JSON, Body::Whole(&text.as_bytes()[..text.len() / 2])),
            (JSON, Body::Whole(b"")),
            (JSON, Body::TooLarge),
        ];
        for (media_type, body) in others {
            let found = said(answer(&item, Update, &head(status, media_type), body));
            assert_eq!(found, otherwise, "{case} {media_type:?} {body:?}");
        }
        let broken = said(answer(&item, Update, &head(status, JSON), Body::Broken));
        assert!(
            !broken.starts_with("rejected") && !broken.starts_with("conflict"),
            "{case}: {broken}"
        );
    }
}

#[test]
fn a_wait_is_taken_from_the_answer() {
    let wait = |status, code: &str, media_type| {
        let head = Head {
            retry_after: Some("7"),
            ..head(status, media_type)
        };
        said(answer(
            &item(Update, 3),
            Update,
            &head,
            Body::Whole(error(code).as_bytes()),
        ))
    };
    assert_eq!(wait(409, "in_progress", JSON), "retry Some(7000)");
    assert_eq!(wait(408, "slow", JSON), "retry Some(7000)");
    assert_eq!(wait(503, "down", JSON), "throttled");
    assert_eq!(wait(503, "down", HTML), "throttled");
}

#[test]
fn what_is_not_there_has_been_deleted_or_is_news_or_is_missing() {
    let gone = error("not_found");
    let of = |item: PushItem, operation| said(answer(&item, operation, &head(404, JSON), Body::Whole(gone.as_bytes())));
    assert_eq!(of(item(Delete, 3), Delete), "accepted 4");
    assert_eq!(of(item(Complete, 3), Complete), "conflict 0 None");
    // Nothing was there that could be gone: its parent is, or the endpoint.
    assert_eq!(of(item(Create, 0), Create), "rejected not_found because");
    assert_eq!(of(item(Update, 0), Create), "rejected not_found because");
    let route = error("no_such_route");
    let lost = said(answer(
        &item(Delete, 3),
        Delete,
        &head(404, JSON),
        Body::Whole(route.as_bytes()),
    ));
    assert_eq!(lost, "unrecognised_answer", "a routing 404 deletes nothing");
}

#[test]
fn a_success_is_json_or_certainly_nothing() {
    let of =
        |status, media_type, body: Body<'_>| said(answer(&item(Update, 3), Update, &head(status, media_type), body));
    let empty = Body::Whole(b"");
    for (status, media_type, body, expected) in [
        (204, None, empty, "accepted 4"),
        (201, None, empty, "accepted 4"),
        (200, None, empty, "unrecognised_answer"),
        (200, JSON, empty, "unrecognised_answer"),
        (200, JSON, Body::Whole(b"{}"), "accepted 4"),
        (200, JSON, Body::Whole(b"[1]"), "accepted 4"),
        (200, JSON, Body::Whole(b"{"), "unrecognised_answer"),
        (200, JSON, Body::Broken, "timeout"),
        (200, JSON, Body::TooLarge, "unrecognised_answer"),
        (200, Some("text/plain"), Body::Whole(b"OK"), "unrecognised_answer"),
        (200, HTML, Body::Whole(b"<html>"), "offline"),
        (204, HTML, empty, "offline"),
        (
            200,
            Some("application/captive+json"),
            Body::Whole(b"{}"),
            "unrecognised_answer",
        ),
    ] {
        assert_eq!(
            of(status, media_type, body),
            expected,
            "{status} {media_type:?} {body:?}"
        );
    }
    let elsewhere = Head {
        elsewhere: true,
        ..head(200, JSON)
    };
    assert_eq!(
        said(answer(&item(Update, 3), Update, &elsewhere, Body::Whole(b"{}"))),
        "offline"
    );
    let redirect = Head {
        elsewhere: true,
        ..head(302, None)
    };
    assert_eq!(said(answer(&item(Update, 3), Update, &redirect, empty)), "offline");
    let api = Api::new(ErrorForm::new("application/json", "/code").unwrap()).empty_200_is_success();
    let answer = write(
        &api,
        &Endpoints::new("session"),
        &item(Update, 3),
        Update,
        &head(200, None),
        empty,
    );
    assert_eq!(said(answer), "accepted 4");
}

#[test]
fn an_answer_is_used_only_where_it_names_the_record_and_its_body_only_where_that_was_declared() {
    let of = |item: &PushItem, body: &str| match answer(
        item,
        item.operation,
        &head(200, JSON),
        Body::Whole(body.as_bytes()),
    ) {
        Ok(Said::Outcome(Outcome::Accepted(it))) => (it.version, it.body, it.server_id, it.updated_at),
        other => panic!("{other:?}"),
    };
    let record = r#"{"id":"s1","version":9,"server_id":"x","updated_at":"1970-01-01T00:00:02Z","a":1.0e2}"#;
    let (update, complete) = (item(Update, 3), item(Complete, 3));
    let x = Some("x".to_owned());
    assert_eq!(
        of(&update, record),
        (9, Some(record.to_owned()), x.clone(), Some(2_000))
    );
    assert_eq!(of(&complete, record), (9, None, x.clone(), Some(2_000)));
    let other = r#"{"id":"s2","version":9,"server_id":"x"}"#;
    assert_eq!(of(&update, other), (4, None, x, None), "another id");
    assert_eq!(of(&update, r#"{"id":"s1"}"#), (4, None, None, None), "no version");
}

#[test]
fn a_refusal_for_what_the_record_is_now_becomes_a_conflict_unless_nothing_changed() {
    let api = api();
    let endpoints = api.of("session").unwrap();
    let of = |status, media_type, body: &str| {
        let declared = Declared {
            code: "version".to_owned(),
            message: "because".to_owned(),
        };
        let head = head(status, media_type);
        let item = item(Update, 3);
        match read(&api, endpoints, &item, declared, &head, Body::Whole(body.as_bytes())) {
            Ok(outcome) => word(&outcome),
            Err(fault) => fault.code().to_owned(),
        }
    };
    let record = r#"{"id":"s1","version":5,"a":1}"#;
    assert_eq!(of(200, JSON, record), format!("conflict 5 {:?}", Some(record)));
    assert_eq!(of(200, JSON, r#"{"id":"s1","version":3}"#), "rejected version because");
    let deleted = r#"{"id":"s1","version":6,"deleted_at":"2026-11-20T07:00:00Z"}"#;
    assert_eq!(of(200, JSON, deleted), "conflict 6 None");
    assert_eq!(of(404, JSON, &error("not_found")), "conflict 0 None");
    assert_eq!(of(404, JSON, &error("no_such_route")), "unrecognised_answer");
    assert_eq!(of(200, JSON, r#"{"id":"s2","version":5}"#), "unrecognised_answer");
    assert_eq!(of(200, JSON, r#"{"id":"s1"}"#), "unrecognised_answer");
    assert_eq!(of(200, HTML, "<html>"), "offline");
    assert_eq!(of(403, JSON, &error("token_expired")), "sign_in");
    assert_eq!(of(403, JSON, &error("forbidden")), "unrecognised_answer");
}

#[test]
fn a_page_is_used_whole_or_not_at_all() {
    let api = api();
    let of = |status, cursor, body: &str| {
        let endpoints = api.of("session").unwrap();
        list(
            &api,
            endpoints,
            2,
            cursor,
            &head(status, JSON),
            Body::Whole(body.as_bytes()),
        )
    };
    let one = r#"{"id":"s1","version":5,"a":1.0e2}"#;
    let gone = r#"{"id":"s2","version":6,"deleted_at":true}"#;
    let page = |items: &str, next: &str| format!(r#"{{"items":[{items}],"next":{next}}}"#);
    let Ok(Page::Listed(listed)) = of(200, None, &page(&format!("{one},{gone}"), "12")) else {
        panic!("it is a page");
    };
    assert_eq!(
        (listed.next.as_deref(), listed.has_more),
        (Some("12"), true),
        "as long as the limit"
    );
    let bodies: Vec<_> = listed
        .found
        .iter()
        .map(|it| (it.version.version, it.version.body.as_deref()))
        .collect();
    assert_eq!(bodies, [(5, Some(one)), (6, None)]);
    let last = of(200, Some("12"), &page(one, "null"));
    assert!(matches!(last, Ok(Page::Listed(it)) if it.next.is_none() && !it.has_more));
    let unrecognised = Err(Fault::Unrecognised { status: 200 });
    for (body, case) in [
        (
            page(&format!("{one},{gone}"), "\"12\""),
            "a full page that moves no cursor",
        ),
        (page(r#"{"id":"s1"}"#, "13"), "no version"),
        (page(r#"{"version":1}"#, "13"), "no id"),
        (page("[]", "13"), "no record"),
        ("{}".to_owned(), "no list"),
        ("{".to_owned(), "no JSON"),
    ] {
        assert_eq!(of(200, Some("12"), &body), unrecognised, "{case}");
    }
    assert_eq!(of(410, Some("12"), &error("old")), Ok(Page::Forgotten));
    assert_eq!(of(410, None, &error("old")), Err(Fault::Unrecognised { status: 410 }));
    assert_eq!(of(410, Some("12"), "{}"), Err(Fault::Unrecognised { status: 410 }));
    assert_eq!(of(401, None, "{}"), Err(Fault::SignIn));
    let whole = api.of("exercise").unwrap();
    let all = list(
        &api,
        whole,
        1,
        None,
        &head(200, JSON),
        Body::Whole(br#"[{"id":7},{"id":"b"}]"#),
    );
    let Ok(Page::Listed(all)) = all else { panic!("{all:?}") };
    assert!(!all.has_more && all.next.is_none());
    assert_eq!(all.found[0].id, "7");
}

#[test]
fn json_below_500_proves_the_api_and_nothing_else_does() {
    let api = api();
    let of = |status, media_type, body: &str| probe(&api, &head(status, media_type), Body::Whole(body.as_bytes()));
    for status in [200, 401, 403, 404] {
        assert_eq!(of(status, JSON, "{}"), Ok(()), "{status}");
        assert_eq!(of(status, Some("application/problem+json"), "{}"), Ok(()), "{status}");
    }
    let unrecognised = |status| Err(Fault::Unrecognised { status });
    assert_eq!(of(200, HTML, "<html>"), Err(Fault::Offline));
    assert_eq!(of(200, Some("application/captive+json"), "{}"), unrecognised(200));
    assert_eq!(of(200, None, "OK"), unrecognised(200));
    assert_eq!(of(204, None, ""), unrecognised(204));
    assert_eq!(of(401, HTML, "<html>"), unrecognised(401));
    assert_eq!(of(302, JSON, "{}"), unrecognised(302));
    assert_eq!(of(500, JSON, &error("oops")), Err(Fault::Server { status: 500 }));
    assert_eq!(of(502, HTML, "<html>"), unrecognised(502));
    assert_eq!(of(511, JSON, "{}"), Err(Fault::Offline));
    let elsewhere = Head {
        elsewhere: true,
        ..head(200, JSON)
    };
    assert_eq!(probe(&api, &elsewhere, Body::Whole(b"{}")), Err(Fault::Offline));
}
