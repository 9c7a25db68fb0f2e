//! How much is taken at once, how long things may take, and who may call from a web page.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync_server::{Config, Rate};
use keepsync_wire::{
    Cursor, ErrorBody, HEALTH_PATH, PROTOCOL_HEADER, PULL_PATH, PullResponse, SYNC_PATH, SyncRequest, SyncResponse,
    SyncStatus, code,
};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Client, Running, create, delete, http, json, raw::Raw, update};

async fn started(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Running, Client) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    change(&mut config);
    let running = Running::start(config).await;
    let client = Client::new(&running, folder.path(), "ann");
    (folder, running, client)
}

async fn too_large(response: reqwest::Response) {
    let body: ErrorBody = json(response, StatusCode::PAYLOAD_TOO_LARGE).await;
    assert_eq!(body.code, code::TOO_LARGE);
}

#[tokio::test]
async fn a_request_has_so_many_bytes_items_and_collections_and_no_more() {
    let (_folder, running, ann) = started(|config| {
        config.limits.request_bytes = 10_000;
        config.limits.items = 3;
        config.limits.collections = 2;
    })
    .await;
    let sized = |bytes: usize| {
        let mut text = serde_json::to_vec(&ann.request(vec![create(1, "n", "{}")])).unwrap();
        text.resize(bytes, b' ');
        text
    };
    assert_eq!(ann.post_bytes(SYNC_PATH, sized(10_000)).await.status(), StatusCode::OK);
    too_large(ann.post_bytes(SYNC_PATH, sized(10_001)).await).await;
    let items = |count| (0..count).map(|n| create(10 + n, &format!("r{n}"), "{}")).collect();
    assert_eq!(
        ann.post(SYNC_PATH, &ann.request(items(3))).await.status(),
        StatusCode::OK
    );
    too_large(ann.post(SYNC_PATH, &ann.request(items(4))).await).await;
    let mut asks = ann.asks(None, None, 10);
    asks.collections = ["a", "b", "c"]
        .map(|name| Cursor {
            collection: name.to_owned(),
            cursor: None,
            ..Cursor::default()
        })
        .to_vec();
    too_large(ann.post(PULL_PATH, &asks).await).await;
    asks.collections.pop();
    assert_eq!(ann.post(PULL_PATH, &asks).await.status(), StatusCode::OK);
    running.stop().await;
}

#[tokio::test]
async fn a_request_that_is_far_too_large_is_read_to_its_end_so_that_its_answer_arrives() {
    let (_folder, running, ann) = started(|config| config.limits.request_bytes = 2_000_000).await;
    // More than the sockets' buffers hold: a server that answers and closes breaks the sending off.
    let body = vec![b' '; 30_000_000];
    let mut raw = Raw::begin(&ann, SYNC_PATH, body.len()).await;
    raw.send(&body).await;
    let answer = raw.answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains(code::TOO_LARGE),
        "{answer}"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_large_request_with_a_bad_token_is_read_to_its_end_so_that_the_device_learns_of_it() {
    let rate = Rate {
        per_second: 1,
        burst: 1,
    };
    let (_folder, running, ann) = started(|config| config.limits.per_user = rate).await;
    let body = vec![b' '; 4_000_000];
    let bad = Client {
        token: "bad".to_owned(),
        ..ann.clone()
    };
    let sent = async |client: &Client| {
        let mut raw = Raw::begin(client, SYNC_PATH, body.len()).await;
        raw.send(&body).await;
        raw.answer().await
    };
    let refused = sent(&bad).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    // A second that passes gives back one.
    support::until(async || sent(&ann).await.starts_with("HTTP/1.1 429")).await;
    running.stop().await;
}

#[tokio::test]
async fn a_page_ends_at_the_servers_bounds_and_says_that_there_is_more() {
    let (_folder, running, ann) = started(|config| {
        config.limits.page = 3;
        config.limits.page_bytes = 5_000;
    })
    .await;
    ann.push((1..=5).map(|n| create(n, &format!("r{n}"), "{}")).collect())
        .await;
    let page = ann.pull(None, None, u32::MAX).await;
    assert_eq!((page.changes.len(), page.has_more, page.remaining), (3, true, Some(2)));
    let page = ann.pull(None, None, 0).await;
    assert_eq!(page.changes.len(), 1, "at least one");
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(6_000));
    ann.push(vec![create(6, "large", &large), create(7, "after", "{}")])
        .await;
    let page: PullResponse = ann.pull(Some(&page.epoch), Some("5"), 10).await;
    assert_eq!(
        (page.changes.len(), page.has_more),
        (1, true),
        "one that is too large for a page comes alone"
    );
    assert_eq!(page.cursors[0].cursor.as_deref(), Some("6"));
    running.stop().await;
}

#[tokio::test]
async fn conflicts_that_would_make_an_answer_too_large_are_put_off_and_come_when_asked_again() {
    let (_folder, running, ann) = started(|config| config.limits.page_bytes = 10_000).await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(6_000));
    for op in 1..=3 {
        ann.push(vec![create(op, &format!("r{op}"), &large)]).await;
    }
    let mut items: Vec<_> = (1..=3).map(|n| delete(10 + n, &format!("r{n}"), 9)).collect();
    items.push(create(20, "new", "{}"));
    let results = ann.push(items.clone()).await;
    let states: Vec<_> = results.iter().map(|result| result.status).collect();
    let (met, late, done) = (SyncStatus::Conflict, SyncStatus::Error, SyncStatus::Success);
    assert_eq!(states, [met, met, late, done]);
    assert_eq!(results[2].code.as_deref(), Some(code::TRY_LATER));
    assert!(results[2].server.is_none() && results[2].retry_after_ms.is_some());
    let again = ann.push(vec![items.remove(2)]).await;
    assert_eq!(again[0].server.as_ref().unwrap().data.as_ref().unwrap().get(), large);
    running.stop().await;
}

#[tokio::test]
async fn an_item_is_refused_by_its_shape_and_the_others_are_applied() {
    let (_folder, running, ann) = started(|config| config.limits.record_bytes = 1_000).await;
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let body = |op, text: &str| create(op, "n", text);
    let with = |op, change: fn(&mut keepsync_wire::SyncItem)| {
        let mut item = create(op, "n", "{}");
        change(&mut item);
        item
    };
    let refused = [
        (body(1, "[]"), code::VALIDATION, "data"),
        (body(2, "\"text\""), code::VALIDATION, "data"),
        (body(3, &nested(65)), code::VALIDATION, "data"),
        (
            body(4, &format!("{{\"a\":\"{}\"}}", "x".repeat(1_000))),
            code::TOO_LARGE,
            "data",
        ),
        (with(5, |it| it.data = None), code::VALIDATION, "data"),
        (
            with(6, |it| it.operation = keepsync_wire::Operation::Delete),
            code::VALIDATION,
            "data",
        ),
        (
            with(7, |it| it.entity_id = String::new()),
            code::VALIDATION,
            "entity_id",
        ),
        (
            with(8, |it| it.entity_id = "a\tb".to_owned()),
            code::VALIDATION,
            "entity_id",
        ),
        (
            with(9, |it| it.entity_id = "x".repeat(257)),
            code::VALIDATION,
            "entity_id",
        ),
        (
            with(10, |it| it.entity_type = "Note".to_owned()),
            code::VALIDATION,
            "entity_type",
        ),
        (with(11, |it| it.version = -1), code::VALIDATION, "version"),
    ];
    let mut items: Vec<_> = refused.iter().map(|(item, ..)| item.clone()).collect();
    items.push(create(20, "good", &nested(64)));
    items.push(delete(21, "good", 1));
    let results = ann.push(items).await;
    for ((item, code, field), result) in refused.iter().zip(&results) {
        assert_eq!((result.op_id, result.code.as_deref()), (item.op_id, Some(*code)));
        assert!(
            result.error_message.as_deref().unwrap().starts_with(field),
            "{result:?}"
        );
    }
    assert!(results[11..].iter().all(|result| result.status == SyncStatus::Success));
    let only_bad = vec![refused[0].0.clone(), refused[4].0.clone()];
    let answer: SyncResponse = json(
        ann.post(SYNC_PATH, &ann.request(only_bad)).await,
        StatusCode::UNPROCESSABLE_ENTITY,
    )
    .await;
    assert_eq!(answer.results.len(), 2);
    let empty: SyncResponse = json(ann.post(SYNC_PATH, &ann.request(vec![])).await, StatusCode::OK).await;
    assert!(empty.results.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_without_its_contents() {
    let (_folder, running, ann) = started(|_| ()).await;
    let good = serde_json::to_value(ann.request(vec![create(1, "n", "{}")])).unwrap();
    let mut bad_op = good.clone();
    bad_op["items"][0]["op_id"] = json!("planted-secret");
    let mut bad_operation = good.clone();
    bad_operation["items"][0]["operation"] = json!("planted-secret");
    let mut bad_hlc = good.clone();
    bad_hlc["items"][0]["hlc"] = json!("planted-secret");
    let mut bad_device = good.clone();
    bad_device["device_id"] = json!("planted-secret\n");
    for bad in [
        bad_op,
        bad_operation,
        bad_hlc,
        bad_device,
        json!("planted-secret"),
        json!([]),
    ] {
        let body: ErrorBody = json(ann.post(SYNC_PATH, &bad).await, StatusCode::BAD_REQUEST).await;
        assert_eq!(body.code, code::VALIDATION);
        assert!(!body.message.contains("planted"), "{}", body.message);
    }
    let mut long_label: SyncRequest = serde_json::from_value(good).unwrap();
    long_label.device_label = Some("ü".repeat(500));
    assert_eq!(ann.post(SYNC_PATH, &long_label).await.status(), StatusCode::OK);
    let kept = ann.pull(None, None, 1).await.changes[0]
        .current
        .device_label
        .clone()
        .unwrap();
    assert_eq!(kept, "ü".repeat(128), "cut, not refused");
    running.stop().await;
}

async fn throttled(response: reqwest::Response) {
    let seconds: u64 = response.headers()[header::RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds >= 1);
    let body: ErrorBody = json(response, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(body.code, code::THROTTLED);
}

#[tokio::test]
async fn a_user_who_asks_too_often_waits_and_nobody_else_does() {
    let rate = Rate {
        per_second: 1,
        burst: 5,
    };
    let (folder, running, ann) = started(|config| config.limits.per_user = rate).await;
    let ben = Client::new(&running, folder.path(), "ben");
    let asks = ann.asks(None, None, 1);
    // A second may pass meanwhile, and give back one.
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(ann.post(PULL_PATH, &asks).await);
    }
    assert!(answers[..5].iter().all(|answer| answer.status() == StatusCode::OK));
    throttled(answers.pop().unwrap()).await;
    assert_eq!(
        ben.post(PULL_PATH, &ben.asks(None, None, 1)).await.status(),
        StatusCode::OK
    );
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_names_no_user_too_often_waits_and_users_there_do_not() {
    let rate = Rate {
        per_second: 1,
        burst: 5,
    };
    let (_folder, running, ann) = started(|config| config.limits.per_address = rate).await;
    let mut nobody = ann.clone();
    nobody.token = "garbage".to_owned();
    let asks = ann.asks(None, None, 1);
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(nobody.post(PULL_PATH, &asks).await);
    }
    assert!(
        answers[..5]
            .iter()
            .all(|answer| answer.status() == StatusCode::UNAUTHORIZED)
    );
    throttled(answers.pop().unwrap()).await;
    throttled(http().get(running.url(HEALTH_PATH)).send().await.unwrap()).await;
    assert_eq!(ann.post(PULL_PATH, &asks).await.status(), StatusCode::OK);
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_a_timeout_so_that_less_is_sent_at_once() {
    let (_folder, running, ann) = started(|config| config.limits.request_time = Duration::from_millis(200)).await;
    let mut raw = Raw::begin(&ann, SYNC_PATH, 1_000).await;
    raw.send(b"{").await;
    let answer = raw.answer().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let head = answer.to_ascii_lowercase();
    assert!(head.contains(PROTOCOL_HEADER) && answer.contains(code::TRY_LATER) && !head.contains("retry-after"));
    running.stop().await;
}

#[tokio::test]
async fn a_storage_that_does_not_answer_in_time_is_to_be_asked_later_and_what_it_did_is_done_once() {
    let (folder, running, ann) = started(|config| config.limits.request_time = Duration::from_secs(1)).await;
    let ready = || ann.http.get(running.url("v1/ready")).send();
    assert_eq!(ready().await.unwrap().status(), StatusCode::OK);
    let other = rusqlite::Connection::open(folder.path().join("server.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let request = ann.request(vec![create(1, "n", "{}")]);
    for late in [ann.post(SYNC_PATH, &request).await, ready().await.unwrap()] {
        assert!(late.headers().contains_key(header::RETRY_AFTER));
        let body: ErrorBody = json(late, StatusCode::SERVICE_UNAVAILABLE).await;
        assert_eq!(body.code, code::TRY_LATER);
    }
    let page = ann.pull(None, None, 10).await;
    assert!(page.changes.is_empty(), "reading goes on");
    other.execute_batch("COMMIT").unwrap();
    support::until(async || ready().await.unwrap().status() == StatusCode::OK).await;
    let results = ann.push(vec![create(1, "n", "{}")]).await;
    assert_eq!((results[0].status, results[0].change), (SyncStatus::Success, 1));
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_sends_no_head_is_closed() {
    let (_folder, running, ann) = started(|config| config.limits.header_time = Duration::from_millis(200)).await;
    let mut raw = Raw::connect(&ann).await;
    raw.send(b"POST /v1/sync HTTP/1.1\r\n").await;
    // Closed, with or without a word.
    raw.answer().await;
    let mut silent = Raw::connect(&ann).await;
    silent.answer().await;
    let mut resting = Raw::connect(&ann).await;
    resting.send(b"GET /v1/health HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(
        resting.answer().await.starts_with("HTTP/1.1 200"),
        "answered, and closed when nothing follows"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_takes_nothing_new() {
    let (folder, mut running, ann) = started(|_| ()).await;
    let body = serde_json::to_vec(&ann.request(vec![create(1, "n", "{}")])).unwrap();
    let mut raw = Raw::begin(&ann, SYNC_PATH, body.len()).await;
    raw.send(&body[..10]).await;
    running.stop.take().unwrap().send(()).unwrap();
    // Until nobody listens any more.
    let address = running.address;
    support::until(async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    assert!(!running.task.is_finished());
    raw.send(&body[10..]).await;
    let answer = raw.answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("success"),
        "{answer}"
    );
    running.task.await.unwrap().unwrap();
    assert!(!folder.path().join("server.db-wal").exists(), "the file is closed");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let (_folder, mut running, ann) = started(|config| config.limits.stop_time = Duration::from_millis(100)).await;
    let mut raw = Raw::begin(&ann, SYNC_PATH, 1_000).await;
    raw.send(b"{").await;
    running.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), running.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn web_pages_of_named_origins_may_call_and_see_what_devices_look_at() {
    let (_folder, running, ann) = started(|config| config.origins = vec!["https://app.example.com".to_owned()]).await;
    let preflight = |origin: &'static str| {
        ann.http
            .request(reqwest::Method::OPTIONS, running.url(SYNC_PATH))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,keepsync-protocol",
            )
            .send()
    };
    let allowed = preflight("https://app.example.com").await.unwrap();
    assert_eq!(allowed.status(), StatusCode::OK);
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "https://app.example.com"
    );
    let headers = allowed.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(headers.contains("authorization") && headers.contains("keepsync-protocol"));
    let foreign = preflight("https://evil.example").await.unwrap();
    assert!(foreign.headers().get("access-control-allow-origin").is_none());
    // A refusal must be readable too.
    let page = ann
        .http
        .get(running.url(SYNC_PATH))
        .header("origin", "https://app.example.com")
        .send()
        .await
        .unwrap();
    let exposed = page.headers()["access-control-expose-headers"]
        .to_str()
        .unwrap()
        .to_owned();
    for name in [PROTOCOL_HEADER, "retry-after", "date"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    running.stop().await;

    let (_folder, running, ann) = started(|_| ()).await;
    let none = ann
        .http
        .get(running.url(HEALTH_PATH))
        .header("origin", "https://app.example.com")
        .send()
        .await
        .unwrap();
    assert!(
        none.headers().get("access-control-allow-origin").is_none(),
        "none by default"
    );
    running.stop().await;
}

#[tokio::test]
async fn bodies_are_kept_byte_for_byte() {
    let (_folder, running, ann) = started(|_| ()).await;
    let bodies = [
        "{\"a\":1.0e+2,\"a\":2}",
        "{ \"\\u0041\\n\" : \"\\/\" }",
        "{\"n\":123456789012345678901234567890}",
        "{\"e\":\"\u{1F3CB}\u{FE0F}\"}",
    ];
    for (n, body) in bodies.iter().enumerate() {
        let op = n as u128;
        let sent = if n == 0 {
            create(op, "n", body)
        } else {
            update(op, "n", n as i64, body)
        };
        assert_eq!(ann.push(vec![sent]).await[0].status, SyncStatus::Success);
        let page = ann.pull(None, None, 1).await;
        assert_eq!(page.changes[0].current.data.as_ref().map(|it| it.get()), Some(*body));
    }
    let _: Value = serde_json::from_str(bodies[1]).unwrap();
    running.stop().await;
}
