//! What an answer over HTTP means whoever the backend is: from a status, a few headers and a body to
//! a [`Fault`]. Pure; it never looks at message text.
//!
//! Between the device and the backend stand captive portals, proxies, gateways and load balancers
//! that answer in its place. Each adapter says whether an answer is in its backend's own form;
//! `classify` has the table of what follows.

use super::{Fault, wire::MAX_WAIT_MS};
use keepsync_wire::{MEDIA_TYPE, PROTOCOL_VERSION};
use reqwest::Url;
use std::time::Duration;

/// `Retry-After: 0`, or a date that has passed, means soon; without a floor it would be a loop.
pub(super) const MIN_WAIT_MS: u64 = 1_000;

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
    pub(super) fn is_backend(&self) -> bool {
        self.protocol.is_some()
    }

    /// The contract of this crate, in its media type.
    pub(super) fn is_ours(&self) -> bool {
        self.protocol.is_some_and(|value| value.trim() == PROTOCOL_VERSION) && self.has_media_type(MEDIA_TYPE)
    }

    pub(super) fn is_portal_page(&self) -> bool {
        !self.is_backend() && (self.has_media_type("text/html") || self.has_media_type("application/xhtml+xml"))
    }

    /// Parameters such as `charset` do not matter.
    pub(super) fn has_media_type(&self, wanted: &str) -> bool {
        self.media_type.is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default();
            essence.trim().eq_ignore_ascii_case(wanted)
        })
    }

    pub(super) fn unrecognised(&self) -> Fault {
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

/// A refusal in the backend's own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    /// Its code says that the token is not accepted.
    pub(super) is_token: bool,
}

/// Whether `location`, found in an answer to `asked`, leads to another origin.
pub(super) fn leads_elsewhere(asked: &Url, location: &str) -> bool {
    asked
        .join(location)
        .map_or(true, |target| target.origin() != asked.origin())
}

/// The body of a 2xx, or the fault. `is_ours`: the head shows that the backend itself answered; `own`:
/// it refused in its own form.
pub(super) fn success<'a>(
    head: &Head<'_>,
    body: Body<'a>,
    is_ours: bool,
    own: impl FnOnce() -> Option<Own>,
) -> Result<&'a [u8], Fault> {
    if !(200..=299).contains(&head.status) {
        return Err(refusal(head, body, own()));
    }
    if head.elsewhere || head.is_portal_page() {
        return Err(Fault::Offline);
    }
    match body {
        Body::Whole(bytes) if is_ours => Ok(bytes),
        Body::Broken => Err(Fault::Timeout),
        Body::Whole(_) | Body::TooLarge => Err(head.unrecognised()),
    }
}

/// What any status but a 2xx means.
pub(super) fn refusal(head: &Head<'_>, body: Body<'_>, own: Option<Own>) -> Fault {
    let unless_broken = |fault: Fault| match body {
        Body::Broken => Fault::Timeout,
        Body::Whole(_) | Body::TooLarge => fault,
    };
    match head.status {
        300..=399 if head.elsewhere || !head.is_backend() => Fault::Offline,
        401 => Fault::SignIn,
        403 if own.is_some_and(|own| own.is_token) => Fault::SignIn,
        403 => unless_broken(head.unrecognised()),
        408 | 425 if own.is_some() => Fault::Timeout,
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
            _ if own.is_some() => Fault::Server { status },
            _ => unless_broken(head.unrecognised()),
        },
        _ => head.unrecognised(),
    }
}

/// `Retry-After` in milliseconds, from either of its forms. A date is compared with the answer's
/// own `Date`, because the device's clock may be wrong by years; without one it is not used.
pub(super) fn retry_after(head: &Head<'_>) -> Option<u64> {
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
