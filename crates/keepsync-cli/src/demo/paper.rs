//! What is on paper: somebody's training log, and a library of exercises.

use crate::failure::Failure;
use serde_json::{Number, Value, json};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// A workout as it is about to be logged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Workout {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) body: Value,
    pub(super) sets: Vec<Set>,
}

/// One of its sets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Set {
    pub(super) slot: String,
    pub(super) weight: Number,
    pub(super) body: Value,
}

/// Columns of the Strong app's export, by position: their names are in the app's language.
mod column {
    pub(super) const DATE: usize = 0;
    pub(super) const WORKOUT: usize = 1;
    pub(super) const DURATION: usize = 2;
    pub(super) const EXERCISE: usize = 3;
    pub(super) const ORDER: usize = 4;
    pub(super) const WEIGHT: usize = 5;
    pub(super) const REPS: usize = 6;
    pub(super) const DISTANCE: usize = 7;
    pub(super) const SECONDS: usize = 8;
    pub(super) const NOTES: usize = 9;
    pub(super) const WORKOUT_NOTES: usize = 10;
    pub(super) const COUNT: usize = 12;
}

/// A file of the data folder, unless another one was named.
pub(super) fn file(named: Option<PathBuf>, name: &str, flag: &str) -> Result<PathBuf, Failure> {
    let path = named.unwrap_or_else(|| Path::new("data").join(name));
    if path.is_file() {
        return Ok(path);
    }
    let path = path.display();
    let hint = format!("no such file: {path}; run this in the repository's folder, or name the file with {flag}");
    Err(Failure::new("file", hint))
}

/// The workouts in the order of the file. Rows of one date are one workout.
pub(super) fn workouts(path: &Path) -> Result<Vec<Workout>, Failure> {
    let bad = |what: String| Failure::new("bad_workouts", format!("{}: {what}", path.display()));
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(|problem| bad(problem.to_string()))?;
    let mut workouts: Vec<Workout> = Vec::new();
    let mut by_date: HashMap<String, usize> = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(|problem| bad(problem.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        if row.len() != column::COUNT || row[column::DATE].is_empty() {
            let count = row.len();
            return Err(bad(format!(
                "line {line}: {count} columns, of the 12 that the Strong app writes"
            )));
        }
        let number = |at: usize| -> Result<Number, Failure> {
            let wrong = |_| bad(format!("line {line}, column {}: not a number", at + 1));
            serde_json::from_str(&row[at]).map_err(wrong)
        };
        let date = &row[column::DATE];
        let at = *by_date.entry(date.to_owned()).or_insert_with(|| {
            workouts.push(Workout {
                id: date.replace(' ', "T"),
                name: row[column::WORKOUT].to_owned(),
                body: json!({
                    "name": row[column::WORKOUT], "date": date, "duration": row[column::DURATION],
                    "notes": "",
                }),
                sets: Vec::new(),
            });
            workouts.len() - 1
        });
        let workout = &mut workouts[at];
        if !row[column::WORKOUT_NOTES].is_empty() {
            workout.body["notes"] = json!(row[column::WORKOUT_NOTES]);
        }
        let place = format!("{}/{}", &row[column::EXERCISE], &row[column::ORDER]);
        let same = workout
            .sets
            .iter()
            .filter(|set| set.slot.split('#').next() == Some(&place));
        let slot = match same.count() {
            0 => place,
            before => format!("{place}#{}", before + 1),
        };
        workout.sets.push(Set {
            slot,
            weight: number(column::WEIGHT)?,
            body: json!({
                "exercise": row[column::EXERCISE], "order": number(column::ORDER)?, "weight": number(column::WEIGHT)?,
                "reps": number(column::REPS)?, "distance": number(column::DISTANCE)?,
                "seconds": number(column::SECONDS)?, "notes": row[column::NOTES],
            }),
        });
    }
    if workouts.is_empty() {
        return Err(bad("no workouts".to_owned()));
    }
    Ok(workouts)
}

/// Ids and bodies of the library.
pub(super) fn exercises(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let bad = |what: String| Failure::new("bad_exercises", format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|problem| Failure::file(path, &problem))?;
    let all: Vec<Value> = serde_json::from_str(&text).map_err(|problem| bad(problem.to_string()))?;
    let keyed = all
        .iter()
        .enumerate()
        .map(|(at, exercise)| match exercise["id"].as_str() {
            Some(id) => Ok((id.to_owned(), exercise.to_string())),
            None => Err(bad(format!("exercise {} has no id", at + 1))),
        });
    keyed.collect()
}
