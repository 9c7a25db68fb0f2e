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

use super::{Accepted, Fault, Outcome, PullPage, PullRequest, PushAnswer, RemoteChange, RemoteVersion};
use keepsync_wire::{ErrorBody, MEDIA_TYPE, PROTOCOL_VERSION, PullResponse, SyncResult, SyncStatus, Version, code};
use reqwest::Url;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

/// A wait is never longer than this, so that it can be added to any clock. The drain believes far
/// less of it.
const MAX_WAIT_MS: u64 = 365 * 24 * 60 * 60_000;
/// `Retry-After: 0`, or a date that has passed, means soon; without a floor it would be a loop.
const MIN_WAIT_MS: u64 = 1_000;
/// Text from the server that is stored with an entry is cut to this many bytes.
const MAX_TEXT: usize = 2_000;

/// What stands before the body. Headers that are not text count as absent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head<'a> {
    /// HTTP status.
    pub(super) status: u16,
    /// `Content-Type`.
    pub(super) media_type: Option<&'a str>,
    /// The protocol header.
    pub(super) protocol: Option<&'a str>,
    /// `Retry-After`.
    pub(super) retry_after: Option<&'a str>,
    /// `Date`.
    pub(super) date: Option<&'a str>,
    /// The answer came from another origin than was asked, or redirects there.
    pub(super) elsewhere: bool,
}

impl Head<'_> {
    /// Nobody but a backend sends this header, whatever its version.
    fn is_backend(&self) -> bool {
        self.protocol.is_some()
    }

    /// The contract of this crate, in its media type.
    fn is_ours(&self) -> bool {
        self.protocol.is_some_and(|value| value.trim() == PROTOCOL_VERSION) && self.has_media_type(MEDIA_TYPE)
    }

    fn is_portal_page(&self) -> bool {
        !self.is_backend() && (self.has_media_type("text/html") || self.has_media_type("application/xhtml+xml"))
    }

    /// Parameters such as `charset` do not matter.
    fn has_media_type(&self, wanted: &str) -> bool {
        self.media_type.is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default();
            essence.trim().eq_ignore_ascii_case(wanted)
        })
    }

    fn unrecognised(&self) -> Fault {
        Fault::Unrecognised { status: self.status }
    }
}

/// What became of the body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    /// All of it arrived.
    Whole(&'a [u8]),
    /// The connection ended, or a deadline passed, in the middle.
    Broken,
    /// Larger than the cap.
    TooLarge,
}

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
    /// [`keepsync_wire::SyncResponse`] with each result still unread.
    #[derive(Deserialize)]
    struct Answer<'a> {
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
    let answer: Answer<'_> = serde_json::from_slice(bytes).map_err(|_| head.unrecognised())?;
    let mut open: HashMap<Uuid, &str> = asked.iter().map(|(op, id)| (*op, id.as_str())).collect();
    let mut results = Vec::with_capacity(asked.len());
    for raw in answer.results {
        let Ok(result) = serde_json::from_str::<SyncResult>(raw.get()) else {
            continue;
        };
        if open.get(&result.op_id).is_some_and(|id| *id == result.entity_id) {
            open.remove(&result.op_id);
            results.push((result.op_id, outcome(result)));
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
    let cursors: Vec<(String, String)> = page
        .cursors
        .into_iter()
        .filter_map(|moved| Some((moved.collection, moved.cursor?)))
        .collect();
    let moves = |(collection, cursor): &(String, String)| {
        !asked
            .cursors
            .iter()
            .any(|(c, at)| c == collection && at.as_ref() == Some(cursor))
    };
    if page.has_more && !cursors.iter().any(moves) {
        return Err(head.unrecognised());
    }
    let changes = page
        .changes
        .into_iter()
        .map(|change| {
            let version = version(change.current)?;
            Some(RemoteChange {
                collection: change.collection,
                id: change.id,
                version,
            })
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| head.unrecognised())?;
    Ok(PullPage {
        epoch: Some(page.epoch).filter(|epoch| !epoch.is_empty()),
        branch: page.branch.map(|branch| (branch.parent, branch.change)),
        changes,
        cursors,
        has_more: page.has_more,
        whole: page.whole,
        remaining: page.remaining,
        server_time: Some(page.server_time),
    })
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
        _ => Err(refusal(head, body)),
    }
}

/// Whether `location`, found in an answer to `asked`, leads to another origin.
pub(super) fn leads_elsewhere(asked: &Url, location: &str) -> bool {
    asked
        .join(location)
        .map_or(true, |target| target.origin() != asked.origin())
}

/// The body of a 2xx that is ours, or the fault.
fn success<'a>(head: &Head<'_>, body: Body<'a>) -> Result<&'a [u8], Fault> {
    if !(200..=299).contains(&head.status) {
        return Err(refusal(head, body));
    }
    if head.elsewhere || head.is_portal_page() {
        return Err(Fault::Offline);
    }
    match body {
        Body::Whole(bytes) if head.is_ours() => Ok(bytes),
        Body::Broken => Err(Fault::Timeout),
        Body::Whole(_) | Body::TooLarge => Err(head.unrecognised()),
    }
}

/// What any status but a 2xx means.
fn refusal(head: &Head<'_>, body: Body<'_>) -> Fault {
    let unless_broken = |fault: Fault| match body {
        Body::Broken => Fault::Timeout,
        Body::Whole(_) | Body::TooLarge => fault,
    };
    match head.status {
        300..=399 if head.elsewhere || !head.is_backend() => Fault::Offline,
        401 => Fault::SignIn,
        403 => match error(head, body) {
            Some(error) if error.code == code::TOKEN_INVALID => Fault::SignIn,
            _ => unless_broken(head.unrecognised()),
        },
        408 | 425 if error(head, body).is_some() => Fault::Timeout,
        408 | 425 => unless_broken(head.unrecognised()),
        // Proxies have limits of their own and answer with a page of their own. Sending less at
        // once is right whoever it was.
        413 => Fault::TooLarge,
        429 => Fault::Throttled {
            after_ms: retry_after(head),
        },
        511 => Fault::Offline,
        status @ 500..=599 => match (status, retry_after(head)) {
            (503, after @ Some(_)) => Fault::Throttled { after_ms: after },
            _ if error(head, body).is_some() => Fault::Server { status },
            _ => unless_broken(head.unrecognised()),
        },
        _ => head.unrecognised(),
    }
}

/// The backend's own words on a request it did not take.
fn error(head: &Head<'_>, body: Body<'_>) -> Option<ErrorBody> {
    match body {
        Body::Whole(bytes) if head.is_ours() => parse(head, bytes).ok(),
        _ => None,
    }
}

fn parse<T: DeserializeOwned>(head: &Head<'_>, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|_| head.unrecognised())
}

/// `Retry-After` in milliseconds, from either of its forms. A date is compared with the answer's
/// own `Date`, because the device's clock may be wrong by years; without one it is not used.
fn retry_after(head: &Head<'_>) -> Option<u64> {
    let value = head.retry_after?.trim();
    let wait_ms = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number that is too large fails to parse here.
        value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let now = httpdate::parse_http_date(head.date?.trim()).ok()?;
        let wait = until.duration_since(now).unwrap_or(Duration::ZERO);
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
    };
    Some(wait_ms.clamp(MIN_WAIT_MS, MAX_WAIT_MS))
}

/// What one result says of its operation.
fn outcome(result: SyncResult) -> Outcome {
    let after_ms = result.retry_after_ms.map(|wait| wait.min(MAX_WAIT_MS));
    match result.status {
        SyncStatus::Success => Outcome::Accepted(Accepted {
            version: result.server_version,
            change: result.change,
            server_id: result.server_id,
            updated_at: result.updated_at,
            // It is applied, whatever the body looks like; the next pull brings it again.
            body: result.server.and_then(|server| server.data).and_then(object),
        }),
        // A conflict with nothing to decide between settles nothing.
        SyncStatus::Conflict => match result.server.and_then(version) {
            Some(server) => Outcome::Conflict(server),
            None => Outcome::Retry { after_ms },
        },
        SyncStatus::Error => match result.code.as_deref().unwrap_or("rejected") {
            code::BLOCKED => Outcome::Blocked,
            code::TOKEN_INVALID => Outcome::SignIn,
            code::TOO_LARGE => Outcome::TooLarge,
            code::TRY_LATER | code::THROTTLED | code::INTERNAL => Outcome::Retry { after_ms },
            other => Outcome::Rejected {
                code: cut(other).to_owned(),
                message: cut(&result.error_message.unwrap_or_default()).to_owned(),
            },
        },
    }
}

/// A version whose body, if it has one, is an object; nothing otherwise.
fn version(wire: Version) -> Option<RemoteVersion> {
    let body = match wire.data {
        Some(data) => Some(object(data)?),
        None => None,
    };
    Some(RemoteVersion {
        body,
        version: wire.version,
        hlc: wire.hlc,
        op: wire.op_id,
        device_id: wire.device_id,
        device_label: wire.device_label,
        server_id: wire.server_id,
        created_at: wire.created_at,
        updated_at: wire.updated_at,
    })
}

/// The text exactly as it came, if it is an object. That it is JSON was checked when it was read,
/// and it starts at its first character.
fn object(raw: Box<RawValue>) -> Option<String> {
    let text: Box<str> = raw.into();
    text.starts_with('{').then(|| text.into_string())
}

fn cut(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
