//! From rows to workouts with their sets, as records.

use super::table::Row;
use crate::failure::Failure;
use keepsync::session::set_id;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::HashMap;
use uuid::Uuid;

/// A workout and its sets: ids and bodies.
#[derive(Debug)]
pub(super) struct Workout {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) sets: Vec<(String, String)>,
}

#[derive(Serialize)]
struct WorkoutBody<'a> {
    /// As the file has it: the clock on the wall, in a zone that the file does not tell.
    date: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a str>,
    state: &'static str,
    source: &'static str,
}

#[derive(Serialize)]
struct SetBody<'a> {
    workout_id: &'a str,
    slot: &'a str,
    exercise: &'a str,
    #[serde(serialize_with = "whole_or_text")]
    set_order: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reps: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpe: Option<&'a RawValue>,
}

/// A set's order is a number, or a letter for a warm-up and its like.
fn whole_or_text<S: Serializer>(order: &&str, to: S) -> Result<S::Ok, S::Error> {
    match order.parse::<u32>() {
        Ok(number) if number.to_string() == **order => to.serialize_u32(number),
        _ => to.serialize_str(order),
    }
}

/// Namespace of imported workouts.
const NAMESPACE: Uuid = Uuid::from_u128(0x9be0_53a7_1f44_4d4e_8c26_7374_726f_6e67);

/// Rows with one date and one name are one workout, wherever they stand in the file.
pub(super) fn workouts(rows: Vec<Row>) -> Result<Vec<Workout>, Failure> {
    let mut order: Vec<Vec<Row>> = Vec::new();
    let mut places: HashMap<(String, Option<String>), usize> = HashMap::new();
    for row in rows {
        let place = *places
            .entry((row.date.clone(), row.name.clone()))
            .or_insert(order.len());
        match order.get_mut(place) {
            Some(workout) => workout.push(row),
            None => order.push(vec![row]),
        }
    }
    order.iter().filter_map(|rows| workout(rows).transpose()).collect()
}

fn workout(rows: &[Row]) -> Result<Option<Workout>, Failure> {
    let Some(first) = rows.first() else { return Ok(None) };
    let name = first.name.as_deref();
    let id = Uuid::new_v5(&NAMESPACE, format!("{}\n{}", first.date, name.unwrap_or("")).as_bytes()).to_string();
    let body = json(&WorkoutBody {
        date: &first.date,
        name,
        duration: rows.iter().find_map(|row| row.duration.as_deref()),
        notes: rows.iter().find_map(|row| row.workout_notes.as_deref()),
        state: "completed",
        source: "strong",
    })?;
    let mut seen: HashMap<(&str, &str), u32> = HashMap::new();
    let mut sets = Vec::with_capacity(rows.len());
    for row in rows {
        let times = seen.entry((&row.exercise, &row.order)).or_default();
        *times += 1;
        // The order of a set holds no `#`, so no two rows can come to one slot.
        let slot = match *times {
            1 => format!("{}/{}", row.exercise, row.order),
            again => format!("{}/{}#{again}", row.exercise, row.order),
        };
        let body = json(&SetBody {
            workout_id: &id,
            slot: &slot,
            exercise: &row.exercise,
            set_order: &row.order,
            weight: row.weight.as_deref(),
            reps: row.reps.as_deref(),
            distance: row.distance.as_deref(),
            seconds: row.seconds.as_deref(),
            notes: row.notes.as_deref(),
            rpe: row.rpe.as_deref(),
        })?;
        sets.push((set_id(&id, &slot), body));
    }
    Ok(Some(Workout { id, body, sets }))
}

fn json(body: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(body)
        .map_err(|problem| Failure::new("internal", format!("a body cannot be written: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(exercise: &str, order: &str) -> Row {
        Row {
            date: "2021-02-10 16:46:13".to_owned(),
            name: Some("Mittwoch".to_owned()),
            duration: None,
            exercise: exercise.to_owned(),
            order: order.to_owned(),
            weight: RawValue::from_string("75.0".to_owned()).ok(),
            reps: None,
            distance: None,
            seconds: None,
            notes: None,
            workout_notes: None,
            rpe: None,
        }
    }

    #[test]
    fn rows_that_repeat_exercise_and_order_are_sets_of_their_own() {
        let workouts = workouts(vec![
            row("Bench", "1"),
            row("Bench", "1"),
            row("Bench", "W"),
            row("Row", "1"),
        ])
        .unwrap();
        assert_eq!(workouts.len(), 1);
        let sets = &workouts[0].sets;
        assert_eq!(sets[0].0, set_id(&workouts[0].id, "Bench/1"));
        assert_eq!(sets[1].0, set_id(&workouts[0].id, "Bench/1#2"));
        assert!(sets[0].1.contains(r#""set_order":1,"weight":75.0}"#), "{}", sets[0].1);
        assert!(sets[2].1.contains(r#""set_order":"W","#), "{}", sets[2].1);
        let ids: std::collections::HashSet<_> = sets.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn the_same_rows_give_the_same_ids() {
        let once = || workouts(vec![row("Bench", "1")]).unwrap().remove(0);
        assert_eq!((once().id, once().sets), (once().id, once().sets));
        // Fixed: another id would double every log that was imported before.
        assert_eq!(once().id, "9a74f329-e66b-51e2-9105-b558afece666");
    }
}
