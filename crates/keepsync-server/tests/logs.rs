//! The log says what happened, and nothing of what was sent. Alone in its process: it takes the log.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync_server::{Config, Rate, refresh_token};
use keepsync_wire::{PULL_PATH, SYNC_PATH, TOKEN_PATH, TokenRequest, TokenResponse};
use reqwest::StatusCode;
use serde_json::Value;
use std::{
    fs, io,
    sync::{Arc, Mutex},
};
use support::{Client, Running, create, json, now_ms, update};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const MARKER: &str = "planted5ecret";

#[tokio::test]
async fn the_log_has_a_line_for_each_request_and_no_contents() {
    // Everything, of every library, is stricter than what `init_logs` lets through.
    let captured = Captured::default();
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .init();
    let folder = tempfile::tempdir().unwrap();
    let schemas = folder.path().join("schemas");
    fs::create_dir(&schemas).unwrap();
    fs::write(schemas.join("note.json"), r#"{"properties":{"n":{"type":"integer"}}}"#).unwrap();
    let mut config = Config::new(folder.path().join("data"));
    config.schemas = Some(schemas);
    config.limits.per_user = Rate {
        per_second: 1,
        burst: 12,
    };
    let data = config.data.clone();
    let running = Running::start(config).await;
    let user = format!("{MARKER}@example.org");
    let mut ann = Client::new(&running, &data, &user);
    ann.device = format!("phone-{MARKER}");
    let body = format!(r#"{{"{MARKER}":"{MARKER}"}}"#);
    let wrong = format!(r#"{{"n":"{MARKER}"}}"#);
    ann.push(vec![
        create(1, MARKER, &body),
        create(2, MARKER, &body),
        create(3, "other", &wrong),
        update(4, MARKER, 1, &body),
    ])
    .await;
    ann.pull(None, None, 10).await;
    ann.pull(None, Some(MARKER), 10).await;
    ann.post_bytes(SYNC_PATH, format!("{{\"user_id\":{MARKER}").into_bytes())
        .await;
    ann.post(&format!("{PULL_PATH}/{MARKER}?{MARKER}={MARKER}"), &body)
        .await;
    let mut other = ann.request(vec![]);
    other.user_id = format!("not-{MARKER}");
    assert_eq!(ann.post(SYNC_PATH, &other).await.status(), StatusCode::FORBIDDEN);
    // Tokens: good ones, refused ones, one that is used again.
    let first = refresh_token(&data, &user, now_ms()).unwrap();
    let trade = |token: &str| TokenRequest {
        refresh_token: token.to_owned(),
    };
    let second: TokenResponse = json(ann.post(TOKEN_PATH, &trade(&first)).await, StatusCode::OK).await;
    let third: TokenResponse = json(
        ann.post(TOKEN_PATH, &trade(&second.refresh_token)).await,
        StatusCode::OK,
    )
    .await;
    assert_eq!(
        ann.post(TOKEN_PATH, &trade(&first)).await.status(),
        StatusCode::UNAUTHORIZED
    );
    ann.post(TOKEN_PATH, &trade(MARKER)).await;
    let good = ann.token.clone();
    ann.token = format!("{good}{MARKER}");
    ann.post(SYNC_PATH, &ann.request(vec![])).await;
    ann.token = good.clone();
    while ann.post(SYNC_PATH, &ann.request(vec![])).await.status() != StatusCode::TOO_MANY_REQUESTS {}
    running.stop().await;

    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let secrets = [
        MARKER,
        &good,
        &first,
        &second.refresh_token,
        &third.refresh_token,
        &third.access_token,
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "the log has a secret:\n{text}");
    }
    // A JWT's middle says the user in base64.
    assert!(!text.contains(good.split('.').nth(1).unwrap()));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request").collect();
    let push = requests[0];
    assert_eq!(
        (&push["method"], &push["path"], &push["status"]),
        (&"POST".into(), &SYNC_PATH.into(), &200.into())
    );
    assert_eq!(
        [&push["items"], &push["accepted"], &push["conflicts"], &push["refused"]],
        [4, 2, 1, 1].map(Value::from).each_ref()
    );
    let user = push["user"].as_str().unwrap();
    assert_eq!(user.len(), 12, "{user}");
    assert_eq!(requests[1]["user"], user);
    assert_eq!(requests[4]["path"], "other");
    assert!(push["ms"].is_u64());
    let revoked = lines.iter().find(|line| line["level"] == "WARN").unwrap();
    assert_eq!(revoked["user"], user);
    assert!(lines.iter().any(|line| line["message"] == "purged"));
    assert!(lines.iter().any(|line| line["message"] == "stopped"));
}
