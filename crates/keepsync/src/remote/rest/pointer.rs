//! JSON pointers (RFC 6901) into JSON text, without changing a byte of what they lead to. Pure.

use super::RestSetupError;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Where in a JSON document something is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// `None`: neither empty nor starting with a slash, or a `~` that is not `~0` or `~1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let token = |token: &str| {
            let stray = token.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1']));
            (!stray).then(|| token.replace("~1", "/").replace("~0", "~"))
        };
        let tokens = text.strip_prefix('/')?.split('/').map(token);
        tokens.collect::<Option<_>>().map(Self)
    }

    /// The one field it names, if it names a field of the document itself.
    pub(super) fn field(&self) -> Option<&str> {
        match &self.0[..] {
            [field] => Some(field),
            _ => None,
        }
    }

    /// Whether it is the whole document.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What it leads to, as it stands in the text.
    pub(super) fn find<'a>(&self, document: &'a RawValue) -> Option<&'a RawValue> {
        self.0.iter().try_fold(document, |value, token| {
            if value.get().starts_with('{') {
                let mut fields: HashMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
                return fields.remove(token);
            }
            let mut items = items(value)?;
            let at: usize = token.parse().ok()?;
            (at < items.len()).then(|| items.swap_remove(at))
        })
    }

    /// The text it leads to: a string, or an integer as it is written.
    pub(super) fn text(&self, document: &RawValue) -> Option<String> {
        let found = self.find(document)?.get();
        if found.starts_with('"') {
            return serde_json::from_str(found).ok();
        }
        let is_integer = found.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        is_integer.then(|| found.to_owned())
    }
}

/// A pointer an app gave.
pub(super) fn pointer(text: &str) -> Result<Pointer, RestSetupError> {
    Pointer::parse(text).ok_or_else(|| RestSetupError::Pointer(text.to_owned()))
}

/// The items of a list, each as it stands in the text.
pub(super) fn items(list: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(list.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_pointer_leads_to_the_bytes_as_they_are() {
        let document = raw(r#"{"a":{"b/c":[10,{"~":1.0e2}]},"":"x","n":123456789012345678901,"s":"é"}"#);
        let at = |text: &str| {
            Pointer::parse(text)
                .unwrap()
                .find(&document)
                .map(|found| found.get().to_owned())
        };
        for (pointer, expected) in [
            ("", Some(document.get())),
            ("/a/b~1c/1/~0", Some("1.0e2")),
            ("/a/b~1c/0", Some("10")),
            ("/", Some("\"x\"")),
            ("/n", Some("123456789012345678901")),
            ("/a/b~1c/2", None),
            ("/a/b~1c/x", None),
            ("/nothing", None),
            ("/n/0", None),
        ] {
            assert_eq!(at(pointer).as_deref(), expected, "{pointer:?}");
        }
        let text = |text: &str| Pointer::parse(text).unwrap().text(&document);
        assert_eq!(text("/s").as_deref(), Some("é"));
        assert_eq!(text("/n").as_deref(), Some("123456789012345678901"));
        assert_eq!(text("/a"), None);
        for bad in ["a", "error.code", "/a~2", "/~"] {
            assert_eq!(Pointer::parse(bad), None, "{bad:?}");
        }
    }
}
