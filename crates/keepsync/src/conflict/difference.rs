//! What differs between two versions that met, field by field, and who changed it. Pure.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Who changed a field since what both versions were made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// This device.
    Here,
    /// The other side.
    There,
    /// Both, to different values.
    Both,
}

impl Changed {
    /// As the command line and the bindings spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::There => "there",
            Self::Both => "both",
        }
    }
}

/// A field in which two versions of a record differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The record's collection: that of the conflict, or of one of its children.
    pub collection: String,
    /// The record.
    pub id: String,
    /// Where, as a JSON pointer; an element of a list whose elements have an `id` is named by that
    /// (`/sets/s1/reps`). Empty for the whole record: one side deleted it.
    pub path: String,
    /// What both were made on; `None` if it was not there.
    pub base: Option<Value>,
    /// This device's value; `None` if it is not there.
    pub local: Option<Value>,
    /// The other side's value; `None` if it is not there.
    pub remote: Option<Value>,
    /// Who changed it.
    pub changed: Changed,
}

/// One version's body; `None` for a deletion.
type Version<'a> = Option<&'a Map<String, Value>>;

/// The fields in which `local` and `remote` differ. What both changed to the same is no difference.
pub fn difference(
    (collection, id): (&str, &str),
    base: Version<'_>,
    local: Version<'_>,
    remote: Version<'_>,
) -> Vec<Difference> {
    let mut found = Found {
        record: (collection, id),
        differences: Vec::new(),
    };
    match (local, remote) {
        (Some(local), Some(remote)) => found.members("", base, local, remote),
        _ if local == remote => {}
        _ => {
            let [base, local, remote] = [base, local, remote].map(|body| body.cloned().map(Value::Object));
            found.leaf("", base.as_ref(), local.as_ref(), remote.as_ref());
        }
    }
    found.differences
}

struct Found<'a> {
    record: (&'a str, &'a str),
    differences: Vec<Difference>,
}

impl Found<'_> {
    fn members(&mut self, path: &str, base: Version<'_>, local: &Map<String, Value>, remote: &Map<String, Value>) {
        let keys: BTreeSet<&String> = local.keys().chain(remote.keys()).collect();
        for key in keys {
            let base = base.and_then(|base| base.get(key));
            self.values(&step(path, key), base, local.get(key), remote.get(key));
        }
    }

    fn values(&mut self, path: &str, base: Option<&Value>, local: Option<&Value>, remote: Option<&Value>) {
        if local == remote {
            return;
        }
        if let (Some(Value::Object(local)), Some(Value::Object(remote))) = (local, remote) {
            return self.members(path, base.and_then(Value::as_object), local, remote);
        }
        if let (Some(local), Some(remote)) = (local.and_then(by_id), remote.and_then(by_id)) {
            let base = base.and_then(by_id).unwrap_or_default();
            for id in ids_of_both(&local, &remote) {
                self.values(&step(path, &id), get(&base, &id), get(&local, &id), get(&remote, &id));
            }
            return;
        }
        self.leaf(path, base, local, remote);
    }

    fn leaf(&mut self, path: &str, base: Option<&Value>, local: Option<&Value>, remote: Option<&Value>) {
        let changed = if local == base {
            Changed::There
        } else if remote == base {
            Changed::Here
        } else {
            Changed::Both
        };
        self.differences.push(Difference {
            collection: self.record.0.to_owned(),
            id: self.record.1.to_owned(),
            path: path.to_owned(),
            base: base.cloned(),
            local: local.cloned(),
            remote: remote.cloned(),
            changed,
        });
    }
}

/// A step further down, escaped as RFC 6901 says.
pub(super) fn step(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The elements of a list in which each is an object with an `id` of its own; `None` for any other value.
pub(super) fn by_id(value: &Value) -> Option<Vec<(String, &Value)>> {
    let mut seen = BTreeSet::new();
    let element = |element| {
        let id = match Value::as_object(element)?.get("id")? {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return None,
        };
        seen.insert(id.clone()).then_some((id, element))
    };
    value.as_array()?.iter().map(element).collect()
}

/// In the order of the first list, then what only the second has.
pub(super) fn ids_of_both(local: &[(String, &Value)], remote: &[(String, &Value)]) -> Vec<String> {
    let only_there = remote.iter().filter(|(id, _)| get(local, id).is_none());
    local.iter().chain(only_there).map(|(id, _)| id.clone()).collect()
}

pub(super) fn get<'a>(list: &[(String, &'a Value)], id: &str) -> Option<&'a Value> {
    list.iter().find(|(known, _)| known == id).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(base: &Value, local: &Value, remote: &Value) -> Vec<(String, String)> {
        difference(
            ("workout", "w"),
            base.as_object(),
            local.as_object(),
            remote.as_object(),
        )
        .into_iter()
        .map(|it| {
            let text = |value: Option<Value>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
            let values = [text(it.base), text(it.local), text(it.remote)].join(" ");
            (it.path, format!("{} {values}", it.changed.as_str()))
        })
        .collect()
    }

    fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
        rows.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn each_field_says_who_changed_it() {
        let base = json!({"name": "Legs", "date": "d", "kg": 1, "gone": 1, "same": 1, "nest": {"a": 1, "b": 1}});
        let local = json!({"name": "Back", "date": "d", "kg": 2, "new": 1, "same": 2, "nest": {"a": 2, "b": 1}});
        let remote = json!({"name": "Arms", "date": "e", "kg": 1, "gone": 1, "same": 2, "nest": {"a": 1, "b": 2}});
        assert_eq!(
            told(&base, &local, &remote),
            rows(&[
                ("/date", "there \"d\" \"d\" \"e\""),
                ("/gone", "here 1 - 1"),
                ("/kg", "here 1 2 1"),
                ("/name", "both \"Legs\" \"Back\" \"Arms\""),
                ("/nest/a", "here 1 2 1"),
                ("/nest/b", "there 1 1 2"),
                ("/new", "here - 1 -"),
            ])
        );
    }

    #[test]
    fn without_a_base_what_is_on_one_side_only_was_changed_there() {
        assert_eq!(
            told(
                &Value::Null,
                &json!({"a": 1, "b": 1, "c": 1}),
                &json!({"a": 1, "b": 2, "d": 1})
            ),
            rows(&[("/b", "both - 1 2"), ("/c", "here - 1 -"), ("/d", "there - - 1")])
        );
    }

    #[test]
    fn elements_with_ids_are_compared_by_them_and_other_lists_as_a_whole() {
        let base = json!({"sets": [{"id": "a/1", "reps": 5}, {"id": 2, "reps": 5}], "tags": [1]});
        let local = json!({"sets": [{"id": 2, "reps": 6}, {"id": "a/1", "reps": 5}], "tags": [1, 2]});
        let remote = json!({"sets": [{"id": "a/1", "reps": 4}, {"id": 2, "reps": 5}, {"id": 3}], "tags": [1]});
        assert_eq!(
            told(&base, &local, &remote),
            rows(&[
                ("/sets/2/reps", "here 5 6 5"),
                ("/sets/a~11/reps", "there 5 5 4"),
                ("/sets/3", "there - - {\"id\":3}"),
                ("/tags", "here [1] [1,2] [1]"),
            ])
        );
        let twice = json!({"sets": [{"id": 1}, {"id": 1}]});
        assert_eq!(
            told(&base, &twice, &remote)[0].0,
            "/sets",
            "ids that repeat name nothing"
        );
    }

    #[test]
    fn a_deletion_is_one_difference_of_the_whole_record() {
        let (base, edit) = (json!({"n": 1}), json!({"n": 2}));
        assert_eq!(
            told(&base, &Value::Null, &edit),
            rows(&[("", "both {\"n\":1} - {\"n\":2}")])
        );
        assert_eq!(
            told(&base, &edit, &Value::Null),
            rows(&[("", "both {\"n\":1} {\"n\":2} -")])
        );
        assert_eq!(
            told(&base, &Value::Null, &base),
            rows(&[("", "here {\"n\":1} - {\"n\":1}")])
        );
        assert_eq!(told(&base, &Value::Null, &Value::Null), rows(&[]));
    }
}
