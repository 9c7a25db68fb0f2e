//! A training log as the Strong app exports it.
//!
//! 1. The same file gives the same ids; every row is one set, no two sets or workouts share an id, and every
//!    set names its workout.
//! 2. Bodies are JSON objects, and every text in them came from the file.
//! 3. What is wrong is told by line and column, never by content.

use crate::strong::read as read_log;
use serde_json::{Map, Value};
use std::collections::HashSet;

pub(crate) fn run(data: &[u8]) {
    let (rows, workouts) = match read_log(data) {
        Ok(read) => read,
        Err(problem) => {
            assert!(problem.starts_with("line ") && problem.len() < 120, "{problem}");
            return;
        }
    };
    assert_eq!(read_log(data), Ok((rows, workouts.clone())));
    let sets: usize = workouts.iter().map(|(_, sets)| sets.len()).sum();
    assert_eq!(sets, rows, "a row is a set");
    let ids = workouts.iter().flat_map(|((id, _), sets)| {
        let sets = sets.iter().map(|(id, _)| id.as_str());
        sets.chain([id.as_str()])
    });
    let ids: Vec<&str> = ids.collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "two share an id");
    let text = String::from_utf8(data.to_vec()).unwrap();
    // Whatever was made of quotes, and of lines that end within them.
    let plain = |text: &str| text.replace(['"', '\r'], "");
    let text = plain(&text);
    let from_file = |found: &str| text.contains(&plain(found));
    for ((workout, body), sets) in &workouts {
        let body: Map<String, Value> = serde_json::from_str(body).unwrap();
        assert!(body["date"].as_str().is_some_and(from_file));
        for field in ["name", "duration", "notes"] {
            assert!(body.get(field).and_then(Value::as_str).is_none_or(from_file), "{field}");
        }
        for (_, set) in sets {
            let body: Map<String, Value> = read(set);
            assert_eq!(body["workout_id"], workout.as_str());
            assert!(body["exercise"].as_str().is_some_and(from_file));
            assert!(body.get("notes").and_then(Value::as_str).is_none_or(from_file));
        }
    }
}

/// Numbers may be larger than this reader takes: they were kept as they were written.
fn read(body: &str) -> Map<String, Value> {
    let fields: std::collections::BTreeMap<String, &serde_json::value::RawValue> = serde_json::from_str(body).unwrap();
    let value = |raw: &serde_json::value::RawValue| serde_json::from_str(raw.get()).unwrap_or(Value::Null);
    fields.into_iter().map(|(name, raw)| (name, value(raw))).collect()
}
