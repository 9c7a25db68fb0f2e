use super::*;
use crate::{
    conflict::{Action, Merge, Side, plan},
    hlc::Hlc,
};
use serde_json::json;

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

/// A version as it travels.
#[derive(Debug, Clone)]
struct Sent {
    body: Option<Object>,
    hlc: Hlc,
    device: String,
    clocks: Clocks,
}

impl Sent {
    fn new(body: Value, ms: i64, device: &str) -> Self {
        Self {
            body: Some(object(body)),
            hlc: Hlc::at(ms),
            device: device.to_owned(),
            clocks: Clocks::default(),
        }
    }

    fn own(&self) -> Clock {
        Clock {
            hlc: self.hlc,
            device_id: self.device.clone(),
        }
    }

    fn times(&self) -> Times {
        Times::new(self.own(), self.clocks.clone())
    }

    fn side(&self) -> Side<'_> {
        Side {
            body: self.body.as_ref(),
            hlc: self.hlc,
            device_id: &self.device,
            clocks: Some(&self.clocks),
        }
    }

    /// A local write on top of it.
    fn edit(&self, policy: &Policy, groups: &[FieldGroup], body: Option<Value>, ms: i64, device: &str) -> Self {
        let mut next = Self {
            body: body.map(object),
            hlc: Hlc::at(ms),
            device: device.to_owned(),
            clocks: Clocks::default(),
        };
        if let (Some(old), Some(new)) = (&self.body, &next.body) {
            next.clocks = stamp(policy, groups, (old, &self.times()), new, &next.own());
        }
        next
    }
}

/// What the server has after `local`, made on `base`, met `server` there: what the device sends, if
/// anything.
fn meet(policy: &Policy, groups: &[FieldGroup], base: &Sent, local: &Sent, server: &Sent) -> Sent {
    let made_on = base.body.as_ref().map_or(Base::Apart, Base::Body);
    match plan(policy, groups, made_on, local.side(), server.side()) {
        Action::Same | Action::TakeRemote | Action::LoseLocal => server.clone(),
        Action::KeepLocal | Action::LoseRemote => local.clone(),
        Action::Merge(Merge { body, clocks }) => Sent {
            body: Some(body),
            // Put together wherever and whenever: its own clock says nothing.
            hlc: local.hlc.max(server.hlc).next(0),
            device: "whoever".to_owned(),
            clocks,
        },
        asked => panic!("{asked:?}"),
    }
}

fn value(sent: &Sent) -> Value {
    sent.body.clone().map_or(Value::Null, Value::Object)
}

/// Edits made on one base arrive in every order; all come to the same.
fn same_in_any_order(policy: &Policy, groups: &[FieldGroup], base: &Sent, edits: &[Sent; 3], told: &str) -> Value {
    let mut results = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut server = edits[order[0]].clone();
        for next in &order[1..] {
            server = meet(policy, groups, base, &edits[*next], &server);
        }
        results.push((order, value(&server)));
    }
    for (order, result) in &results {
        assert_eq!(
            result, &results[0].1,
            "{told}: {policy:?} {order:?} against {:?}: {edits:#?}",
            results[0].0
        );
    }
    results.swap_remove(0).1
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn scalar(&mut self) -> Value {
        match self.roll(6) {
            0 => json!("a"),
            1 => json!("2026-11-20T10:00:00+02:00"),
            2 => json!(0.5),
            3 => json!(null),
            n => json!(n),
        }
    }

    fn members(&mut self) -> Value {
        let mut members = Object::new();
        for name in ["x", "y", "z"] {
            if self.roll(2) == 0 {
                members.insert(name.to_owned(), self.scalar());
            }
        }
        Value::Object(members)
    }

    /// A body whose fields keep their kinds, as an app's do.
    fn body(&mut self) -> Value {
        let mut body = Object::new();
        for field in ["at", "n", "w", "r"] {
            if self.roll(4) > 0 {
                body.insert(field.to_owned(), self.scalar());
            }
        }
        if self.roll(4) > 0 {
            body.insert("m".to_owned(), self.members());
        }
        if self.roll(4) > 0 {
            let mut days: Vec<Value> = Vec::new();
            for day in [3, 1, 2] {
                if self.roll(2) == 0 {
                    days.push(json!({"day": day, "v": self.scalar()}));
                }
            }
            if self.roll(4) == 0 {
                days.reverse();
            }
            body.insert("days".to_owned(), Value::Array(days));
        }
        Value::Object(body)
    }
}

fn policies() -> Vec<(Policy, Vec<FieldGroup>)> {
    let group = |fields: &[&str], policy| FieldGroup {
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        policy,
    };
    vec![
        (Policy::LastWriteWins, vec![]),
        (Policy::latest_of("at"), vec![]),
        (Policy::lww_per("day"), vec![]),
        (Policy::merge_max("m.*"), vec![]),
        (Policy::merge_max(""), vec![]),
        (Policy::Counter, vec![]),
        (Policy::merge_fields([["w", "r"]]), vec![]),
        (
            Policy::LastWriteWins,
            vec![
                group(&["at", "n"], Policy::latest_of("at")),
                group(&["w", "r"], Policy::Counter),
                group(&["m"], Policy::lww_per("day")),
            ],
        ),
        (
            Policy::merge_fields([["n", "at"]]),
            vec![
                group(&["w"], Policy::LastWriteWins),
                group(&["m"], Policy::merge_max("m")),
            ],
        ),
    ]
}

#[test]
fn automatic_policies_come_to_the_same_in_any_order() {
    for (policy, groups) in policies() {
        for seed in 1..=150u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let base = Sent::new(dice.body(), 100, "server");
            let devices = ["phone", "tablet", "watch"];
            let edits = devices.map(|device| {
                let mut sent = base.clone();
                for _ in 0..=dice.roll(2) {
                    let ms = 101 + dice.roll(5) as i64 * 10 + sent.hlc.wall_ms().saturating_sub(100);
                    let body = if dice.roll(5) == 0 { value(&sent) } else { dice.body() };
                    sent = sent.edit(&policy, &groups, Some(body), ms, device);
                }
                sent
            });
            let told = format!("seed {seed}");
            same_in_any_order(&policy, &groups, &base, &edits, &told);
            let itself = edits[0].body.as_ref().map_or(Base::Apart, Base::Body);
            assert_eq!(
                plan(&policy, &groups, itself, edits[0].side(), edits[0].side()),
                Action::Same,
                "{told}: a version that meets itself changes nothing"
            );
        }
    }
}

#[test]
fn merging_two_versions_is_commutative_and_merging_again_changes_nothing() {
    for (policy, groups) in policies() {
        // An addition that is met again without knowing that it was made would be made twice; the base tells.
        let adds = std::iter::once(&policy)
            .chain(groups.iter().map(|group| &group.policy))
            .any(|policy| *policy == Policy::Counter);
        for seed in 1..=150u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let base = Sent::new(dice.body(), 100, "server");
            let [a, b] = ["phone", "tablet"].map(|device| {
                let ms = 101 + dice.roll(50) as i64;
                base.edit(&policy, &groups, Some(dice.body()), ms, device)
            });
            let told = format!("seed {seed}: {policy:?} {a:#?} {b:#?}");
            let merged = meet(&policy, &groups, &base, &a, &b);
            let other_way = meet(&policy, &groups, &base, &b, &a);
            assert_eq!(value(&merged), value(&other_way), "commutative, {told}");
            let again = meet(&policy, &groups, &b, &merged, &b);
            assert_eq!(
                value(&again),
                value(&merged),
                "met again by what it was made on, {told}"
            );
            if !adds {
                for one in [&a, &b] {
                    let again = meet(&policy, &groups, &base, one, &merged);
                    assert_eq!(value(&again), value(&merged), "brought again, {told}");
                }
            }
        }
    }
}

#[test]
fn whether_a_record_is_there_does_not_depend_on_the_order() {
    for (policy, groups) in policies() {
        for seed in 1..=80u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let base = Sent::new(dice.body(), 100, "server");
            let edits = ["phone", "tablet", "watch"].map(|device| {
                let body = (dice.roll(2) == 0).then(|| dice.body());
                let ms = 101 + dice.roll(50) as i64;
                base.edit(&policy, &groups, body, ms, device)
            });
            let mut there = Vec::new();
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let mut server = edits[order[0]].clone();
                for next in &order[1..] {
                    server = meet(&policy, &groups, &base, &edits[*next], &server);
                }
                there.push(server.body.is_some());
            }
            assert!(
                there.iter().all(|is| *is == there[0]),
                "seed {seed}: {policy:?} {there:?} {edits:#?}"
            );
        }
    }
}

#[test]
fn versions_made_apart_come_to_the_same_in_any_order() {
    for (policy, groups) in policies() {
        for seed in 1..=80u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let nothing = Sent {
                body: None,
                ..Sent::new(json!({}), 0, "")
            };
            let made =
                ["phone", "tablet", "watch"].map(|device| Sent::new(dice.body(), 1 + dice.roll(9) as i64, device));
            same_in_any_order(&policy, &groups, &nothing, &made, &format!("seed {seed}"));
        }
    }
}

/// A backend that tells no clocks: what is as in the base was not written there.
#[test]
fn without_clocks_the_base_tells_who_wrote_what() {
    let base = object(json!({"a": 1, "b": 1, "c": 1}));
    let local = Sent::new(json!({"a": 1, "b": 1, "c": 1}), 10, "phone").edit(
        &Policy::merge_fields::<String>([[]; 0]),
        &[],
        Some(json!({"a": 2, "b": 1, "c": 2})),
        20,
        "phone",
    );
    let theirs = object(json!({"a": 1, "b": 3, "c": 3}));
    let remote = Side {
        body: Some(&theirs),
        hlc: Hlc::at(30),
        device_id: "server",
        clocks: None,
    };
    let policy = Policy::MergeFields(Vec::new());
    let Action::Merge(merged) = plan(&policy, &[], Base::Body(&base), local.side(), remote) else {
        panic!("both have a part in it")
    };
    assert_eq!(Value::Object(merged.body), json!({"a": 2, "b": 3, "c": 3}));
}

#[test]
fn added_numbers_are_not_added_twice_when_the_base_is_forgotten() {
    let (local, server) = (
        Sent::new(json!({"n": 5}), 20, "phone"),
        Sent::new(json!({"n": 4}), 10, "tablet"),
    );
    let action = plan(&Policy::Counter, &[], Base::Unknown, local.side(), server.side());
    assert_eq!(action, Action::LoseRemote);
    let action = plan(&Policy::Counter, &[], Base::Unknown, server.side(), local.side());
    assert_eq!(action, Action::LoseLocal);
    let action = plan(&Policy::Counter, &[], Base::Apart, local.side(), server.side());
    assert!(matches!(action, Action::Merge(merge) if merge.body["n"] == 9));
    let twin = Sent::new(json!({"n": 7}), 20, "phone");
    let action = plan(&Policy::Counter, &[], Base::Unknown, local.side(), twin.side());
    assert_eq!(
        action,
        Action::LoseLocal,
        "no clock tells the two apart: the server's stands"
    );
}

/// Elements that only one side has the list of keep that side's order; where both have it and differ,
/// they go by their keys.
#[test]
fn elements_keep_the_order_of_the_only_side_that_speaks_of_them() {
    let policy = Policy::lww_per("day");
    let days = |order: &[i64]| -> Value { order.iter().map(|day| json!({"day": day})).collect() };
    let base = Sent::new(json!({"n": 1}), 1, "server");
    let here = base.edit(
        &policy,
        &[],
        Some(json!({"n": 1, "days": days(&[3, 1, 2])})),
        9,
        "phone",
    );
    let there = base.edit(&policy, &[], Some(json!({"n": 2})), 5, "tablet");
    let other = base.edit(
        &policy,
        &[],
        Some(json!({"n": 2, "days": days(&[2, 1, 3])})),
        5,
        "tablet",
    );
    let same = base.edit(
        &policy,
        &[],
        Some(json!({"n": 2, "days": days(&[3, 1, 2])})),
        5,
        "tablet",
    );
    for (one, two, expected) in [
        (&here, &there, [3, 1, 2]),
        (&here, &other, [1, 2, 3]),
        (&here, &same, [3, 1, 2]),
    ] {
        for (a, b) in [(one, two), (two, one)] {
            let merged = value(&meet(&policy, &[], &base, a, b));
            assert_eq!(merged, json!({"n": 2, "days": days(&expected)}));
        }
    }
    // The other side removed the list: it speaks of it.
    let full = Sent::new(json!({"days": days(&[3, 1])}), 1, "server");
    let added = full.edit(&policy, &[], Some(json!({"days": days(&[3, 1, 2])})), 9, "phone");
    let emptied = full.edit(&policy, &[], Some(json!({"n": 1})), 5, "tablet");
    for (a, b) in [(&added, &emptied), (&emptied, &added)] {
        let merged = value(&meet(&policy, &[], &full, a, b));
        assert_eq!(merged, json!({"n": 1, "days": days(&[2])}));
    }
}

#[test]
fn a_field_that_became_something_else_later_stands() {
    let policy = Policy::lww_per("day");
    let base = Sent::new(json!({"m": {"x": 1}, "days": [{"day": 1}]}), 1, "server");
    let here = base.edit(&policy, &[], Some(json!({"m": "gone", "days": 5})), 9, "phone");
    let there = base.edit(
        &policy,
        &[],
        Some(json!({"m": {"x": 2}, "days": [{"day": 1, "v": 1}]})),
        5,
        "tablet",
    );
    for (a, b) in [(&here, &there), (&there, &here)] {
        assert_eq!(value(&meet(&policy, &[], &base, a, b)), json!({"m": "gone", "days": 5}));
    }
}

#[test]
fn units_of_odd_names_keep_apart() {
    let policy = Policy::lww_per("day");
    let base = Sent::new(
        json!({"a/b": 1, "a": {"b": 1, "": 1}, "": {"": 1}, "~": 1, "a=1": 1, "x,y": 1}),
        1,
        "server",
    );
    let here = base.edit(
        &policy,
        &[],
        Some(json!({"a/b": 2, "a": {"b": 1, "": 2}, "": {"": 1}, "~": 1, "a=1": 2})),
        9,
        "phone",
    );
    let there = base.edit(
        &policy,
        &[],
        Some(json!({"a/b": 1, "a": {"b": 3, "": 1}, "": {"": 3}, "~": 3, "a=1": 1, "x,y": 1})),
        5,
        "tablet",
    );
    for (a, b) in [(&here, &there), (&there, &here)] {
        let merged = value(&meet(&policy, &[], &base, a, b));
        assert_eq!(
            merged,
            json!({"a/b": 2, "a": {"b": 3, "": 2}, "": {"": 3}, "~": 3, "a=1": 2})
        );
    }
}

#[test]
fn a_field_that_was_removed_and_filled_again_remembers_when_it_was_removed() {
    let policy = Policy::lww_per("day");
    let base = Sent::new(json!({"m": {"x": 1}}), 1, "server");
    let removed = base.edit(&policy, &[], Some(json!({"n": 1})), 5, "phone");
    let filled = removed.edit(&policy, &[], Some(json!({"n": 1, "m": {"y": 1}})), 9, "phone");
    let times = filled.times();
    let at = |ms: i64| Clock {
        hlc: Hlc::at(ms),
        device_id: "phone".to_owned(),
    };
    assert_eq!(times.gone("-/m"), Some(&at(5)));
    assert_eq!(times.gone("/m/x"), Some(&at(5)));
    assert_eq!(times.there("/m/y"), &at(9));
}

#[test]
fn a_record_that_is_an_element_itself_is_one_unit_and_numbers_outside_a_path_are_not_compared() {
    for (policy, base, here, there, expected) in [
        (
            Policy::lww_per("day"),
            json!({"day": 1, "a": 1, "b": 1}),
            json!({"day": 1, "a": 2, "b": 1}),
            json!({"day": 1, "a": 1, "b": 3}),
            json!({"day": 1, "a": 1, "b": 3}),
        ),
        (
            Policy::lww_per("day"),
            json!({"day": {}, "a": 1, "b": 1}),
            json!({"day": {}, "a": 2, "b": 1}),
            json!({"day": {}, "a": 1, "b": 3}),
            json!({"day": {}, "a": 2, "b": 3}),
        ),
        (
            Policy::merge_max("best.*"),
            json!({"best": {"x": 1}, "n": 1}),
            json!({"best": {"x": 7}, "n": 9}),
            json!({"best": {"x": 5}, "n": 3}),
            json!({"best": {"x": 7}, "n": 3}),
        ),
        (
            Policy::merge_max(""),
            json!({"best": {"x": 1}, "n": 1}),
            json!({"best": {"x": 7}, "n": 9}),
            json!({"best": {"x": 8}, "n": 3}),
            json!({"best": {"x": 8}, "n": 9}),
        ),
    ] {
        let base = Sent::new(base, 1, "server");
        let here = base.edit(&policy, &[], Some(here), 5, "phone");
        let there = base.edit(&policy, &[], Some(there), 9, "tablet");
        for (a, b) in [(&here, &there), (&there, &here)] {
            assert_eq!(value(&meet(&policy, &[], &base, a, b)), expected, "{policy:?}");
        }
    }
}

#[test]
fn elements_that_two_devices_arranged_differently_go_by_number_or_by_text() {
    let policy = Policy::lww_per("day");
    let base = Sent::new(json!({}), 1, "server");
    for (one, two) in [
        (json!(9), json!(10)),
        (json!("a"), json!("a b")),
        (json!("a"), json!("a\n")),
    ] {
        let list = |first: &Value, second: &Value| json!({"days": [{"day": first}, {"day": second}]});
        let here = base.edit(&policy, &[], Some(list(&one, &two)), 5, "phone");
        let there = base.edit(&policy, &[], Some(list(&two, &one)), 9, "tablet");
        for (a, b) in [(&here, &there), (&there, &here)] {
            assert_eq!(value(&meet(&policy, &[], &base, a, b)), list(&one, &two));
        }
    }
}

#[test]
fn a_list_with_an_element_without_a_key_is_one_unit() {
    let policy = Policy::lww_per("day");
    let list = |first: i64, second: i64| json!({"days": [{"day": null, "v": first}, {"day": 1, "v": second}]});
    let base = Sent::new(list(0, 0), 1, "server");
    let here = base.edit(&policy, &[], Some(list(5, 0)), 5, "phone");
    let there = base.edit(&policy, &[], Some(list(0, 9)), 9, "tablet");
    for (a, b) in [(&here, &there), (&there, &here)] {
        assert_eq!(value(&meet(&policy, &[], &base, a, b)), list(0, 9));
    }
}

#[test]
fn a_list_that_goes_by_keys_on_one_side_only_is_settled_as_a_whole_by_its_latest_write() {
    let policy = Policy::lww_per("day");
    let base = Sent::new(json!({"days": [{"day": 2}, {"day": 1}]}), 1, "server");
    let by_keys = json!({"days": [{"day": 2}, {"day": 1}, {"day": 3, "v": 1}]});
    let without = json!({"days": [{"dya": 2}, {"day": 1}]});
    for (keyed_at, other_at, expected) in [(9, 5, &by_keys), (5, 9, &without)] {
        let here = base.edit(&policy, &[], Some(by_keys.clone()), keyed_at, "phone");
        let there = base.edit(&policy, &[], Some(without.clone()), other_at, "tablet");
        for (a, b) in [(&here, &there), (&there, &here)] {
            let merged = meet(&policy, &[], &base, a, b);
            assert_eq!(value(&merged), *expected, "in the order in which it was written");
            for one in [&here, &there] {
                assert_eq!(
                    value(&meet(&policy, &[], &base, one, &merged)),
                    *expected,
                    "brought again"
                );
            }
        }
        // The elements keep their clocks: what was written to one of them meanwhile is not older than all of the list.
        let third = base.edit(
            &policy,
            &[],
            Some(json!({"days": [{"day": 2, "v": 7}, {"day": 1}]})),
            7,
            "watch",
        );
        if keyed_at > other_at {
            let merged = meet(&policy, &[], &base, &third, &meet(&policy, &[], &base, &here, &there));
            let all = json!({"days": [{"day": 1}, {"day": 2, "v": 7}, {"day": 3, "v": 1}]});
            assert_eq!(value(&merged), all);
        }
    }
}

#[test]
fn lists_of_any_shape_merge_the_same_from_both_sides_and_once_more_changes_nothing() {
    let policy = Policy::lww_per("day");
    for seed in 1..=2_000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut list = || {
            let elements = (0..dice.roll(4)).map(|n| match dice.roll(5) {
                0 => json!({"dya": n}),
                1 => json!({"day": 1}),
                _ => json!({"day": n, "v": dice.roll(3)}),
            });
            json!({"days": elements.collect::<Vec<_>>()})
        };
        let (bodies, base) = ([list(), list()], Sent::new(list(), 100, "server"));
        let [one, other] = bodies;
        let a = base.edit(&policy, &[], Some(one), 101 + dice.roll(5) as i64, "phone");
        let b = base.edit(&policy, &[], Some(other), 101 + dice.roll(5) as i64, "tablet");
        let merged = meet(&policy, &[], &base, &a, &b);
        let told = format!("seed {seed}: {base:#?} {a:#?} {b:#?}");
        assert_eq!(value(&merged), value(&meet(&policy, &[], &base, &b, &a)), "{told}");
        for one in [&a, &b] {
            assert_eq!(
                value(&meet(&policy, &[], &base, one, &merged)),
                value(&merged),
                "{told}"
            );
        }
    }
}

#[test]
fn without_clocks_the_base_tells_which_list_was_changed() {
    let policy = Policy::lww_per("day");
    let base = object(json!({"days": [{"day": 1}]}));
    let changed = object(json!({"days": [{"dya": 1}]}));
    let side = |body, ms, device_id| Side {
        body: Some(body),
        hlc: Hlc::at(ms),
        device_id,
        clocks: None,
    };
    let none = Clocks::default();
    let local = |body, ms| Side {
        clocks: Some(&none),
        ..side(body, ms, "phone")
    };
    // The later write changed something else.
    let elsewhere = object(json!({"days": [{"day": 1}], "n": 1}));
    for (here, there) in [
        (local(&changed, 5), side(&elsewhere, 9, "api")),
        (local(&elsewhere, 9), side(&changed, 5, "api")),
    ] {
        let Action::Merge(merge) = plan(&policy, &[], Base::Body(&base), here, there) else {
            panic!("nothing was merged");
        };
        assert_eq!(Value::Object(merge.body), json!({"days": [{"dya": 1}], "n": 1}));
    }
}
