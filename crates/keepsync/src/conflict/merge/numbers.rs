//! Numbers at places in a body: taken out, compared, added, put back. Pure.

use serde_json::{Map, Number, Value};
use std::{cmp::Ordering, collections::BTreeMap};

/// A step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

pub(super) type Numbers = BTreeMap<Vec<Step>, Number>;

/// The numbers at or below `path`: its steps name members, `*` is any.
pub(super) fn at(body: &Map<String, Value>, path: &[&str]) -> Numbers {
    let mut found = Numbers::new();
    members(body, path, &mut Vec::new(), &mut found);
    found
}

fn members(object: &Map<String, Value>, path: &[&str], here: &mut Vec<Step>, found: &mut Numbers) {
    for (name, value) in object {
        if let Some(rest) = below(path, name) {
            here.push(Step::Member(name.clone()));
            collect(value, rest, here, found);
            here.pop();
        }
    }
}

fn collect(value: &Value, path: &[&str], here: &mut Vec<Step>, found: &mut Numbers) {
    match value {
        Value::Number(number) if path.is_empty() => {
            found.insert(here.clone(), number.clone());
        }
        Value::Object(object) => members(object, path, here, found),
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                if let Some(rest) = below(path, &index.to_string()) {
                    here.push(Step::Element(index));
                    collect(value, rest, here, found);
                    here.pop();
                }
            }
        }
        _ => {}
    }
}

/// What is left of the path below a member; `None` if it leads elsewhere.
fn below<'p, 's>(path: &'p [&'s str], name: &str) -> Option<&'p [&'s str]> {
    match path.split_first() {
        None => Some(path),
        Some((step, rest)) => (*step == "*" || *step == name).then_some(rest),
    }
}

/// The body without those numbers. In an array `null` keeps the place of one.
pub(super) fn without(body: &Map<String, Value>, path: &[&str]) -> Map<String, Value> {
    let strip = |(name, value): (&String, &Value)| {
        let Some(rest) = below(path, name) else {
            return Some((name.clone(), value.clone()));
        };
        Some((name.clone(), stripped(value, rest)?))
    };
    body.iter().filter_map(strip).collect()
}

/// `None` for a number that is taken out.
fn stripped(value: &Value, path: &[&str]) -> Option<Value> {
    Some(match value {
        Value::Number(_) if path.is_empty() => return None,
        Value::Object(object) => Value::Object(without(object, path)),
        Value::Array(elements) => {
            let strip = |(index, value): (usize, &Value)| match below(path, &index.to_string()) {
                Some(rest) => stripped(value, rest).unwrap_or(Value::Null),
                None => value.clone(),
            };
            Value::Array(elements.iter().enumerate().map(strip).collect())
        }
        other => other.clone(),
    })
}

/// Puts numbers in. Objects and arrays on the way are made; where something else stands on the way, or
/// an object or array in the place, that stays.
pub(super) fn put_in(body: &mut Map<String, Value>, numbers: Numbers) {
    for (path, number) in numbers {
        if let Some((Step::Member(name), rest)) = path.split_first() {
            put_at(body.entry(name.clone()).or_insert(Value::Null), rest, number);
        }
    }
}

fn put_at(value: &mut Value, path: &[Step], number: Number) {
    let Some((step, rest)) = path.split_first() else {
        if !value.is_object() && !value.is_array() {
            *value = Value::Number(number);
        }
        return;
    };
    if value.is_null() {
        *value = match step {
            Step::Member(_) => Value::Object(Map::new()),
            Step::Element(_) => Value::Array(Vec::new()),
        };
    }
    match (step, value) {
        (Step::Member(name), Value::Object(object)) => {
            put_at(object.entry(name.clone()).or_insert(Value::Null), rest, number);
        }
        (Step::Element(index), Value::Array(elements)) => {
            elements.resize(elements.len().max(*index + 1), Value::Null);
            put_at(&mut elements[*index], rest, number);
        }
        _ => {}
    }
}

/// In every place of either, the larger number.
pub(super) fn larger(local: Numbers, mut remote: Numbers) -> Numbers {
    for (path, ours) in local {
        match remote.get(&path) {
            Some(theirs) if compare(theirs, &ours).is_ge() => {}
            _ => {
                remote.insert(path, ours);
            }
        }
    }
    remote
}

/// In every place of either, the remote number and what the local one has more than the base. One that
/// was removed counts as unchanged: taking a number away is no subtraction.
pub(super) fn sum(base: &Numbers, local: &Numbers, remote: &Numbers) -> Numbers {
    let zero = Number::from(0);
    let places = local.keys().chain(remote.keys());
    places
        .map(|path| {
            let before = base.get(path).unwrap_or(&zero);
            let of = |numbers: &'_ Numbers| numbers.get(path).unwrap_or(before).clone();
            (path.clone(), total(&of(remote), &of(local), before))
        })
        .collect()
}

/// Smaller, equal or larger; an integer before an equal fraction.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        (whole_a, whole_b) => {
            let by_value = a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0));
            by_value.then(whole_b.is_some().cmp(&whole_a.is_some()).reverse())
        }
    }
}

/// `there + here - before`. Integers stay integers; what cannot be held is as large as can be.
fn total(there: &Number, here: &Number, before: &Number) -> Number {
    if let (Some(there), Some(here), Some(before)) = (there.as_i128(), here.as_i128(), before.as_i128()) {
        let sum = there.saturating_add(here).saturating_sub(before);
        return match (i64::try_from(sum), u64::try_from(sum)) {
            (Ok(sum), _) => Number::from(sum),
            (_, Ok(sum)) => Number::from(sum),
            _ if sum < 0 => Number::from(i64::MIN),
            _ => Number::from(u64::MAX),
        };
    }
    let exact = || {
        let added = Decimal::of(there)?.plus(Decimal::of(here)?)?;
        added.plus(Decimal::of(before)?.negated())?.to_f64()
    };
    let float = |number: &Number| number.as_f64().unwrap_or(0.0);
    let sum = exact().unwrap_or_else(|| float(there) + (float(here) - float(before)));
    Number::from_f64(sum.clamp(f64::MIN, f64::MAX)).unwrap_or(there.clone())
}

/// A number as it is written: 0.1 and 0.2 are 0.3, in whatever order they are added.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    /// Power of ten.
    exponent: i32,
}

impl Decimal {
    fn of(number: &Number) -> Option<Self> {
        let text = format!("{:e}", number.as_f64()?);
        let (mantissa, exponent) = text.split_once('e')?;
        let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        Some(Self {
            digits: mantissa.replace('.', "").parse().ok()?,
            exponent: exponent.parse::<i32>().ok()? - i32::try_from(fraction).ok()?,
        })
    }

    fn negated(self) -> Self {
        Self {
            digits: -self.digits,
            ..self
        }
    }

    /// `None` where the two are too far apart to be held together.
    fn plus(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let scaled = |number: Self| {
            let power = u32::try_from(number.exponent - exponent).ok()?;
            number.digits.checked_mul(10i128.checked_pow(power)?)
        };
        Some(Self {
            digits: scaled(self)?.checked_add(scaled(other)?)?,
            exponent,
        })
    }

    fn to_f64(self) -> Option<f64> {
        format!("{}e{}", self.digits, self.exponent).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn number(value: Value) -> Number {
        value.as_number().unwrap().clone()
    }

    #[test]
    fn a_path_takes_out_what_is_at_or_below_it() {
        let body = object(
            json!({"n": 1, "m": {"a": {"sets": 2, "x": "y"}, "b": {"sets": 3, "deep": {"sets": 4}}}, "l": [5, "z"]}),
        );
        let table = [
            (
                "m.*.sets",
                json!({"n": 1, "m": {"a": {"x": "y"}, "b": {"deep": {"sets": 4}}}, "l": [5, "z"]}),
                2,
            ),
            (
                "m.b",
                json!({"n": 1, "m": {"a": {"sets": 2, "x": "y"}, "b": {"deep": {}}}, "l": [5, "z"]}),
                2,
            ),
            ("l.0", json!({"n": 1, "m": body["m"], "l": [null, "z"]}), 1),
            ("l.*", json!({"n": 1, "m": body["m"], "l": [null, "z"]}), 1),
            (
                "",
                json!({"m": {"a": {"x": "y"}, "b": {"deep": {}}}, "l": [null, "z"]}),
                5,
            ),
            ("nothing.here", Value::Object(body.clone()), 0),
        ];
        for (path, left, count) in table {
            let path: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
            let numbers = at(&body, &path);
            assert_eq!(Value::Object(without(&body, &path)), left, "{path:?}");
            assert_eq!(numbers.len(), count, "{path:?}");
            let mut whole = without(&body, &path);
            put_in(&mut whole, numbers);
            assert_eq!(whole, body, "{path:?}: put back");
        }
    }

    #[test]
    fn what_stands_in_the_way_stays() {
        let numbers = at(&object(json!({"a": {"b": 1}, "c": 2, "d": [3, 4], "e": 5})), &[]);
        let mut body = object(json!({"a": "text", "c": {"x": true}, "d": [null], "e": "text"}));
        put_in(&mut body, numbers);
        assert_eq!(
            Value::Object(body),
            json!({"a": "text", "c": {"x": true}, "d": [3, 4], "e": 5})
        );
    }

    #[test]
    fn sums_are_exact_and_saturate() {
        let table = [
            (json!(5), json!(7), json!(4), json!(8)),
            (json!(5), json!(0), json!(4), json!(1)),
            (json!(0.1), json!(0.2), json!(0), json!(0.3)),
            (json!(2), json!(0.5), json!(0.25), json!(2.25)),
            (json!(u64::MAX), json!(1), json!(0), json!(u64::MAX)),
            (json!(i64::MIN), json!(-1), json!(0), json!(i64::MIN)),
            (json!(i64::MAX), json!(1), json!(0), json!(9_223_372_036_854_775_808u64)),
            (json!(f64::MAX), json!(f64::MAX), json!(0.5), json!(f64::MAX)),
            (json!(1e300), json!(0.5), json!(0), json!(1e300)),
        ];
        for (there, here, before, expected) in table {
            let found = total(&number(there.clone()), &number(here.clone()), &number(before.clone()));
            assert_eq!(Value::Number(found), expected, "{there} + {here} - {before}");
        }
    }

    #[test]
    fn numbers_compare_by_value_and_an_integer_stands_before_an_equal_fraction() {
        let table = [
            (json!(2), json!(10), Ordering::Less),
            (json!(-1), json!(0.5), Ordering::Less),
            (json!(3), json!(3.0), Ordering::Greater),
            (json!(3.0), json!(3), Ordering::Less),
            (json!(3.5), json!(3.5), Ordering::Equal),
            (json!(u64::MAX), json!(i64::MAX), Ordering::Greater),
        ];
        for (a, b, expected) in table {
            assert_eq!(compare(&number(a.clone()), &number(b.clone())), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_path_that_goes_on_below_a_number_names_nothing() {
        let body = serde_json::json!({"m": 5, "n": {"x": 1}}).as_object().unwrap().clone();
        assert!(at(&body, &["m", "x"]).is_empty());
        assert_eq!(at(&body, &["n", "x"]).len(), 1);
        assert_eq!(without(&body, &["m", "x"]), body);
        assert_eq!(
            Value::Object(without(&body, &["n", "x"])),
            serde_json::json!({"m": 5, "n": {}})
        );
    }

    #[test]
    fn sums_are_exact_below_zero_and_as_near_as_floats_come_where_digits_do_not_reach() {
        let whole = |n: i64| Number::from(n);
        assert_eq!(total(&whole(-5), &whole(1), &whole(0)), whole(-4));
        assert_eq!(total(&whole(i64::MIN), &whole(-1), &whole(0)), whole(i64::MIN));
        assert_eq!(
            total(&Number::from(u64::MAX), &whole(1), &whole(0)),
            Number::from(u64::MAX)
        );
        let float = |n: f64| Number::from_f64(n).unwrap();
        assert_eq!(total(&float(1e-300), &float(1e300), &float(1e300)), float(1e-300));
    }
}
