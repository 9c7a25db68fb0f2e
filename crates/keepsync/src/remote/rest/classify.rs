//! What an answer of a plain API means. Pure; it never looks at message text.
//!
//! An answer settles a write only if it certainly comes from the API: a 2xx of JSON (or a 201, 202,
//! 204, 205 without a body), or a refusal in the *declared form* ([`ErrorForm`](super::ErrorForm)).
//!
//! | status of a write | in the declared form | otherwise |
//! |---|---|---|
//! | 2xx | accepted, if JSON | HTML: a portal, offline. Broken off: timeout. Else unrecognised |
//! | 3xx | | to another origin: a portal, offline. Else unrecognised |
//! | 401, 403 with a token code | sign-in | 401 sign-in, 403 unrecognised |
//! | 404, 410 | a delete has arrived; a record we know of: conflict with nothing; else rejected | unrecognised |
//! | 408, 425, 409 in progress | retry | unrecognised |
//! | 409, 412 | the record is read: conflict with it. Nobody changed it, or nowhere to read: rejected | unrecognised |
//! | 413 | too large: parked | the request is too large: tried again later |
//! | 429, 503 with `Retry-After` | throttled | throttled |
//! | other 4xx | rejected, with code and message | unrecognised |
//! | 511 | offline | offline |
//! | other 5xx | server failed | unrecognised |
//!
//! A declared 5xx is a fault of the request, not a retry of the entry. The entry waits for its schedule
//! either way, but three faults in a row back off from a backend that fails on everything, where retries
//! would ask it once for each of ten thousand entries.

use super::{
    api::{Api, Endpoints},
    list::Listed,
    refusal::{Declared, is_json},
};
use crate::remote::{
    Accepted, Fault, Outcome, PushItem, RemoteVersion,
    answer::{self, Body, Head, Own},
};
use keepsync_wire::Operation;
use serde_json::value::RawValue;

/// What an answer to a write came to.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Outcome(Outcome),
    /// Refused because of what the record is now.
    Changed(Declared),
}

/// What an answer to a list came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Page {
    Listed(Listed),
    /// The cursor is not known any more.
    Forgotten,
}

fn rejected(declared: Declared) -> Outcome {
    Outcome::Rejected {
        code: declared.code,
        message: declared.message,
    }
}

/// The answer to `item`, which went out as `operation`.
pub(super) fn write(
    api: &Api,
    endpoints: &Endpoints,
    item: &PushItem,
    operation: Operation,
    head: &Head<'_>,
    body: Body<'_>,
) -> Result<Said, Fault> {
    if (200..=299).contains(&head.status) {
        let answer = match success(head, body)? {
            [] if api.empty_ok || matches!(head.status, 201 | 202 | 204 | 205) => None,
            [] => return Err(head.unrecognised()),
            bytes => Some(json(head, bytes)?),
        };
        let accepted = accepted(endpoints, item, operation, answer);
        return Ok(Said::Outcome(Outcome::Accepted(accepted)));
    }
    let Some(declared) = api.errors.read(head, body) else {
        return Err(refusal(head, body, None));
    };
    let outcome = match head.status {
        403 if api.errors.is_token(&declared) => return Err(Fault::SignIn),
        408 | 425 => Outcome::Retry {
            after_ms: answer::retry_after(head),
        },
        409 if api.errors.is_in_progress(&declared) => Outcome::Retry {
            after_ms: answer::retry_after(head),
        },
        409 | 412 => return Ok(Said::Changed(declared)),
        404 | 410 if !api.errors.is_gone(&declared) => return Err(head.unrecognised()),
        404 | 410 if operation == Operation::Delete => Outcome::Accepted(Accepted {
            version: item.base_version.saturating_add(1),
            ..Accepted::default()
        }),
        // News, where a version of it was known; where none was, something else is missing.
        404 | 410 if item.base_version > 0 => Outcome::Conflict(RemoteVersion::default()),
        413 => Outcome::TooLarge,
        401 | 429 => return Err(refusal(head, body, None)),
        400..=499 => rejected(declared),
        _ => return Err(refusal(head, body, Some(Own { is_token: false }))),
    };
    Ok(Said::Outcome(outcome))
}

/// What an accepted write tells of its record. A part that is not of the declared form is not used:
/// the write has arrived whatever its answer looks like, and the next pull brings the rest.
fn accepted(endpoints: &Endpoints, item: &PushItem, operation: Operation, answer: Option<&RawValue>) -> Accepted {
    let version = item.base_version.saturating_add(1);
    let plain = Accepted {
        version,
        server_id: answer.and_then(|answer| endpoints.record.server_id_in(answer)),
        ..Accepted::default()
    };
    if operation == Operation::Delete {
        return plain;
    }
    let found = answer.and_then(|answer| endpoints.record.in_answer(answer, version));
    let Some(found) = found.filter(|found| found.id == item.id) else {
        return plain;
    };
    Accepted {
        version: found.version.version,
        body: found.version.body.filter(|_| endpoints.stores_answer(item.operation)),
        updated_at: (found.version.updated_at > 0).then_some(found.version.updated_at),
        ..plain
    }
}

/// The record as it is now, read after `item` was refused with `declared`.
pub(super) fn read(
    api: &Api,
    endpoints: &Endpoints,
    item: &PushItem,
    declared: Declared,
    head: &Head<'_>,
    body: Body<'_>,
) -> Result<Outcome, Fault> {
    let current = if (200..=299).contains(&head.status) {
        let answer = json(head, success(head, body)?)?;
        let found = endpoints.record.in_answer(answer, item.base_version.saturating_add(1));
        let found = found.filter(|found| found.id == item.id);
        found.ok_or_else(|| head.unrecognised())?.version
    } else {
        match api.errors.read(head, body) {
            Some(why) if matches!(head.status, 404 | 410) && api.errors.is_gone(&why) => RemoteVersion::default(),
            why => return Err(refused(api, head, body, why)),
        }
    };
    // It stands on what is there and is refused all the same: not for another's change.
    Ok(if current.version == item.base_version {
        rejected(declared)
    } else {
        Outcome::Conflict(current)
    })
}

/// The answer to a list of at most `limit`, from a cursor on or not.
pub(super) fn list(
    api: &Api,
    endpoints: &Endpoints,
    limit: u32,
    cursor: Option<&str>,
    head: &Head<'_>,
    body: Body<'_>,
) -> Result<Page, Fault> {
    if !(200..=299).contains(&head.status) {
        let declared = api.errors.read(head, body);
        if head.status == 410 && declared.is_some() && cursor.is_some() {
            return Ok(Page::Forgotten);
        }
        return Err(refused(api, head, body, declared));
    }
    let answer = json(head, success(head, body)?)?;
    let listed = endpoints
        .list
        .as_ref()
        .and_then(|list| list.read(answer, &endpoints.record, limit));
    let listed = listed.ok_or_else(|| head.unrecognised())?;
    // Asking again would bring the same page for ever.
    let moves = listed.next.as_deref().is_some_and(|next| Some(next) != cursor);
    if listed.has_more && !moves {
        return Err(head.unrecognised());
    }
    Ok(Page::Listed(listed))
}

/// Whether an answer to [`probe`] is certain before its body is there.
pub(super) fn probe_needs_no_body(head: &Head<'_>) -> bool {
    is_json(head) && !head.elsewhere && !matches!(head.status, 300..=399 | 500..)
}

/// The answer to a probe. JSON below 500 proves the API, whatever it says: it may want a token, or not
/// know this path.
pub(super) fn probe(api: &Api, head: &Head<'_>, body: Body<'_>) -> Result<(), Fault> {
    if probe_needs_no_body(head) {
        return Ok(());
    }
    match head.status {
        // The probe carries no token and no body to speak of.
        401 | 413 => Err(head.unrecognised()),
        200..=299 => success(head, body).and(Err(head.unrecognised())),
        _ => Err(refused(api, head, body, api.errors.read(head, body))),
    }
}

/// The body of a 2xx of JSON or of nothing.
fn success<'a>(head: &Head<'_>, body: Body<'a>) -> Result<&'a [u8], Fault> {
    let is_empty = matches!(body, Body::Whole([]));
    answer::success(head, body, is_json(head) || is_empty, || None)
}

fn json<'a>(head: &Head<'_>, bytes: &'a [u8]) -> Result<&'a RawValue, Fault> {
    serde_json::from_slice(bytes).map_err(|_| head.unrecognised())
}

fn refused(api: &Api, head: &Head<'_>, body: Body<'_>, declared: Option<Declared>) -> Fault {
    let own = declared.map(|declared| Own {
        is_token: api.errors.is_token(&declared),
    });
    refusal(head, body, own)
}

/// No API sends the protocol header, so a redirect is told by where it leads. One that stays here is a
/// mistyped endpoint, and "offline" would hide it.
fn refusal(head: &Head<'_>, body: Body<'_>, own: Option<Own>) -> Fault {
    match head.status {
        300..=399 if !head.elsewhere => head.unrecognised(),
        _ => answer::refusal(head, body, own),
    }
}

#[cfg(test)]
mod tests;
