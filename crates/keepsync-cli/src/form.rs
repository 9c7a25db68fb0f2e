//! The forms of `--json`: a public contract, described in `docs/cli.md`.

use keepsync::{
    queue::{Entry, Reason, Why},
    record::Record,
    session::Session,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

/// UTC milliseconds as RFC 3339.
pub(crate) fn time(wall_ms: i64) -> String {
    // The format ends with the year 9999.
    let ms = u64::try_from(wall_ms).unwrap_or(0).min(253_402_300_799_999);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// A JSON text without the white space between its parts, so that it fits on a line. Numbers and
/// strings stay as they were written.
pub(crate) fn compact(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|&c| {
            let keep = inside || !matches!(c, ' ' | '\t' | '\n' | '\r');
            if inside {
                inside = escaped || c != '"';
                escaped = c == '\\' && !escaped;
            } else {
                inside = c == '"';
            }
            keep
        })
        .collect()
}

/// A body as it stands in a form. What is stored is JSON; what is not, is damage, and shows as
/// `null` here and by its name in `doctor`.
pub(crate) fn body(text: Option<&str>) -> Option<Box<RawValue>> {
    text.and_then(|text| RawValue::from_string(compact(text)).ok())
}

#[derive(Serialize)]
pub(crate) struct RecordForm {
    collection: String,
    id: String,
    body: Option<Box<RawValue>>,
    version: i64,
    state: &'static str,
    deleted: bool,
    created_at: String,
    updated_at: String,
    synced_at: Option<String>,
    device_id: String,
    server_id: Option<String>,
}

impl From<&Record> for RecordForm {
    fn from(record: &Record) -> Self {
        Self {
            collection: record.collection.clone(),
            id: record.id.clone(),
            body: body(record.body.as_deref()),
            version: record.version,
            state: record.state.as_str(),
            deleted: record.body.is_none(),
            created_at: time(record.created_at),
            updated_at: time(record.updated_at),
            synced_at: record.synced_at.map(time),
            device_id: record.device_id.clone(),
            server_id: record.server_id.clone(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct ReasonForm {
    code: String,
    message: String,
}

impl From<&Reason> for ReasonForm {
    fn from(reason: &Reason) -> Self {
        Self {
            code: reason.code.clone(),
            message: reason.message.clone(),
        }
    }
}

/// What keeps an unsent write where it is.
#[derive(Serialize)]
pub(crate) struct WhyForm {
    code: String,
    message: String,
    /// The operation it waits behind.
    behind: Option<Uuid>,
}

impl From<&Why> for WhyForm {
    fn from(why: &Why) -> Self {
        Self {
            code: why.code().to_owned(),
            message: why.message(),
            behind: why.behind(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct EntryForm {
    op: Uuid,
    seq: i64,
    collection: String,
    id: String,
    kind: &'static str,
    state: &'static str,
    base_version: i64,
    attempts: u32,
    next_attempt_at: Option<String>,
    created_at: String,
    reason: Option<ReasonForm>,
    why: WhyForm,
    /// Only where one entry was asked for; then `null` for a delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Option<Box<RawValue>>>,
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        Self {
            op: entry.op,
            seq: entry.seq,
            collection: entry.collection.clone(),
            id: entry.id.clone(),
            kind: entry.kind.as_str(),
            state: entry.state.as_str(),
            base_version: entry.base_version,
            attempts: entry.attempts,
            next_attempt_at: entry.next_attempt_at.map(time),
            created_at: time(entry.created_at),
            reason: entry.reason.as_ref().map(Into::into),
            why: (&entry.why).into(),
            body: None,
        }
    }
}

impl EntryForm {
    pub(crate) fn with_body(entry: &Entry) -> Self {
        Self {
            body: Some(body(entry.body.as_deref())),
            ..entry.into()
        }
    }
}

/// What a person calls a device, else its id.
pub(crate) fn label_or(label: Option<&String>, device_id: &str) -> String {
    let label = label.filter(|label| !label.is_empty());
    label.cloned().unwrap_or_else(|| device_id.to_owned())
}

#[derive(Serialize)]
pub(crate) struct SessionForm {
    id: String,
    kind: String,
    state: &'static str,
    started_at: String,
    /// The bodies of the sets, each with its `slot`, in the order in which they were first logged.
    sets: Vec<Option<Box<RawValue>>>,
    scratch: Option<String>,
}

impl From<&Session> for SessionForm {
    fn from(session: &Session) -> Self {
        Self {
            id: session.id.clone(),
            kind: session.collection.clone(),
            state: session.state.as_str(),
            started_at: time(session.started_at),
            sets: session.sets.iter().map(|set| body(set.body.as_deref())).collect(),
            scratch: session.scratch.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_text_keeps_numbers_and_strings_as_written() {
        let text = "{ \"a b\" :\t75.0,\r\n \"c\" : \"x \\\" y\\\\\" , \"d\":[1e2, 12345678901234567890.10 ] }";
        let expected = r#"{"a b":75.0,"c":"x \" y\\","d":[1e2,12345678901234567890.10]}"#;
        assert_eq!(compact(text), expected);
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(1_763_600_000_123), "2025-11-20T00:53:20.123Z");
        assert_eq!(time(-1), "1970-01-01T00:00:00.000Z");
    }
}
