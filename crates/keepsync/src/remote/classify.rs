//! What an answer over HTTP means: from a status, a few headers and a body to an answer or a
//! [`Fault`]. Pure; it never looks at message text.
//!
//! An answer is *recognised* when all of these hold: it carries the protocol header with our
//! version, its media type is JSON, and its body parses as what was expected (the answer for a
//! 2xx, an [`ErrorBody`] otherwise). Between the device and the backend stand captive portals,
//! proxies, gateways and load balancers that answer in its place; none of them sets that header.
//!
//! | status | recognised | otherwise |
//! |---|---|---|
//! | 2xx | the answer | HTML without the header: a portal, offline. Broken off: timeout. Else unrecognised |
//! | 3xx | unrecognised | to another origin, or without the header: a portal, offline |
//! | 401 | sign-in | sign-in |
//! | 403 | `token_invalid`: sign-in, else unrecognised | unrecognised |
//! | 408, 425 | timeout | unrecognised |
//! | 413 | too large | too large |
//! | 429 | throttled | throttled |
//! | 503 with `Retry-After` | throttled | throttled |
//! | 511 | offline | offline |
//! | other 5xx | server failed | unrecognised |
//! | 422 to a push, with the answer of a 200 | the answer | unrecognised |
//! | all others | unrecognised | unrecognised |
//!
//! The last row holds 400, 404, 409, 412 and any other 422: for a whole request they name no
//! operation, so they may not settle one.

use super::{
    Fault, PullPage, PullRequest, PushAnswer,
    answer::{self, Body, Head, Own},
    wire,
};
use keepsync_wire::{ErrorBody, PullResponse, SyncResponse, TokenResponse, code};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use uuid::Uuid;

/// Whether an answer to [`probe`] is certain before its body is there.
pub(super) fn probe_needs_no_body(head: &Head<'_>) -> bool {
    head.is_backend() && head.status < 500
}

/// The answer to a push of `asked`: operation ids and the records they are for.
///
/// Results are matched by operation id. One that was not asked for, that names another record, or
/// that cannot be read is not used; of several for one operation the first that can be used wins.
/// So one unreadable result leaves one operation unanswered and holds up no other.
pub(super) fn push(head: &Head<'_>, body: Body<'_>, asked: &[(Uuid, String)]) -> Result<PushAnswer, Fault> {
    /// [`SyncResponse`] with each result still unread.
    #[derive(Deserialize)]
    struct Unread<'a> {
        #[serde(borrow)]
        results: Vec<&'a RawValue>,
        server_time: i64,
        epoch: String,
    }

    let bytes = match (head.status, body) {
        // Every item was refused; the results say so of each by its name.
        (422, Body::Whole(bytes)) if head.is_ours() && !head.elsewhere => bytes,
        _ => success(head, body)?,
    };
    // Nearly always all of it can be read, and in one go that takes half the time.
    let answer: SyncResponse = serde_json::from_slice(bytes).or_else(|_| {
        let unread: Unread<'_> = parse(head, bytes)?;
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).ok();
        Ok(SyncResponse {
            results: unread.results.into_iter().filter_map(read).collect(),
            server_time: unread.server_time,
            epoch: unread.epoch,
        })
    })?;
    let mut open: HashMap<Uuid, &str> = asked.iter().map(|(op, id)| (*op, id.as_str())).collect();
    let mut results = Vec::with_capacity(asked.len());
    for result in answer.results {
        if open.get(&result.op_id).is_some_and(|id| *id == result.entity_id) {
            open.remove(&result.op_id);
            results.push((result.op_id, wire::outcome(result)));
        }
    }
    Ok(PushAnswer {
        results,
        server_time: Some(answer.server_time),
        epoch: Some(answer.epoch).filter(|epoch| !epoch.is_empty()),
    })
}

/// The answer to a pull. A page that promises more but moves no cursor is not used: asking again
/// would bring the same page for ever. Nor is a page with a body that is not a JSON object: leaving
/// out one change would lose it, because the cursor passes it by.
pub(super) fn pull(head: &Head<'_>, body: Body<'_>, asked: &PullRequest) -> Result<PullPage, Fault> {
    let page: PullResponse = parse(head, success(head, body)?)?;
    let page = wire::pull_page(page).ok_or_else(|| head.unrecognised())?;
    let moves = |(collection, cursor): &(String, String)| {
        !asked
            .cursors
            .iter()
            .any(|(c, at)| c == collection && at.as_ref() == Some(cursor))
    };
    if page.has_more && !page.cursors.iter().any(moves) {
        return Err(head.unrecognised());
    }
    Ok(page)
}

/// The answer to the trade of a refresh token. [`Fault::SignIn`] means that the backend itself refused
/// it: what somebody in between answers must not make anyone throw a refresh token away.
pub(super) fn trade(head: &Head<'_>, body: Body<'_>) -> Result<TokenResponse, Fault> {
    match head.status {
        401 | 403 if error(head, body).is_none() => Err(head.unrecognised()),
        _ => parse(head, success(head, body)?),
    }
}

/// The answer to a probe. Any answer with the protocol header below 500 proves the backend,
/// whatever it says: it may want a token, or not know this path.
pub(super) fn probe(head: &Head<'_>, body: Body<'_>) -> Result<(), Fault> {
    if probe_needs_no_body(head) {
        return Ok(());
    }
    match head.status {
        // The probe carries no token and no body to speak of, so these answers of somebody else
        // say nothing about either.
        401 | 413 => Err(head.unrecognised()),
        // Without the header there is nothing here to recognise.
        200..=299 => success(head, body).and(Err(head.unrecognised())),
        _ => Err(answer::refusal(head, body, own(head, body))),
    }
}

/// The body of a 2xx that is ours, or the fault.
fn success<'a>(head: &Head<'_>, body: Body<'a>) -> Result<&'a [u8], Fault> {
    answer::success(head, body, head.is_ours(), || own(head, body))
}

fn own(head: &Head<'_>, body: Body<'_>) -> Option<Own> {
    let error = error(head, body)?;
    Some(Own {
        is_token: error.code == code::TOKEN_INVALID,
    })
}

/// The backend's own words on a request it did not take.
fn error(head: &Head<'_>, body: Body<'_>) -> Option<ErrorBody> {
    match body {
        Body::Whole(bytes) if head.is_ours() => parse(head, bytes).ok(),
        _ => None,
    }
}

fn parse<'a, T: Deserialize<'a>>(head: &Head<'_>, bytes: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|_| head.unrecognised())
}

#[cfg(test)]
mod tests;
