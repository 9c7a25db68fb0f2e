//! Answers.

use crate::storage::StorageError;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use keepsync_wire::{ErrorBody, MEDIA_TYPE, code};
use serde::Serialize;

/// Seconds after which a passing trouble may be over.
const SOON_S: u64 = 2;

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let (status, text) = match serde_json::to_vec(body) {
        Ok(text) => (status, text),
        // Our own types are always writable; without this an answer would have to panic.
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, br#"{"code":"internal"}"#.to_vec()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// A request as a whole was not taken.
pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = ErrorBody {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    json(status, &body)
}

/// As [`refuse`], and when to come again.
pub(super) fn later(status: StatusCode, code: &str, message: &str, seconds: u64) -> Response {
    let mut response = refuse(status, code, message);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// The token is missing or not good; which of the two, and why, is not told.
pub(super) fn no_token() -> Response {
    let mut response = refuse(StatusCode::UNAUTHORIZED, code::TOKEN_INVALID, "the token is not valid");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

pub(super) fn too_large(what: &str) -> Box<Response> {
    let text = format!("{what}: more than this server takes at once");
    Box::new(refuse(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, &text))
}

/// The body did not arrive in time: a smaller one may.
pub(super) fn too_slow() -> Response {
    let text = "the request took too long to arrive";
    refuse(StatusCode::REQUEST_TIMEOUT, code::TRY_LATER, text)
}

/// The answer was not ready in time. What was asked for may happen yet.
pub(super) fn not_now() -> Response {
    let text = "the server is too slow now";
    later(StatusCode::SERVICE_UNAVAILABLE, code::TRY_LATER, text, SOON_S)
}

pub(super) fn storage_failed(error: &StorageError) -> Response {
    tracing::error!(code = error.code(), %error, "storage");
    if error.is_passing() || *error == StorageError::Closed {
        let text = "the storage cannot be written now";
        return later(StatusCode::SERVICE_UNAVAILABLE, code::TRY_LATER, text, SOON_S);
    }
    refuse(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "the server failed")
}

pub(super) async fn unknown_path() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

pub(super) async fn wrong_method() -> Response {
    let text = "this path does not take this method";
    refuse(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", text)
}
