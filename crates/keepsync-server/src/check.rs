//! What a request and its items must look like before anything stored is asked. Messages name fields, never
//! what is in them.

use crate::{
    ServerError,
    config::Limits,
    decide::Refusal,
    schema::Schemas,
    storage::{Pull, Push},
};
use keepsync_wire::{Operation, PullRequest, SyncItem, SyncRequest, code};

/// Bytes of a text id, at most.
const ID_BYTES: usize = 256;
/// Bytes of a collection's name, at most.
const NAME_BYTES: usize = 64;
/// Operations an item may follow, at most.
const AFTER: usize = 1_000;
/// Ids of earlier epochs an item may name, at most.
const EARLIER: usize = 100;
/// Objects and lists within each other, at most.
const DEPTH: usize = 64;

/// Bytes of a device's label that are kept.
const LABEL_BYTES: usize = 256;

/// Why a request as a whole is not taken; nothing of it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It names another user than its token.
    OtherUser,
    /// `device_id` cannot be one.
    Device,
    /// More of this than the server takes at once.
    TooMany(&'static str),
}

/// What requests are measured by.
pub struct Checks {
    /// How much is taken at once.
    pub limits: Limits,
    schemas: Schemas,
}

impl Checks {
    /// With a JSON Schema, as text, for each of these collections; others are taken as they come.
    ///
    /// # Errors
    ///
    /// A schema is none, or its name is not a collection's.
    pub fn new<'a>(limits: Limits, schemas: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ServerError> {
        Ok(Self::with(limits, Schemas::of(schemas)?))
    }

    pub(crate) fn with(limits: Limits, schemas: Schemas) -> Self {
        Self { limits, schemas }
    }

    /// A push of `user`, whom the token names, as a storage takes it.
    ///
    /// # Errors
    ///
    /// It is not taken as a whole.
    pub fn push(&self, user: &str, mut request: SyncRequest) -> Result<Push, Unfit> {
        sender(user, &request.user_id, &request.device_id)?;
        within(request.items.len(), self.limits.items, "items")?;
        if let Some(label) = &mut request.device_label {
            cut(label);
        }
        let check = |item| refusal(item, &self.limits, &self.schemas);
        Ok(Push {
            refusals: request.items.iter().map(check).collect(),
            request,
            answer_bytes: self.limits.page_bytes,
        })
    }

    /// A pull of `user`, whom the token names, as a storage takes it.
    ///
    /// # Errors
    ///
    /// It is not taken as a whole.
    pub fn pull(&self, user: &str, mut request: PullRequest) -> Result<Pull, Unfit> {
        sender(user, &request.user_id, &request.device_id)?;
        within(request.collections.len(), self.limits.collections, "collections")?;
        request.limit = request.limit.clamp(1, self.limits.page);
        Ok(Pull {
            request,
            page_bytes: self.limits.page_bytes,
        })
    }
}

/// A request that names another user than its token applies nothing and sees nothing.
fn sender(user: &str, named: &str, device_id: &str) -> Result<(), Unfit> {
    if user != named {
        Err(Unfit::OtherUser)
    } else if is_id(device_id) {
        Ok(())
    } else {
        Err(Unfit::Device)
    }
}

fn within(count: usize, most: usize, what: &'static str) -> Result<(), Unfit> {
    if count > most {
        Err(Unfit::TooMany(what))
    } else {
        Ok(())
    }
}

/// A label that is too long is no reason to hold up what a device sends.
fn cut(label: &mut String) {
    let end = (0..=LABEL_BYTES.min(label.len()))
        .rev()
        .find(|end| label.is_char_boundary(*end));
    label.truncate(end.unwrap_or_default());
}

/// What the shape of an item, or its schema, has against it.
fn refusal(item: &SyncItem, limits: &Limits, schemas: &Schemas) -> Option<Refusal> {
    shape(item, limits).or_else(|| schemas.refusal(item))
}

fn shape(item: &SyncItem, limits: &Limits) -> Option<Refusal> {
    let refuse = |code, message: &str| {
        Some(Refusal {
            code,
            message: message.to_owned(),
        })
    };
    if !is_collection(&item.entity_type) {
        return refuse(
            code::VALIDATION,
            "entity_type must be 1 to 64 of a-z, 0-9 and _, a letter first",
        );
    }
    if !is_id(&item.entity_id) {
        return refuse(
            code::VALIDATION,
            "entity_id must be 1 to 256 bytes without control characters",
        );
    }
    if item.version < 0 {
        return refuse(code::VALIDATION, "version must not be below 0");
    }
    if item.after.len() > AFTER {
        return refuse(code::VALIDATION, "after names more than 1000 operations");
    }
    if item.earlier.len() > EARLIER {
        return refuse(code::VALIDATION, "earlier names more than 100 operations");
    }
    if item
        .clocks
        .as_ref()
        .is_some_and(|clocks| clocks.get().len() > limits.record_bytes)
    {
        return refuse(code::TOO_LARGE, "clocks is larger than this server takes");
    }
    match (item.operation, &item.data) {
        (Operation::Delete, None) => None,
        (Operation::Delete, Some(_)) => refuse(code::VALIDATION, "data must be absent in a delete"),
        (_, None) => refuse(code::VALIDATION, "data is missing"),
        (_, Some(data)) if data.get().len() > limits.record_bytes => {
            refuse(code::TOO_LARGE, "data is larger than this server takes")
        }
        (_, Some(data)) if !data.get().starts_with('{') => refuse(code::VALIDATION, "data must be an object"),
        (_, Some(data)) if depth(data.get()) > DEPTH => refuse(code::VALIDATION, "data is nested deeper than 64"),
        (_, Some(_)) => None,
    }
}

/// As a device's collections are named.
pub(crate) fn is_collection(name: &str) -> bool {
    (1..=NAME_BYTES).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Ids of records and devices.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// How deep JSON text is nested. That it is JSON was checked when it was read.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_what_is_nested_and_no_brackets_in_strings() {
        for (json, deep) in [
            ("{}", 1),
            (r#"{"a":[{}],"b":{}}"#, 3),
            (r#"{"a":"[[[{{{"}"#, 1),
            (r#"{"a\"[":"\\","b":[]}"#, 2),
            (r#"{"a":"\"[","b":"\\\"["}"#, 1),
        ] {
            assert_eq!(depth(json), deep, "{json}");
        }
    }

    #[test]
    fn names_of_collections_are_narrow() {
        for good in ["a", "set_log", "a1", &"a".repeat(64)] {
            assert!(is_collection(good), "{good}");
        }
        for bad in ["", "A", "_a", "1a", "a-b", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_collection(bad), "{bad}");
        }
    }

    #[test]
    fn ids_have_no_control_characters() {
        assert!(is_id("squat/1 ä") && is_id(&"x".repeat(256)));
        for bad in ["", "a\n", "\u{7f}", "\u{85}", &"x".repeat(257)] {
            assert!(!is_id(bad));
        }
    }
}
