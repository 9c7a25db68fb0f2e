//! Who asks.

use super::{App, Peer, answer};
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use keepsync_wire::code;

/// The user a request's token names, if it may ask now.
pub(super) fn user(app: &App, headers: &HeaderMap, peer: Peer) -> Result<String, Box<Response>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, another) = (values.next(), values.next());
    let token = value
        .filter(|_| another.is_none())
        .and_then(|value| value.to_str().ok())
        .and_then(bearer);
    let Some(user) = token.and_then(|token| app.keys.verify(token)) else {
        address(app, peer)?;
        return Err(Box::new(answer::no_token()));
    };
    app.users.take(&user).map_err(throttled)?;
    Ok(user)
}

/// Counts a request that names no user.
pub(super) fn address(app: &App, peer: Peer) -> Result<(), Box<Response>> {
    app.addresses.take(&peer.0).map_err(throttled)
}

fn throttled(seconds: u64) -> Box<Response> {
    let text = "too many requests";
    Box::new(answer::later(
        StatusCode::TOO_MANY_REQUESTS,
        code::THROTTLED,
        text,
        seconds,
    ))
}

/// The scheme is not case-sensitive (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}
