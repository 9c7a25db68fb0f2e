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
        let object = serde_json::from_str(text).or_else(|_| serde_json::from_str(&readable(text)));
        object.map_err(|problem| not_json(&problem))
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

    /// The object, to be compared, merged or patched. The text itself is kept byte for byte; here half an
    /// emoji (`\ud83d` alone) is U+FFFD, and a number too large for any program the largest there is:
    /// JSON allows both, JavaScript writes the first, and neither can be held in memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a stored text that is not a JSON object.
    pub fn object(&self) -> Result<Map<String, Value>> {
        Ok(serde_json::from_str(&self.0).or_else(|_| serde_json::from_str(&readable(&self.0)))?)
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

/// The text with what cannot be held in memory replaced by what is nearest to it, see [`Body::object`].
fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let length = match found.strip_prefix('"') {
            Some(inside) => {
                let end = string_end(inside);
                out.push('"');
                whole_characters(inside.get(..end).unwrap_or(inside), &mut out);
                1 + end
            }
            None => {
                let is_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
                let end = found.find(|c| !is_number(c)).unwrap_or(found.len());
                out.push_str(finite(found.get(..end).unwrap_or(found)));
                end
            }
        };
        rest = found.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Past the quote that ends a string.
fn string_end(inside: &str) -> usize {
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(inside.len(), |end| end + 1)
}

/// A string's text; of its escapes each half of a pair that stands alone becomes U+FFFD.
fn whole_characters(text: &str, out: &mut String) {
    let half = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let next = escape.get(6..).unwrap_or_default();
        let length = match (half(escape), half(next)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push('\u{fffd}');
                rest = next;
                continue;
            }
            _ => 2,
        };
        let (escape, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        out.push_str(escape);
        rest = after;
    }
    out.push_str(rest);
}

fn finite(number: &str) -> &str {
    match number.parse::<f64>() {
        Ok(value) if value == f64::INFINITY => "1.7976931348623157e308",
        Ok(value) if value == f64::NEG_INFINITY => "-1.7976931348623157e308",
        _ => number,
    }
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
    fn what_json_allows_and_no_program_holds_is_kept_as_text_and_read_as_what_is_nearest() {
        for (text, read) in [
            (r#"{"a":"x\ud83d"}"#, json!({"a": "x\u{fffd}"})),
            (
                r#"{"a":"\ude00\ud83d\ud83d\ude00\\ud83d\""}"#,
                json!({"a": "\u{fffd}\u{fffd}\u{1f600}\\ud83d\""}),
            ),
            (
                r#"{"\udfff":[1e400,-1E+999,1.50,"1e400"]}"#,
                json!({"\u{fffd}": [f64::MAX, f64::MIN, 1.5, "1e400"]}),
            ),
            (
                r#"{"\ud83d\ud83d\n":12345678901234567890123}"#,
                json!({"\u{fffd}\u{fffd}\n": 12345678901234567890123_f64}),
            ),
        ] {
            let body = Body::parse(text, 100, 3).unwrap();
            assert_eq!(body.as_str(), text);
            assert_eq!(Value::Object(body.object().unwrap()), read, "{text}");
            assert_eq!(Value::Object(Body::parse_object(text, 100, 3).unwrap()), read, "{text}");
        }
        for not_json in [r#"{"a":"#, r#"{"a":"\ud83"#, r#"{"a":1e}"#, r#"{"a":"\"#] {
            assert!(Body::parse_object(not_json, 100, 3).is_err(), "{not_json}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Body::stored("{\"secret\":1}".into())), "Body(12 bytes)");
    }
}
