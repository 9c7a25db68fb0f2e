//! Is everything that is on paper where it belongs, once, and as it was written?
//!
//! 1. The paper is read again, by `csv`.
//! 2. The three files are read, by `place`.
//! 3. `compare` holds each against the paper, and the server's list of applied operations against what
//!    the devices know. Pure.

mod compare;
mod csv;
mod place;

use super::{hand::USER, tally::Tally};
use crate::failure::Failure;
pub(super) use compare::{Column, Findings};
use std::path::Path;

/// Where to look.
pub(super) struct Files<'a> {
    pub(super) workouts: &'a Path,
    pub(super) exercises: &'a Path,
    pub(super) phone: &'a Path,
    pub(super) tablet: &'a Path,
    pub(super) server: &'a Path,
}

pub(super) fn check(files: &Files<'_>, tally: &Tally) -> Result<Findings, Failure> {
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|problem| Failure::file(path, &problem));
    let broken = |what: &str| {
        let what = what.to_owned();
        move |problem: rusqlite::Error| Failure::new("check", format!("the {what}'s file cannot be read: {problem}"))
    };
    let library: Vec<serde_json::Value> = serde_json::from_str(&text(files.exercises)?)
        .map_err(|problem| Failure::new("check", format!("{}: {problem}", files.exercises.display())))?;
    let (server, applied) = place::server(files.server, USER).map_err(broken("server"))?;
    Ok(compare::compare(&compare::Evidence {
        rows: csv::rows(&text(files.workouts)?),
        library,
        phone: place::device(files.phone).map_err(broken("phone"))?,
        tablet: place::device(files.tablet).map_err(broken("tablet"))?,
        server,
        applied,
        edits: &tally.edits,
        resolved: &tally.resolved,
    }))
}
