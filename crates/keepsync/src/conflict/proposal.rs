//! What "Merge both" would make of two versions. Pure.
//!
//! Three ways, unit by unit: what one side changed is taken from it; where both changed a unit to
//! different things, the later one by hybrid clock is proposed and the unit is marked as contested, so
//! that a screen can ask about just that. A unit is a field, or fields that are registered as a group, or
//! an element of a list whose elements have an `id`; a child record is a unit as a whole unless groups of
//! its fields are registered, so that a weight and its reps never come from two devices. What one side
//! deleted and the other edited is kept, and contested.

use super::{
    Side,
    difference::{by_id, get, ids_of_both, step},
};
use crate::collection::FieldGroup;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What is merged as one.
#[derive(Debug, Clone, Copy)]
pub enum Units<'a> {
    /// Each field by itself, those of a group together.
    Fields(&'a [FieldGroup]),
    /// The record as a whole.
    Whole,
}

/// The merge of two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// `None`: deleted.
    pub body: Option<Map<String, Value>>,
    /// Paths that both sides changed to different things, as in
    /// [`Difference::path`](super::Difference::path).
    pub contested: Vec<String>,
}

/// Merges two versions that were made on `base`; `None`: they were made apart.
pub fn propose(units: Units<'_>, base: Option<&Map<String, Value>>, local: Side<'_>, remote: Side<'_>) -> Proposed {
    let mut merge = Merge {
        local_later: (local.hlc, local.device_id) > (remote.hlc, remote.device_id),
        contested: Vec::new(),
    };
    let body = match (local.body, remote.body) {
        (Some(l), Some(r)) => match units {
            Units::Fields(groups) => Some(merge.object("", groups, base, l, r)),
            Units::Whole => merge.unit("", base, Some(l), Some(r)).cloned(),
        },
        (Some(edit), None) | (None, Some(edit)) => merge.edit_or_delete("", base, edit).cloned(),
        (None, None) => None,
    };
    Proposed {
        body,
        contested: merge.contested,
    }
}

struct Merge {
    local_later: bool,
    contested: Vec<String>,
}

impl Merge {
    /// One side has it as `edit`, the other has it no more.
    fn edit_or_delete<'a, T: PartialEq>(&mut self, path: &str, base: Option<&T>, edit: &'a T) -> Option<&'a T> {
        match base {
            Some(base) if base == edit => None,
            Some(_) => {
                self.contested.push(path.to_owned());
                Some(edit)
            }
            None => Some(edit),
        }
    }

    fn unit<'a, T: PartialEq>(
        &mut self,
        path: &str,
        base: Option<&T>,
        local: Option<&'a T>,
        remote: Option<&'a T>,
    ) -> Option<&'a T> {
        if local == remote || remote == base {
            local
        } else if local == base {
            remote
        } else {
            self.contested.push(path.to_owned());
            if self.local_later { local } else { remote }
        }
    }

    fn object(
        &mut self,
        path: &str,
        groups: &[FieldGroup],
        base: Option<&Map<String, Value>>,
        local: &Map<String, Value>,
        remote: &Map<String, Value>,
    ) -> Map<String, Value> {
        let empty = Map::new();
        let base = base.unwrap_or(&empty);
        let mut merged = Map::new();
        let mut grouped = BTreeSet::new();
        for group in groups {
            let of = |body: &Map<String, Value>| -> Vec<Option<Value>> {
                group.fields.iter().map(|field| body.get(field).cloned()).collect()
            };
            let (b, l, r) = (of(base), of(local), of(remote));
            let mut contested = Merge {
                contested: Vec::new(),
                ..*self
            };
            let chosen = contested
                .unit("", Some(&b), Some(&l), Some(&r))
                .cloned()
                .unwrap_or_default();
            for (at, field) in group.fields.iter().enumerate() {
                grouped.insert(field);
                if !contested.contested.is_empty() && l.get(at) != r.get(at) {
                    self.contested.push(step(path, field));
                }
                if let Some(Some(value)) = chosen.get(at) {
                    merged.insert(field.clone(), value.clone());
                }
            }
        }
        let keys: BTreeSet<&String> = local.keys().chain(remote.keys()).collect();
        for key in keys.difference(&grouped) {
            if let Some(value) = self.value(&step(path, key), base.get(*key), local.get(*key), remote.get(*key)) {
                merged.insert((*key).clone(), value);
            }
        }
        merged
    }

    fn value(
        &mut self,
        path: &str,
        base: Option<&Value>,
        local: Option<&Value>,
        remote: Option<&Value>,
    ) -> Option<Value> {
        if local != remote && local != base && remote != base {
            if let (Some(Value::Object(l)), Some(Value::Object(r))) = (local, remote) {
                return Some(Value::Object(self.object(
                    path,
                    &[],
                    base.and_then(Value::as_object),
                    l,
                    r,
                )));
            }
            if let (Some(l), Some(r)) = (local.and_then(by_id), remote.and_then(by_id)) {
                return Some(self.list(path, base, &l, &r));
            }
        }
        self.unit(path, base, local, remote).cloned()
    }

    /// The elements of both, by their ids.
    fn list(&mut self, path: &str, base: Option<&Value>, l: &[(String, &Value)], r: &[(String, &Value)]) -> Value {
        let base = base.and_then(by_id).unwrap_or_default();
        let mut merged = Vec::new();
        for id in ids_of_both(l, r) {
            let (at, before) = (step(path, &id), get(&base, &id));
            merged.extend(match (get(l, &id), get(r, &id)) {
                (Some(edit), None) | (None, Some(edit)) => self.edit_or_delete(&at, before, edit).cloned(),
                (local, remote) => self.unit(&at, before, local, remote).cloned(),
            });
        }
        Value::Array(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conflict::Policy, hlc::Hlc};
    use serde_json::json;

    fn merged(units: Units<'_>, later: &str, base: &Value, local: &Value, remote: &Value) -> (Value, Vec<String>) {
        let side = |body: &'static str, of| Side {
            clocks: None,
            body: of,
            hlc: Hlc::at(if body == later { 2 } else { 1 }),
            device_id: body,
        };
        let (l, r) = (local.as_object(), remote.as_object());
        let proposed = propose(units, base.as_object(), side("here", l), side("there", r));
        (proposed.body.map_or(Value::Null, Value::Object), proposed.contested)
    }

    const FIELDS: Units<'_> = Units::Fields(&[]);

    #[test]
    fn what_one_side_changed_is_taken_from_it_and_the_later_one_where_both_did() {
        let base = json!({"name": "Legs", "date": "d", "nest": {"a": 1, "b": 1}, "gone": 1});
        let local = json!({"name": "Back", "date": "d", "nest": {"a": 2, "b": 1}, "gone": 1});
        let remote = json!({"name": "Arms", "date": "e", "nest": {"a": 1, "b": 2}});
        for (later, name) in [("here", "Back"), ("there", "Arms")] {
            let expected = json!({"name": name, "date": "e", "nest": {"a": 2, "b": 2}});
            let contested = vec!["/name".to_owned()];
            assert_eq!(merged(FIELDS, later, &base, &local, &remote), (expected, contested));
        }
    }

    #[test]
    fn elements_of_both_sides_are_kept_and_one_that_both_changed_comes_whole_from_one() {
        let base =
            json!({"sets": [{"id": 1, "weight": 5, "reps": 5}, {"id": 2, "reps": 5}, {"id": 3}, {"id": 4, "reps": 5}]});
        let local = json!({"sets": [{"id": 1, "weight": 6, "reps": 5}, {"id": 2, "reps": 5}, {"id": 4, "reps": 6}, {"id": "here"}]});
        let remote =
            json!({"sets": [{"id": 1, "weight": 5, "reps": 4}, {"id": 2, "reps": 4}, {"id": 3}, {"id": "there"}]});
        let one = |weight: i64, reps: i64| json!({"id": 1, "weight": weight, "reps": reps});
        for (later, first) in [("here", one(6, 5)), ("there", one(5, 4))] {
            let expected =
                json!({"sets": [first, {"id": 2, "reps": 4}, {"id": 4, "reps": 6}, {"id": "here"}, {"id": "there"}]});
            let contested = vec!["/sets/1".to_owned(), "/sets/4".to_owned()];
            assert_eq!(merged(FIELDS, later, &base, &local, &remote), (expected, contested));
        }
    }

    #[test]
    fn a_weight_and_its_reps_come_from_one_side() {
        let base = json!({"weight": 10, "reps": 1, "note": "a"});
        let local = json!({"weight": 20, "reps": 1, "note": "a"});
        let remote = json!({"weight": 10, "reps": 2, "note": "b"});
        let whole = merged(Units::Whole, "here", &base, &local, &remote);
        assert_eq!(whole, (local.clone(), vec![String::new()]));
        let group = [FieldGroup {
            fields: ["weight".to_owned(), "reps".to_owned()].into(),
            policy: Policy::Ask,
        }];
        for (later, weight, reps) in [("here", 20, 1), ("there", 10, 2)] {
            let expected = json!({"weight": weight, "reps": reps, "note": "b"});
            let contested = vec!["/reps".to_owned(), "/weight".to_owned()];
            let units = Units::Fields(&group);
            assert_eq!(merged(units, later, &base, &local, &remote), (expected, contested));
        }
    }

    #[test]
    fn what_one_side_deleted_and_the_other_edited_is_kept() {
        let (base, edit, gone) = (json!({"n": 1}), json!({"n": 2}), Value::Null);
        let contested = vec![String::new()];
        for later in ["here", "there"] {
            assert_eq!(
                merged(FIELDS, later, &base, &edit, &gone),
                (edit.clone(), contested.clone())
            );
            assert_eq!(
                merged(FIELDS, later, &base, &gone, &edit),
                (edit.clone(), contested.clone())
            );
            assert_eq!(merged(FIELDS, later, &base, &gone, &base), (gone.clone(), vec![]));
            assert_eq!(merged(FIELDS, later, &gone, &edit, &gone), (edit.clone(), vec![]));
            assert_eq!(merged(FIELDS, later, &base, &gone, &gone), (gone.clone(), vec![]));
        }
    }

    #[test]
    fn merging_again_with_what_was_merged_changes_nothing() {
        let base = json!({"a": 1, "sets": [{"id": 1}]});
        let local = json!({"a": 2, "sets": [{"id": 1}, {"id": 2}]});
        let remote = json!({"a": 3, "b": 1, "sets": []});
        for units in [FIELDS, Units::Whole] {
            let (once, _) = merged(units, "there", &base, &local, &remote);
            assert_eq!(merged(units, "there", &remote, &once, &remote), (once.clone(), vec![]));
            assert_eq!(merged(units, "here", &remote, &once, &once), (once.clone(), vec![]));
        }
    }

    #[test]
    fn of_two_that_no_clock_tells_apart_the_servers_is_proposed() {
        let (local, remote) = (json!({"n": 1}), json!({"n": 2}));
        let side = |body: &'static str| Side {
            body: if body == "l" {
                local.as_object()
            } else {
                remote.as_object()
            },
            hlc: Hlc::at(1),
            device_id: "same",
            clocks: None,
        };
        let proposed = propose(FIELDS, None, side("l"), side("r"));
        assert_eq!(proposed.body.map(Value::Object), Some(remote.clone()));
    }

    #[test]
    fn only_the_fields_of_a_group_that_differ_are_contested() {
        let group = [FieldGroup {
            fields: ["weight".to_owned(), "reps".to_owned(), "unit".to_owned()].into(),
            policy: Policy::Ask,
        }];
        let base = json!({"weight": 1, "reps": 1, "unit": "kg"});
        let local = json!({"weight": 2, "reps": 1, "unit": "kg"});
        let remote = json!({"weight": 3, "reps": 2, "unit": "kg"});
        let (_, contested) = merged(Units::Fields(&group), "here", &base, &local, &remote);
        assert_eq!(contested, ["/reps", "/weight"]);
        // Where only one side changed the group, nothing of it is contested.
        let (_, contested) = merged(Units::Fields(&group), "here", &base, &local, &base);
        assert_eq!(contested, [""; 0]);
    }

    #[test]
    fn an_order_that_only_the_other_side_changed_is_taken_from_it() {
        let base = json!({"sets": [{"id": 1}, {"id": 2}]});
        let turned = json!({"sets": [{"id": 2}, {"id": 1}]});
        assert_eq!(merged(FIELDS, "here", &base, &base, &turned), (turned.clone(), vec![]));
        assert_eq!(merged(FIELDS, "there", &base, &turned, &base), (turned.clone(), vec![]));
    }
}
