//! The model server over HTTP, for tests whose devices are real processes.
//!
//! The token is `token-<user>`. Every answer carries the protocol header and the media type; what is
//! refused as a whole is answered with an [`ErrorBody`].

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use keepsync_sim::server::ModelServer;
use keepsync_wire::{
    ErrorBody, HEALTH_PATH, MEDIA_TYPE, PROTOCOL_HEADER, PROTOCOL_VERSION, PULL_PATH, SYNC_PATH, code,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::net::TcpListener;

pub(crate) type Shared = Arc<Mutex<ModelServer>>;

/// Serves on loopback, on a port of the system's choice; gives the address. `pause` lies between a
/// commit and its answer, so that a kill can fall there.
pub(crate) async fn serve(server: Shared, pause: Duration) -> String {
    let push = move |server: State<Shared>, headers: HeaderMap, body: Bytes| async move {
        let answer = sync(server, headers, body).await;
        tokio::time::sleep(pause).await;
        answer
    };
    let app = Router::new()
        .route(&format!("/{SYNC_PATH}"), post(push))
        .route(&format!("/{PULL_PATH}"), post(pull))
        .route(&format!("/{HEALTH_PATH}"), get(health))
        .with_state(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

async fn health() -> Response {
    ours(StatusCode::OK, "{}".to_owned())
}

async fn sync(State(server): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(user) = user(&headers) else {
        return unauthorized();
    };
    let Ok(request) = serde_json::from_slice(&body) else {
        return refused(StatusCode::BAD_REQUEST, code::VALIDATION);
    };
    let answer = server
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .sync(&user, &request, now_ms());
    answered(answer.map(|answer| serde_json::to_string(&answer)))
}

async fn pull(State(server): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(user) = user(&headers) else {
        return unauthorized();
    };
    let Ok(request) = serde_json::from_slice(&body) else {
        return refused(StatusCode::BAD_REQUEST, code::VALIDATION);
    };
    let answer = server
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pull(&user, &request, now_ms());
    answered(answer.map(|answer| serde_json::to_string(&answer)))
}

fn user(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    text.strip_prefix("Bearer token-")
        .map(str::to_owned)
        .filter(|user| !user.is_empty())
}

fn answered(answer: Option<serde_json::Result<String>>) -> Response {
    match answer {
        Some(Ok(body)) => ours(StatusCode::OK, body),
        Some(Err(_)) => refused(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL),
        None => refused(StatusCode::FORBIDDEN, code::FORBIDDEN),
    }
}

fn unauthorized() -> Response {
    refused(StatusCode::UNAUTHORIZED, code::TOKEN_INVALID)
}

fn refused(status: StatusCode, code: &str) -> Response {
    let body = ErrorBody {
        code: code.to_owned(),
        message: String::new(),
    };
    ours(status, serde_json::to_string(&body).unwrap_or_default())
}

fn ours(status: StatusCode, body: String) -> Response {
    let headers = [
        (PROTOCOL_HEADER, PROTOCOL_VERSION),
        (header::CONTENT_TYPE.as_str(), MEDIA_TYPE),
    ];
    (status, headers, body).into_response()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
