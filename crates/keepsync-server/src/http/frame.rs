//! Around every request: the headers every answer has, and its line in the log.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use keepsync_wire::{MEDIA_TYPE, PROTOCOL_HEADER, PROTOCOL_VERSION};
use std::time::Instant;

/// What a handler tells the log. Never contents.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The user's alias.
    pub(super) user: String,
    /// Items or changes.
    pub(super) items: usize,
    pub(super) accepted: usize,
    pub(super) conflicts: usize,
    pub(super) refused: usize,
}

pub(super) async fn frame(request: Request<Body>, next: Next) -> Response {
    let started = Instant::now();
    let method = known_method(request.method().as_str());
    let path = known_path(request.uri().path());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static(PROTOCOL_HEADER),
        HeaderValue::from_static(PROTOCOL_VERSION),
    );
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
    tracing::info!(
        method,
        path,
        status = response.status().as_u16(),
        ms = started.elapsed().as_millis() as u64,
        user = told.user,
        items = told.items,
        accepted = told.accepted,
        conflicts = told.conflicts,
        refused = told.refused,
        "request"
    );
    response
}

/// Only paths of ours are logged: another may hold anything.
fn known_path(path: &str) -> &'static str {
    use keepsync_wire::{HEALTH_PATH, PULL_PATH, SYNC_PATH, TOKEN_PATH};
    let known = [SYNC_PATH, PULL_PATH, HEALTH_PATH, TOKEN_PATH, super::READY_PATH];
    let path = path.strip_prefix('/').unwrap_or(path);
    known.into_iter().find(|known| *known == path).unwrap_or("other")
}

/// A method can be any word.
fn known_method(method: &str) -> &'static str {
    let known = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH"];
    known.into_iter().find(|known| *known == method).unwrap_or("other")
}
