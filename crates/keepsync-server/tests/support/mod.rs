//! A server on a real socket, and a client that says what it wants and what it got.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "every test file uses a part of it, and the helpers of tests are tests too"
)]

use keepsync_server::{Config, Server, ServerError};
use keepsync_wire::{
    Cursor, Hlc, MEDIA_TYPE, Operation, PROTOCOL_HEADER, PROTOCOL_VERSION, PULL_PATH, PullRequest, PullResponse,
    SYNC_PATH, SyncItem, SyncRequest, SyncResponse, SyncResult,
};
use reqwest::{Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

pub mod app;
pub mod devices;
pub mod raw;

/// A server under way.
pub struct Running {
    pub address: SocketAddr,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    pub async fn start(config: Config) -> Self {
        let server = Server::bind(config).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

/// Waits until it holds, for a time that only a fault makes long.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..20_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it did not come about");
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A client of HTTP; the feature of reqwest that the devices use wants a provider, encrypted or not.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// One user's device.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub user: String,
    pub device: String,
    pub token: String,
}

impl Client {
    pub fn new(running: &Running, data: &Path, user: &str) -> Self {
        Self {
            http: http(),
            base: running.url(""),
            user: user.to_owned(),
            device: "phone".to_owned(),
            token: keepsync_server::access_token(data, user, 600, now_ms()).unwrap(),
        }
    }

    pub async fn post(&self, path: &str, body: &impl Serialize) -> Response {
        self.post_bytes(path, serde_json::to_vec(body).unwrap()).await
    }

    pub async fn post_bytes(&self, path: &str, body: Vec<u8>) -> Response {
        self.http
            .post(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(body)
            .send()
            .await
            .unwrap()
    }

    pub fn request(&self, items: Vec<SyncItem>) -> SyncRequest {
        SyncRequest {
            user_id: self.user.clone(),
            device_id: self.device.clone(),
            device_label: None,
            epoch: None,
            items,
        }
    }

    pub async fn push(&self, items: Vec<SyncItem>) -> Vec<SyncResult> {
        let answer: SyncResponse = json(self.post(SYNC_PATH, &self.request(items)).await, StatusCode::OK).await;
        answer.results
    }

    pub async fn pull(&self, epoch: Option<&str>, cursor: Option<&str>, limit: u32) -> PullResponse {
        json(
            self.post(PULL_PATH, &self.asks(epoch, cursor, limit)).await,
            StatusCode::OK,
        )
        .await
    }

    pub fn asks(&self, epoch: Option<&str>, cursor: Option<&str>, limit: u32) -> PullRequest {
        PullRequest {
            user_id: self.user.clone(),
            device_id: self.device.clone(),
            epoch: epoch.map(str::to_owned),
            collections: vec![Cursor {
                collection: "note".to_owned(),
                cursor: cursor.map(str::to_owned),
                ..Cursor::default()
            }],
            limit,
        }
    }
}

/// The body of an answer that must be the server's own.
pub async fn json<T: DeserializeOwned>(response: Response, status: StatusCode) -> T {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()[PROTOCOL_HEADER], PROTOCOL_VERSION);
    assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

pub fn item(op: u128, id: &str, operation: Operation, version: i64, body: Option<&str>) -> SyncItem {
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

pub fn create(op: u128, id: &str, body: &str) -> SyncItem {
    item(op, id, Operation::Create, 0, Some(body))
}

pub fn update(op: u128, id: &str, version: i64, body: &str) -> SyncItem {
    item(op, id, Operation::Update, version, Some(body))
}

pub fn delete(op: u128, id: &str, version: i64) -> SyncItem {
    item(op, id, Operation::Delete, version, None)
}
