//! Real sets from `data/strong-workouts.csv`, as often as a benchmark needs them.

use serde_json::{Map, Value, json};
use std::sync::LazyLock;

const CSV: &str = include_str!("../../../data/strong-workouts.csv");

/// What was written down of one set.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    /// When its workout began: `2021-02-10 16:46:13`.
    pub(crate) date: String,
    /// Its place in the workout: exercise and number.
    pub(crate) slot: String,
    /// As an app would give it.
    pub(crate) body: Map<String, Value>,
}

impl Set {
    /// The body an app passes to `log_set`.
    pub(crate) fn logged(&self) -> String {
        Value::Object(self.body.clone()).to_string()
    }

    /// The body that ends up on the disk: with its session and slot.
    pub(crate) fn stored(&self, session: &str) -> String {
        let mut body = self.body.clone();
        body.insert("workout_id".to_owned(), Value::from(session));
        body.insert("slot".to_owned(), Value::from(self.slot.clone()));
        Value::Object(body).to_string()
    }
}

/// All sets of the log, by workout, oldest first.
pub(crate) fn workouts() -> &'static [Vec<Set>] {
    static READ: LazyLock<Vec<Vec<Set>>> = LazyLock::new(read);
    &READ
}

fn read() -> Vec<Vec<Set>> {
    let mut workouts: Vec<Vec<Set>> = Vec::new();
    for row in rows(CSV).skip(1) {
        let text = |column: usize| row.get(column).map_or("", String::as_str);
        let number = |column: usize| text(column).parse::<f64>().unwrap_or(0.0);
        let same = workouts
            .last()
            .and_then(|sets| sets.first())
            .is_some_and(|set| set.date == text(0));
        if !same {
            workouts.push(Vec::new());
        }
        let Some(sets) = workouts.last_mut() else { continue };
        // Exercise and set order repeat within some workouts; the position does not.
        let slot = format!("{}/{}", text(3), sets.len() + 1);
        let body = json!({
            "date": text(0),
            "exercise": text(3),
            "set": number(4) as i64,
            "weight_kg": number(5),
            "reps": number(6) as i64,
            "distance": number(7),
            "seconds": number(8) as i64,
            "notes": text(9),
        });
        let Value::Object(body) = body else { continue };
        sets.push(Set {
            date: text(0).to_owned(),
            slot,
            body,
        });
    }
    workouts
}

/// The rows of a CSV text. A field in double quotes may hold commas, line ends and doubled quotes.
fn rows(text: &str) -> impl Iterator<Item = Vec<String>> {
    let mut rest = text.chars().peekable();
    std::iter::from_fn(move || {
        rest.peek()?;
        let (mut row, mut field, mut quoted) = (Vec::new(), String::new(), false);
        while let Some(c) = rest.next() {
            match c {
                '"' if quoted && rest.peek() == Some(&'"') => {
                    rest.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut field)),
                '\r' if !quoted => {}
                '\n' if !quoted => break,
                c => field.push(c),
            }
        }
        row.push(field);
        Some(row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_log_is_read() {
        let workouts = workouts();
        assert_eq!(workouts.len(), 129);
        assert_eq!(workouts.iter().map(Vec::len).sum::<usize>(), 2_078);
        let first = &workouts[0][0];
        assert_eq!(first.slot, "Bench Press (Barbell)/1");
        assert_eq!(first.body["weight_kg"], 75.0);
        let exercises: std::collections::BTreeSet<&str> = workouts
            .iter()
            .flatten()
            .filter_map(|set| set.body["exercise"].as_str())
            .collect();
        assert_eq!(exercises.len(), 72);
    }

    #[test]
    fn quoted_fields_may_hold_anything() {
        let read: Vec<_> = rows("a,\"b,\"\"c\"\"\nd\"\r\ne,\n").collect();
        assert_eq!(read, [vec!["a", "b,\"c\"\nd"], vec!["e", ""]]);
    }
}
