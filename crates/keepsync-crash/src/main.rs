//! `keepsync-crash`: every crash point of every story. See `--help`.

use keepsync_crash::{Case, Known, MODES, Mode, Violation, damage, scenarios};
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

const USAGE: &str = "Usage: keepsync-crash [--full] [--scenario NAME] [--mode MODE] [--point K] [--seed N] [--second] [--every N] [--runs N] [--jobs N]

Stops Keepsync at every operation on the disk (k = 1, 2, 3 ...) of every story, in every mode, and looks at
what is left.

  --scenario NAME  only this story (--list names them)
  --mode MODE      only this: kill lose torn io-once io-ever full-once full-ever full-drain read-once
  --point K        only this operation
  --seed N         what is torn, and the second faults
  --second         with --point: the opening after the crash meets a fault too
  --every N        a sample: every Nth operation, from another one on in each mode and story; with --damage
                   every Nth page
  --full           until there were 1,000,000 runs: more seeds, more tears, more second faults
  --runs N         as --full, until there were this many
  --damage         instead: each page of a file of two hundred zeroed, torn, and flipped or spoilt otherwise;
                   with --full flipped, zeroed, torn at each sector, and spoilt in two more ways
  --jobs N         threads (default: one for each core)
";

#[derive(Default)]
struct Arguments {
    scenario: Option<String>,
    mode: Option<Mode>,
    point: Option<u64>,
    seed: u64,
    second: bool,
    every: usize,
    runs: u64,
    jobs: usize,
    list: bool,
    damage: bool,
    help: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seed: 1,
        every: 1,
        ..Arguments::default()
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
        match word.as_str() {
            "--scenario" => arguments.scenario = Some(value()?),
            "--mode" => {
                let name = value()?;
                let found = MODES.iter().find(|(known, _)| *known == name);
                arguments.mode = Some(found.ok_or_else(|| format!("no mode {name:?}"))?.1);
            }
            "--point" => arguments.point = Some(number(value()?)?),
            "--seed" => arguments.seed = number(value()?)?,
            "--runs" => arguments.runs = number(value()?)?,
            "--jobs" => arguments.jobs = number(value()?)?.try_into().unwrap_or(1),
            "--every" => arguments.every = number(value()?)?.try_into().unwrap_or(1).max(1),
            "--second" => arguments.second = true,
            "--full" => arguments.runs = 1_000_000,
            "--damage" => arguments.damage = true,
            "--list" => arguments.list = true,
            "--help" | "-h" => arguments.help = true,
            _ => return Err(format!("unknown argument {word:?}")),
        }
    }
    Ok(arguments)
}

fn name(mode: Mode) -> &'static str {
    MODES
        .iter()
        .find(|(_, known)| *known == mode)
        .map_or("?", |(name, _)| name)
}

/// One story in one mode, at all points, or at every so many of them.
#[derive(Clone, Copy)]
struct Job {
    /// Differs from job to job.
    number: usize,
    every: usize,
    known: usize,
    mode: Mode,
    seed: u64,
    second: bool,
}

/// On a disk that stays full the journal goes before a write is refused. In this story the journal is what a server
/// that was begun anew is to be given, so it ends otherwise. Told in every run, not counted.
const PRUNED: [&str; 1] = ["frozen-file"];

struct Tally {
    runs: AtomicU64,
    stop: AtomicBool,
    /// Runs by story.
    by_story: Mutex<BTreeMap<&'static str, u64>>,
    found: Mutex<Vec<String>>,
}

fn main() -> ExitCode {
    match start() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "keepsync-crash: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Memory, where the system has a folder for it: nothing here is about a real disk.
fn folder() -> io::Result<tempfile::TempDir> {
    let shared = Path::new("/dev/shm");
    match shared.is_dir() {
        true => tempfile::tempdir_in(shared).or_else(|_| tempfile::tempdir()),
        false => tempfile::tempdir(),
    }
}

type Fails = Box<dyn std::error::Error>;

fn start() -> Result<bool, Fails> {
    let arguments = arguments()?;
    let mut out = io::stdout();
    if arguments.help {
        write!(out, "{USAGE}")?;
        return Ok(true);
    }
    let begin = Instant::now();
    if arguments.damage {
        let place = folder()?;
        let report = damage::each_page(place.path(), arguments.runs > 0, arguments.every)?;
        for what in &report.found {
            writeln!(out, "VIOLATION: {what}")?;
        }
        writeln!(
            out,
            "{} pages, damaged {} times, met {} times, in {:.1} s: {} violations",
            report.pages,
            report.runs,
            report.met,
            begin.elapsed().as_secs_f64(),
            report.found.len()
        )?;
        return Ok(report.found.is_empty());
    }
    let mut all = scenarios::all()?;
    if arguments.list {
        for scenario in &all {
            writeln!(out, "{}", scenario.name)?;
        }
        return Ok(true);
    }
    all.retain(|scenario| arguments.scenario.as_deref().is_none_or(|name| name == scenario.name));
    if all.is_empty() {
        return Err("no such story".into());
    }
    let place = folder()?;
    let mut known = Vec::new();
    for scenario in all {
        let name = scenario.name;
        known.push(Known::record(scenario, place.path()).map_err(|what| format!("{name}: {what}"))?);
    }
    if let (Some(point), Some(mode), [one]) = (arguments.point, arguments.mode, known.as_slice()) {
        let case = Case {
            mode,
            point,
            seed: arguments.seed,
            second: arguments.second,
        };
        return match one.run(case, place.path()) {
            Ok(reached) => {
                writeln!(
                    out,
                    "{}",
                    if reached.is_some() {
                        "holds"
                    } else {
                        "there is no such operation"
                    }
                )?;
                Ok(true)
            }
            Err(violation) => {
                write!(out, "{}", told(one.scenario.name, case, &violation))?;
                Ok(false)
            }
        };
    }
    let tally = Tally {
        runs: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        by_story: Mutex::default(),
        found: Mutex::default(),
    };
    let threads = match arguments.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let mut seed = arguments.seed;
    loop {
        let jobs = jobs(&arguments, known.len(), seed);
        work(&arguments, &known, &jobs, &tally, threads)?;
        seed += 1;
        if tally.stop.load(Relaxed) || tally.runs.load(Relaxed) >= arguments.runs {
            break;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let found = tally.found.lock().unwrap_or_else(PoisonError::into_inner);
    let by_story = tally.by_story.lock().unwrap_or_else(PoisonError::into_inner);
    for one in &known {
        let runs = by_story.get(one.scenario.name).copied().unwrap_or(0);
        writeln!(
            out,
            "{:<36} {:>5} points {:>8} runs",
            one.scenario.name, one.points, runs
        )?;
    }
    let runs = tally.runs.load(Relaxed);
    let points: u64 = known.iter().map(|one| one.points).sum();
    writeln!(
        out,
        "{} stories, {points} points, {runs} runs in {seconds:.1} s ({:.0}/s on {threads} threads): {} violations",
        known.len(),
        runs as f64 / seconds,
        found.len()
    )?;
    Ok(found.is_empty())
}

/// All that is run with one seed. What does not depend on the seed is run with the first only.
fn jobs(arguments: &Arguments, count: usize, seed: u64) -> Vec<Job> {
    let first = seed == arguments.seed;
    let mut jobs = Vec::new();
    for (_, mode) in MODES {
        let reads = mode == Mode::ReadOnce && arguments.runs == 0 && arguments.mode.is_none();
        if arguments.mode.is_some_and(|only| only != mode) || reads {
            continue;
        }
        for known in 0..count {
            let job = |number, second| Job {
                number,
                every: arguments.every,
                known,
                mode,
                seed,
                second,
            };
            if first || mode == Mode::Torn {
                jobs.push(job(jobs.len(), false));
            }
            if mode.kills() {
                jobs.push(job(jobs.len(), true));
            }
        }
    }
    jobs
}

fn work(arguments: &Arguments, known: &[Known], jobs: &[Job], tally: &Tally, threads: usize) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let places = (0..threads).map(|_| folder()).collect::<io::Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        for place in &places {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
                    if tally.stop.load(Relaxed) || (arguments.runs > 0 && tally.runs.load(Relaxed) >= arguments.runs) {
                        return;
                    }
                    points(&known[job.known], *job, tally, place.path());
                }
            });
        }
    });
    Ok(())
}

/// k = 1, 2, 3 ... until the fault no longer strikes.
fn points(known: &Known, job: Job, tally: &Tally, folder: &Path) {
    let name = known.scenario.name;
    let mut runs = 0;
    // Not from the first in all of them: a story's modes look at different points.
    let first = 1 + (job.number % job.every) as u64;
    for point in (first..).step_by(job.every) {
        let Job { mode, seed, second, .. } = job;
        let case = Case {
            mode,
            point,
            seed,
            second,
        };
        runs += 1;
        match known.run(case, folder) {
            Ok(Some(())) => {}
            Ok(None) => break,
            Err(violation) => {
                let mut found = tally.found.lock().unwrap_or_else(PoisonError::into_inner);
                let told = told(name, case, &violation);
                if PRUNED.contains(&name) && matches!(mode, Mode::FullEver | Mode::FullDrain) {
                    let _ = writeln!(io::stdout(), "NOT COUNTED (the journal made room): {told}");
                    break;
                }
                // At once, and nobody to tell otherwise.
                let _ = io::stdout().write_all(told.as_bytes());
                found.push(told);
                if found.len() >= 20 {
                    tally.stop.store(true, Relaxed);
                }
                break;
            }
        }
    }
    tally.runs.fetch_add(runs, Relaxed);
    *tally
        .by_story
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(name)
        .or_insert(0) += runs;
}

fn told(scenario: &str, case: Case, violation: &Violation) -> String {
    let second = if case.second { " --second" } else { "" };
    format!(
        "VIOLATION in {scenario}, {}, while {}: {}\n{}\nreplay: cargo run --release -p keepsync-crash -- --scenario {scenario} --mode {} --point {} --seed {}{second}\n\n",
        name(case.mode),
        violation.act,
        violation.point,
        violation.what,
        name(case.mode),
        case.point,
        case.seed,
    )
}
