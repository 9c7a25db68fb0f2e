//! What an item must look like before anything stored is asked. Messages name fields, never what is in
//! them.

use crate::{config::Limits, decide::Refusal, schema::Schemas};
use keepsync_wire::{Operation, SyncItem, code};

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

/// What the shape of an item, or its schema, has against it.
pub(crate) fn refusal(item: &SyncItem, limits: &Limits, schemas: &Schemas) -> Option<Refusal> {
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
