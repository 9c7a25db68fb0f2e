//! The wire, on a real socket.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync_server::Config;
use keepsync_wire::{ErrorBody, HEALTH_PATH, SYNC_PATH, SyncStatus, code};
use reqwest::StatusCode;
use support::{Client, Running, create, http, json, update};

#[tokio::test]
async fn what_one_device_pushes_another_pulls_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Config::new(folder.path())).await;
    let phone = Client::new(&running, folder.path(), "ann");
    let body = r#"{ "a" : 1.50, "ä\u0041": [ ] }"#;
    let first = phone.push(vec![create(1, "n", "{}"), update(2, "n", 1, body)]).await;
    assert_eq!((first[0].server_version, first[1].server_version), (1, 2));
    let again = phone.push(vec![update(2, "n", 1, body)]).await;
    assert_eq!(
        (again[0].status, again[0].change, again[0].updated_at),
        (SyncStatus::Success, 2, first[1].updated_at)
    );
    let tablet = Client {
        device: "tablet".to_owned(),
        ..phone
    };
    let page = tablet.pull(None, None, 10).await;
    assert_eq!(page.changes.len(), 1);
    assert_eq!(page.changes[0].current.data.as_ref().unwrap().get(), body);
    assert_eq!((page.cursors[0].cursor.as_deref(), page.has_more), (Some("2"), false));
    running.stop().await;
}

#[tokio::test]
async fn every_answer_is_recognisably_ours() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Config::new(folder.path())).await;
    let client = http();
    let get = |path| client.get(running.url(path)).send();
    let _: serde_json::Value = json(get(HEALTH_PATH).await.unwrap(), StatusCode::OK).await;
    let _: serde_json::Value = json(get("v1/ready").await.unwrap(), StatusCode::OK).await;
    let none: ErrorBody = json(get("nowhere").await.unwrap(), StatusCode::NOT_FOUND).await;
    assert_eq!(none.code, "not_found");
    let method: ErrorBody = json(get(SYNC_PATH).await.unwrap(), StatusCode::METHOD_NOT_ALLOWED).await;
    assert_eq!(method.code, "wrong_method");
    let ann = Client::new(&running, folder.path(), "ann");
    let garbage = ann.post_bytes(SYNC_PATH, b"{\"user_id\":".to_vec()).await;
    let garbage: ErrorBody = json(garbage, StatusCode::BAD_REQUEST).await;
    assert_eq!(garbage.code, code::VALIDATION);
    let mut ben = ann.clone();
    ben.user = "ben".to_owned();
    let foreign: ErrorBody = json(ben.post(SYNC_PATH, &ben.request(vec![])).await, StatusCode::FORBIDDEN).await;
    assert_eq!(foreign.code, code::FORBIDDEN);
    ben.token = "nonsense".to_owned();
    let refused = ben.post(SYNC_PATH, &ben.request(vec![])).await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    let refused: ErrorBody = json(refused, StatusCode::UNAUTHORIZED).await;
    assert_eq!(refused.code, code::TOKEN_INVALID);
    running.stop().await;
}
