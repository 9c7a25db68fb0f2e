//! Work in a process of its own, where the kernel's counts of that process are what is measured.

use crate::{
    Outcome,
    fill::{Pull, Ready, apply_ours, apply_yardstick, ready_workouts},
    measure::{bytes_written, peak_mib},
    ours::Ours,
    store::Held,
    yardstick::Yardstick,
};
use std::{
    path::Path,
    process::{Command, Output},
};

/// Whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// As an app holds it.
    Store,
    /// The database without the store.
    Ours,
    Yardstick,
}

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Logs sets; tells the bytes written from the first set to the closing.
    Log,
    /// Applies a pull of [`PULL_ROWS`]; tells its peak memory.
    Pull,
}

pub(crate) const PULL_ROWS: usize = 50_000;
const PAGE_ROWS: usize = 500;

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Ours => "ours",
            Self::Yardstick => "yardstick",
        }
    }
}

impl Task {
    fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Pull => "pull",
        }
    }
}

fn arguments(side: Side, task: Task, sets: usize, folder: &Path) -> Vec<std::ffi::OsString> {
    vec![
        "--child".into(),
        side.as_str().into(),
        task.as_str().into(),
        sets.to_string().into(),
        folder.into(),
    ]
}

fn succeeded(output: Output, what: &str) -> Outcome<Output> {
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{what} failed: {said}").into())
}

/// Runs the task in a child process; gives the number it tells.
pub(crate) fn run(side: Side, task: Task, sets: usize, folder: &Path) -> Outcome<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args(arguments(side, task, sets, folder))
        .output()?;
    let output = succeeded(output, "the child process")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// How often the child process that logs `sets` asks the disk to hold on to its data.
pub(crate) fn count_fsyncs(side: Side, sets: usize, folder: &Path) -> Outcome<f64> {
    let counts = folder.join("strace");
    let output = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs", "-o"])
        .arg(&counts)
        .arg(std::env::current_exe()?)
        .args(arguments(side, Task::Log, sets, folder))
        .output()
        .map_err(|error| format!("strace, which counts the fsyncs, does not run: {error}"))?;
    succeeded(output, "the child process under strace")?;
    // % time, seconds, usecs/call, calls, perhaps errors, name
    let calls = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let sync = fields.last().is_some_and(|name| name.contains("sync"));
        fields
            .get(3)
            .filter(|_| sync)
            .and_then(|calls| calls.parse::<f64>().ok())
    };
    Ok(std::fs::read_to_string(&counts)?.lines().filter_map(calls).sum())
}

/// What `--child` does: the task, then one number on standard output.
pub(crate) fn main(arguments: &[String]) -> Outcome<f64> {
    let [side, task, sets, folder] = arguments else {
        return Err("--child takes a side, a task, a number of sets and a folder".into());
    };
    let (sets, folder) = (sets.parse()?, Path::new(folder));
    match (side.as_str(), task.as_str()) {
        ("store", "log") => log_store(sets, folder),
        ("ours", "log") => log_ours(sets, folder),
        ("yardstick", "log") => log_yardstick(sets, folder),
        ("ours", "pull") => pull_ours(folder),
        ("yardstick", "pull") => pull_yardstick(folder),
        _ => Err("there is no such task".into()),
    }
}

/// Sets of the log, in the sessions they belong to.
fn some(sets: usize) -> Vec<Ready> {
    ready_workouts(0).into_iter().flatten().take(sets).collect()
}

fn sessions(sets: &[Ready]) -> Vec<&str> {
    let mut sessions: Vec<&str> = sets.iter().map(|set| set.session.as_str()).collect();
    sessions.dedup();
    sessions
}

fn log_store(count: usize, folder: &Path) -> Outcome<f64> {
    let sets = some(count);
    // All in one transaction, whatever the number of sessions: what it costs is then a constant.
    let mut ours = Ours::open(folder, false)?;
    ours.start_many(&sessions(&sets))?;
    drop(ours);
    let store = Held::open(folder, false)?;
    let before = bytes_written()?;
    for set in &sets {
        store.log_set(&set.session, &set.slot, &set.logged)?;
    }
    store.close()?;
    Ok(bytes_written()? - before)
}

fn log_ours(count: usize, folder: &Path) -> Outcome<f64> {
    let sets = some(count);
    let mut ours = Ours::open(folder, false)?;
    ours.start_many(&sessions(&sets))?;
    let before = bytes_written()?;
    for set in &sets {
        ours.log_set(&set.session, &set.slot, &set.logged)?;
    }
    drop(ours);
    Ok(bytes_written()? - before)
}

fn log_yardstick(count: usize, folder: &Path) -> Outcome<f64> {
    let sets = some(count);
    let yardstick = Yardstick::create(&folder.join("yardstick.sqlite"), false)?;
    let before = bytes_written()?;
    for set in &sets {
        yardstick.log_set(&set.session, &set.id, &set.stored)?;
    }
    drop(yardstick);
    Ok(bytes_written()? - before)
}

fn pull_ours(folder: &Path) -> Outcome<f64> {
    let mut ours = Ours::open(folder, true)?;
    let mut pull = Pull::new(PULL_ROWS);
    while pull.has_more() {
        let rows = pull.page(ours.page_rows());
        apply_ours(&mut ours, &rows, &pull)?;
    }
    peak_mib()
}

fn pull_yardstick(folder: &Path) -> Outcome<f64> {
    let yardstick = Yardstick::create(&folder.join("yardstick.sqlite"), true)?;
    let mut pull = Pull::new(PULL_ROWS);
    while pull.has_more() {
        let rows = pull.page(PAGE_ROWS);
        apply_yardstick(&yardstick, &rows, &pull)?;
    }
    peak_mib()
}
