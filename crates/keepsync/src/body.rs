//! The body of a record: a JSON object, kept as the text the app gave.

use crate::error::{Error, Result};
use serde_json::{Map, Value, value::RawValue};
use std::fmt;

/// A JSON object within the limits of its collection. `Debug` shows its length, not its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// Checks `text`: one JSON object of at most `bytes` bytes, nested at most `depth` deep.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming `body` and what is wrong with it.
    pub fn parse(text: impl Into<String>, bytes: usize, depth: usize) -> Result<Self> {
        let text = text.into();
        check_limits(&text, bytes, depth)?;
        serde_json::from_str::<&RawValue>(&text).map_err(|problem| not_json(&problem))?;
        Ok(Self(text))
    }

    /// As [`Body::parse`], for a text whose fields are looked at or changed: it is read once.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn parse_object(text: &str, bytes: usize, depth: usize) -> Result<Map<String, Value>> {
        check_limits(text, bytes, depth)?;
        serde_json::from_str(text).map_err(|problem| not_json(&problem))
    }

    /// The body of an object whose parts were checked and put together here: only its length is new.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond `bytes` bytes.
    pub(crate) fn complete(object: Map<String, Value>, bytes: usize) -> Result<Self> {
        let body = Self::from(object);
        check_length(&body.0, bytes)?;
        Ok(body)
    }

    /// Text that was checked before it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON text.
    pub fn into_string(self) -> String {
        self.0
    }

    /// The object.
    ///
    /// # Errors
    /// [`Error::Internal`] for a stored text that is not a JSON object.
    pub fn object(&self) -> Result<Map<String, Value>> {
        Ok(serde_json::from_str(&self.0)?)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

impl From<Map<String, Value>> for Body {
    fn from(object: Map<String, Value>) -> Self {
        Self(Value::Object(object).to_string())
    }
}

fn check_length(text: &str, bytes: usize) -> Result<()> {
    if text.len() > bytes {
        return Err(Error::invalid(
            "body",
            format!("{} bytes, the limit is {bytes}", text.len()),
        ));
    }
    Ok(())
}

fn check_limits(text: &str, bytes: usize, depth: usize) -> Result<()> {
    check_length(text, bytes)?;
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Error::invalid("body", "not a JSON object"));
    }
    // Depth first: it is what keeps the parser's recursion bounded.
    let (deepest, path) = deepest(text);
    if deepest > depth {
        return Err(Error::invalid(
            path,
            format!("nested {deepest} deep, the limit is {depth}"),
        ));
    }
    Ok(())
}

fn not_json(problem: &serde_json::Error) -> Error {
    let place = format!("not valid JSON at line {} column {}", problem.line(), problem.column());
    Error::invalid("body", place)
}

/// How deep the text nests, and the path of keys to the deepest place. Only brackets outside of
/// strings count; whether the text is JSON at all is the parser's business.
fn deepest(text: &str) -> (usize, String) {
    let bytes = text.as_bytes();
    let mut keys: Vec<&str> = Vec::new();
    let (mut depth, mut most, mut path) = (0usize, 0usize, String::from("body"));
    let mut last_string = "";
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                last_string = text.get(start..at.min(bytes.len())).unwrap_or("");
            }
            b'{' | b'[' => {
                keys.push(last_string);
                last_string = "";
                depth += 1;
                if depth > most {
                    most = depth;
                    if depth <= 8 {
                        let names: Vec<&str> = keys.iter().copied().filter(|key| !key.is_empty()).collect();
                        path = if names.is_empty() {
                            "body".to_owned()
                        } else {
                            format!("body.{}", names.join("."))
                        };
                    }
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                keys.pop();
            }
            b',' => last_string = "",
            _ => {}
        }
        at += 1;
    }
    (most, path)
}

/// Applies an RFC 7386 merge patch: `null` removes a member, objects merge, all else replaces.
pub(crate) fn merge_patch(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(inner) => {
                let slot = target.entry(key).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(object) = slot {
                    merge_patch(object, inner);
                }
            }
            other => {
                target.insert(key, other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(text: &str) -> String {
        Body::parse(text, 100, 3).unwrap_err().to_string()
    }

    #[test]
    fn limits_are_named_in_the_error() {
        assert_eq!(
            problem(&format!("{{\"a\":\"{}\"}}", "x".repeat(100))),
            "body: 108 bytes, the limit is 100"
        );
        assert_eq!(
            problem(r#"{"a":{"b":[{"c":1}]}}"#),
            "body.a.b: nested 4 deep, the limit is 3"
        );
        assert_eq!(problem("[1]"), "body: not a JSON object");
        assert_eq!(problem("{\"a\":}"), "body: not valid JSON at line 1 column 6");
        assert_eq!(problem(""), "body: not a JSON object");
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert!(Body::parse(r#"{"a":"[[[[{{{{\"[["}"#, 100, 1).is_ok());
    }

    #[test]
    fn nesting_cannot_overflow_the_stack() {
        let bomb = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert!(Body::parse(bomb, usize::MAX, 64).is_err());
    }

    #[test]
    fn merge_patch_follows_rfc_7386() {
        let mut target = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]})
            .as_object()
            .unwrap()
            .clone();
        let patch = json!({"a": null, "b": {"c": 9, "f": {"g": null}}, "e": 5})
            .as_object()
            .unwrap()
            .clone();
        merge_patch(&mut target, patch);
        assert_eq!(Value::Object(target), json!({"b": {"c": 9, "d": 3, "f": {}}, "e": 5}));
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Body::stored("{\"secret\":1}".into())), "Body(12 bytes)");
    }
}
