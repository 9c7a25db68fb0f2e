//! `import-strong`: a training log as the Strong app exports it.
//!
//! 1. The whole file is read and checked (`table`); one that makes no sense is refused, with line and
//!    column, before anything is written.
//! 2. Its rows become workouts with their sets (`plan`). Every id is derived from the content, so the
//!    same file gives the same ids on every device and every time.
//! 3. Each workout is one commit: its record and all its sets, or none of them. A record that is there
//!    already, or was there and is deleted, is left alone, whatever the user made of it.
//!
//! Stopped anywhere: the workouts committed so far are there whole, and the import can be run again.

mod plan;
mod table;

use super::files;
use crate::{
    collections::{SET_LOG, WORKOUT},
    failure::{Exit, Failure},
    out::Out,
};
use keepsync::{Result, Store, record};
use plan::Workout;
use serde::Serialize;
use std::path::Path;

/// What an import did.
#[derive(Debug, Default, Serialize)]
struct ImportForm {
    /// Workouts that were not there.
    workouts: u64,
    /// Sets that were not there.
    sets: u64,
    /// Sets that were there, and were left alone.
    skipped: u64,
}

pub(super) async fn import(store: &Store, file: &Path, out: &mut Out) -> std::result::Result<Exit, Failure> {
    let bytes = files::read(file)?;
    let rows = table::read(&bytes).map_err(|wrong| Failure::new("bad_file", format!("{}: {wrong}", file.display())))?;
    let mut form = ImportForm::default();
    for workout in plan::workouts(rows)? {
        let (workouts, sets, skipped) = store.write(move |write| add(write, &workout)).await?;
        form.workouts += workouts;
        form.sets += sets;
        form.skipped += skipped;
    }
    if out.json {
        out.object(&form)?;
    } else {
        out.pairs(&[
            ("workouts added", form.workouts.to_string()),
            ("sets added", form.sets.to_string()),
            ("sets skipped", form.skipped.to_string()),
        ])?;
    }
    Ok(Exit::Good)
}

/// One workout in one transaction: workouts and sets added, and sets left alone.
fn add(write: &mut keepsync::Write<'_>, workout: &Workout) -> Result<(u64, u64, u64)> {
    let (mut workouts, mut sets) = (0, 0);
    let there = write.read().record(WORKOUT, &workout.id)?;
    if there.as_ref().is_some_and(|record| record.body.is_none()) {
        // The user deleted it; its sets would have no workout.
        return Ok((0, 0, workout.sets.len() as u64));
    }
    if there.is_none() {
        record::put(write, WORKOUT, &workout.id, &workout.body)?;
        workouts = 1;
    }
    for (id, body) in &workout.sets {
        if write.read().record(SET_LOG, id)?.is_none() {
            record::put(write, SET_LOG, id, body)?;
            sets += 1;
        }
    }
    Ok((workouts, sets, workout.sets.len() as u64 - sets))
}
