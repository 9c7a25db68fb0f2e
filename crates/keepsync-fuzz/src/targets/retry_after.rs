//! `Retry-After` beside a `Date`, in an answer that throttles.
//!
//! The wait is never shorter than a second nor longer than a year; digits are seconds; a date is what lies
//! between it and the answer's own, whatever this device's clock says; all else is no wait at all.

use crate::{
    input::{End, Reply, lines, now},
    remote::{
        Fault, Remote as _,
        http::{HttpOptions, HttpRemote},
        transport,
    },
};
use std::time::SystemTime;

pub(crate) fn run(data: &[u8]) {
    let [wait, date] = lines(data);
    let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.trim().as_bytes().to_vec());
    let reply = |wait: &str| Reply {
        status: 429,
        elsewhere: false,
        end: End::Whole,
        headers: vec![header("retry-after", wait), header("date", &date)],
        body: Vec::new(),
    };
    let told = |wait: &str| {
        let reply = reply(wait);
        transport::will_answer([reply.clone()]);
        let remote = HttpRemote::new(HttpOptions::new(super::answers::BASE)).unwrap();
        match now(remote.push(None, super::answers::batch())) {
            Err(Fault::Throttled { after_ms }) => (reply, after_ms),
            other => panic!("a 429 is {other:?}"),
        }
    };
    let (reply, after_ms) = told(&wait);
    let seen = reply.header("retry-after").map(str::trim);
    let number = seen.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let expected = match (number, seen.and_then(moment), reply.header("date").and_then(moment)) {
        (Some(number), ..) => Some(
            number
                .parse::<u128>()
                .map_or(u128::MAX, |seconds| seconds.saturating_mul(1_000)),
        ),
        (None, Some(until), Some(from)) => Some(until.duration_since(from).unwrap_or_default().as_millis()),
        _ => None,
    };
    let expected = expected.map(|ms| ms.clamp(1_000, u128::from(super::answers::LONGEST_MS)));
    assert_eq!(after_ms.map(u128::from), expected);
    if let Some(number) = number
        .and_then(|number| number.parse::<u64>().ok())
        .filter(|number| *number < u64::MAX)
    {
        assert!(
            told(&(number + 1).to_string()).1 >= after_ms,
            "a longer wait is not shorter"
        );
    }
}

/// A date of HTTP that is written as it is read.
fn moment(text: &str) -> Option<SystemTime> {
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    assert_eq!(httpdate::parse_http_date(&httpdate::fmt_http_date(at)).unwrap(), at);
    Some(at)
}
