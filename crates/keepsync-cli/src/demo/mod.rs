//! The demo: somebody's real workouts are logged in a dead zone, killed, cut off, brought back, and
//! have to arrive complete.
//!
//! 1. `paper` reads the training log and the library of exercises.
//! 2. `script` makes the story: what goes wrong, and when, from the seed.
//! 3. `backend` starts the real server; `hand` the phone and the tablet, each a process of this very
//!    program (`device`) with its own file, each behind a proxy that breaks connections.
//! 4. `play` logs every set on the phone while the story happens; `people` is what its people do.
//! 5. `rules` lets one record of each policy be changed on both devices.
//! 6. `check` reads the log again, with code of its own, and the three database files, and counts what
//!    is lost, doubled or overwritten. `report` says it.
//!
//! Stopped anywhere (ctrl-c, SIGTERM): the children are killed and the temporary folder is removed. After
//! a SIGKILL of the demo itself the devices end with their input, the server and the folder stay.

mod paper;
mod script;
mod process;
mod backend;
pub(crate) mod device;
mod order;
mod hand;
mod play;
mod people;
mod rules;
mod tally;
mod progress;
mod check;
mod report;

use crate::{
    failure::{Exit, Failure},
    out::Out,
    serve::stop,
};
use backend::Backend;
use hand::Hand;
use play::Play;
use progress::Progress;
use report::Report;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// What the demo can be asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The training log to replay, as the Strong app exports it [default: data/strong-workouts.csv]
    #[arg(long, value_name = "FILE", overrides_with = "workouts")]
    workouts: Option<PathBuf>,
    /// The library of exercises [default: data/exercises.json]
    #[arg(long, value_name = "FILE", overrides_with = "exercises")]
    exercises: Option<PathBuf>,
    /// The seed of the story: the same one gives the same story
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Keeps the server's folder and the devices' files here; the folder must be new or empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Exits with 1 unless nothing is lost, doubled, overwritten, different or left.
pub(crate) fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|problem| Failure::new("internal", format!("no runtime: {problem}")))?;
    runtime.block_on(async {
        let stop = stop().map_err(|problem| Failure::new("internal", format!("no signals: {problem}")))?;
        tokio::select! {
            done = demo(args, out) => done,
            // What was under way is dropped, and its children and its folder with it.
            () = stop => Err(Failure::new("stopped", "the demo was stopped")),
        }
    })
}

async fn demo(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let begin = Instant::now();
    let workouts_file = paper::file(args.workouts, "strong-workouts.csv", "--workouts")?;
    let exercises_file = paper::file(args.exercises, "exercises.json", "--exercises")?;
    let workouts = paper::workouts(&workouts_file)?;
    let exercises = paper::exercises(&exercises_file)?;
    let sets: Vec<usize> = workouts.iter().map(|workout| workout.sets.len()).collect();
    let story = script::script(args.seed, &sets);

    let temporary = match &args.keep {
        Some(folder) => {
            empty(folder)?;
            None
        }
        None => Some(tempfile::tempdir().map_err(|problem| Failure::file(&std::env::temp_dir(), &problem))?),
    };
    let folder = match (&args.keep, &temporary) {
        (Some(folder), _) => folder.as_path(),
        (None, Some(temporary)) => temporary.path(),
        (None, None) => Path::new("."),
    };

    let (backend, server) = Backend::start(folder).await?;
    let phone = Hand::take("phone", folder, &backend, server).await?;
    let tablet = Hand::take("tablet", folder, &backend, server).await?;
    let total = sets.iter().sum();
    let progress = Progress::new(total, out.json);
    progress.line(&format!(
        "{} workouts, {total} sets: logged on a phone, with {} things going wrong on the way.",
        workouts.len(),
        story.len()
    ));
    let mut play = Play {
        backend,
        phone,
        tablet,
        workouts: &workouts,
        tally: tally::Tally::default(),
        progress,
        edited: None,
    };
    play.library(&exercises).await?;
    play.act(&story).await?;
    play.finish().await?;
    let settled = play.rules().await?;
    play.progress.end();
    let counts = [play.phone.air.counts(), play.tablet.air.counts()];
    play.phone.end().await?;
    play.tablet.end().await?;

    let findings = check::check(
        &check::Files {
            workouts: &workouts_file,
            exercises: &exercises_file,
            phone: &play.phone.file,
            tablet: &play.tablet.file,
            server: &play.backend.database(),
        },
        &play.tally,
    )?;
    play.backend.kill().await?;
    let report = Report {
        seed: args.seed,
        findings: &findings,
        tally: &play.tally,
        settled: &settled,
        counts,
        took: begin.elapsed(),
        kept: args.keep.as_deref(),
    };
    report.print(out)?;
    Ok(if report.good() { Exit::Good } else { Exit::Wrong })
}

/// Files of an earlier run would be taken for this one's.
fn empty(folder: &Path) -> Result<(), Failure> {
    let cannot = |problem| Failure::file(folder, &problem);
    std::fs::create_dir_all(folder).map_err(cannot)?;
    match std::fs::read_dir(folder).map_err(cannot)?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            "file",
            format!("--keep: {} is not empty", folder.display()),
        )),
    }
}
