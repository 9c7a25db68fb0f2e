//! Where in a record its id, version and body are. Pure.

use super::{
    RestSetupError,
    pointer::{Pointer, pointer},
};
use crate::{
    hlc::Hlc,
    remote::{RemoteVersion, wire::object},
};
use serde_json::value::RawValue;
use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

#[derive(Debug, Clone, Default)]
enum Version {
    #[default]
    None,
    Number(Pointer),
    Time(Pointer),
}

/// Where the parts of a record are. Pointers are taken from the record's own place.
#[derive(Debug, Clone)]
pub struct RecordForm {
    at: Pointer,
    id: Pointer,
    body: Pointer,
    server_id: Option<Pointer>,
    version: Version,
    send_base: bool,
    deleted: Option<Pointer>,
    updated_at: Option<Pointer>,
}

/// A record in the form of its collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) version: RemoteVersion,
}

impl Default for RecordForm {
    fn default() -> Self {
        Self {
            at: Pointer::default(),
            id: Pointer::parse("/id").unwrap_or_default(),
            body: Pointer::default(),
            server_id: None,
            version: Version::None,
            send_base: false,
            deleted: None,
            updated_at: None,
        }
    }
}

impl RecordForm {
    /// The answer is the record, which is its own body, with its id (the one Keepsync knows it by) at
    /// `/id` and no version.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the record is in the answer to a write or to a read, such as `/data`.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn at(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.at = pointer(at)?;
        Ok(self)
    }

    /// Where its id is.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn id(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.id = pointer(at)?;
        Ok(self)
    }

    /// Where its body is, if it is not the record itself.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn body(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.body = pointer(at)?;
        Ok(self)
    }

    /// Where the id is that the backend gave it, if it gives one of its own.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn server_id(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.server_id = Some(pointer(at)?);
        Ok(self)
    }

    /// Its version is a number that grows with every change.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn version_number(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.version = Version::Number(pointer(at)?);
        Ok(self)
    }

    /// Its version is the time of its last change (RFC 3339), taken as microseconds since 1970.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn version_time(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.version = Version::Time(pointer(at)?);
        Ok(self)
    }

    /// The version a write was made on is sent in the body's version field, for a backend that checks
    /// it. The body itself cannot be relied on for that: it holds what was there when the user wrote.
    ///
    /// # Errors
    /// [`RestSetupError::SendBase`] where the version is not a field of the body.
    pub fn send_base(mut self) -> Result<Self, RestSetupError> {
        if self.version_field().is_none() || !self.body.is_root() {
            return Err(RestSetupError::SendBase);
        }
        self.send_base = true;
        Ok(self)
    }

    /// Where it says that it is deleted: `true`, or anything but `false` and `null`, such as a time.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn deleted(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.deleted = Some(pointer(at)?);
        Ok(self)
    }

    /// Where the time of its last change is (RFC 3339). A version that is a time says it already.
    /// Without either, the last write wins by this device's clock alone.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn updated_at(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.updated_at = Some(pointer(at)?);
        Ok(self)
    }

    pub(super) fn has_version(&self) -> bool {
        !matches!(self.version, Version::None)
    }

    fn version_field(&self) -> Option<&str> {
        match &self.version {
            Version::None => None,
            Version::Number(at) | Version::Time(at) => at.field(),
        }
    }

    /// The record in an answer to a read or a write; `None` if there is none of this form.
    pub(super) fn in_answer(&self, answer: &RawValue, unversioned: i64) -> Option<Found> {
        self.read(self.at.find(answer)?, unversioned)
    }

    /// A record. `unversioned` stands for the version where none is declared; a declared one has to be
    /// there.
    pub(super) fn read(&self, record: &RawValue, unversioned: i64) -> Option<Found> {
        let micros = |at: &Pointer| at.text(record).and_then(|text| rfc3339_micros(&text));
        let version = match &self.version {
            Version::None => unversioned,
            Version::Number(at) => at.text(record)?.parse().ok()?,
            Version::Time(at) => micros(at)?,
        };
        let updated_at = match (&self.updated_at, &self.version) {
            (Some(at), _) | (None, Version::Time(at)) => micros(at).unwrap_or(0).div_euclid(1_000),
            _ => 0,
        };
        let is_deleted = self.deleted.as_ref().is_some_and(|at| {
            let flag = at.find(record).map(RawValue::get);
            !matches!(flag, None | Some("false" | "null"))
        });
        let body = match is_deleted {
            true => None,
            false => Some(object(self.body.find(record)?.to_owned())?),
        };
        Some(Found {
            id: self.id.text(record).filter(|id| !id.is_empty())?,
            version: RemoteVersion {
                body,
                version,
                hlc: Hlc::at(updated_at),
                server_id: self.server_id.as_ref().and_then(|at| at.text(record)),
                created_at: updated_at,
                updated_at,
                ..RemoteVersion::default()
            },
        })
    }

    /// Only the id the backend gave a record, from the answer to its creation.
    pub(super) fn server_id_in(&self, answer: &RawValue) -> Option<String> {
        self.server_id.as_ref()?.text(self.at.find(answer)?)
    }

    /// The body as it is sent. `None` if it is not a JSON object.
    pub(super) fn outgoing(&self, body: &str, base_version: i64) -> Option<Box<RawValue>> {
        let field = self.version_field().filter(|_| self.send_base && base_version > 0);
        let Some(field) = field else {
            return RawValue::from_string(body.to_owned()).ok();
        };
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(body).ok()?;
        let base = match self.version {
            Version::Time(_) => {
                let time = UNIX_EPOCH + Duration::from_micros(u64::try_from(base_version).ok()?);
                format!("\"{}\"", humantime::format_rfc3339_micros(time))
            }
            _ => base_version.to_string(),
        };
        fields.insert(field.to_owned(), RawValue::from_string(base).ok()?);
        serde_json::value::to_raw_value(&fields).ok()
    }
}

/// Microseconds since 1970 of a time with `Z` or an offset.
fn rfc3339_micros(text: &str) -> Option<i64> {
    let (local, offset_s) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let sign = match offset.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (local, sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
        }
    };
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let micros = time.duration_since(UNIX_EPOCH).ok()?.as_micros();
    i64::try_from(micros).ok()?.checked_sub(offset_s * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_microseconds_whatever_its_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000)),
            ("1970-01-01T00:00:01.000002z", Some(1_000_002)),
            ("1970-01-01T02:00:01.5+02:00", Some(1_500_000)),
            ("1969-12-31T23:30:01-00:30", None),
            ("1970-01-01T00:00:00-00:30", Some(1_800_000_000)),
            ("2026-11-20T07:00:00.123456+00:00", Some(1_795_158_000_123_456)),
            ("2026-11-20", None),
            ("2026-11-20T07:00:00", None),
            ("2026-11-20T07:00:00+25:00", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(rfc3339_micros(text), expected, "{text}");
        }
    }

    #[test]
    fn a_base_is_written_over_the_version_field_and_nothing_else_changes() {
        let body = r#"{"weight":1.0e2,"version":3,"big":12345678901234567890123}"#;
        let form = RecordForm::new().version_number("/version").unwrap();
        assert_eq!(
            form.outgoing(body, 5).unwrap().get(),
            body,
            "only where it is asked for"
        );
        let form = form.send_base().unwrap();
        let expected = r#"{"big":12345678901234567890123,"version":5,"weight":1.0e2}"#;
        assert_eq!(form.outgoing(body, 5).unwrap().get(), expected);
        assert_eq!(form.outgoing(body, 0).unwrap().get(), body, "a create has no base");
        let time = RecordForm::new().version_time("/at").unwrap().send_base().unwrap();
        assert_eq!(
            time.outgoing("{}", 1_795_158_000_123_456).unwrap().get(),
            r#"{"at":"2026-11-20T07:00:00.123456Z"}"#
        );
        let nested = RecordForm::new().version_number("/meta/version").unwrap();
        assert!(nested.send_base().is_err());
        assert!(RecordForm::new().send_base().is_err());
    }
}
