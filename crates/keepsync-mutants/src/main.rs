//! `keepsync-mutants`: how many deliberate mistakes in the policies, the queue and the drain the tests notice.
//!
//! cargo-mutants changes one thing, builds, links all tests and runs them: half a minute for each of
//! 1,500 changes. Here all of its changes are in one build, each behind a switch that is turned on by
//! an environment variable ("mutant schemata"):
//!
//! 1. [`mutant`]: cargo-mutants lists what it would change.
//! 2. [`weave`], [`tree`]: a copy of the workspace is made with every change behind its switch.
//!    Changes that do not compile are dropped; those that cannot be switched are named, for
//!    cargo-mutants itself.
//! 3. [`tests`]: every test runs once by itself: how long it takes, and which switches it asks.
//! 4. [`hunt`]: each mutant meets the tests that reach it, quick ones first, until one fails.
//! 5. [`reasons`]: a survivor without a reason in docs/mutants.md is a failure.

mod mutant;
mod weave;
mod tree;
mod tests;
mod hunt;
mod reasons;

use hunt::Fate;
use mutant::Mutant;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USAGE: &str = "\
Usage: keepsync-mutants [--only DIRECTORY]... [--match TEXT] [--survivors] [--quick] [--unit] [--jobs N]

  --only DIRECTORY  queue, conflict or drain (default: all three)
  --match TEXT      only mutants whose name has this in it
  --unit            only against the unit tests of keepsync
  --quick           without tests that take longer than a second
  --survivors       only those that the last run did not catch
  --jobs N          how many run at once (default 1)";

const DIRECTORIES: [&str; 3] = ["queue", "conflict", "drain"];
/// Tests that would catch a mutant late, if at all: they plant mistakes or damage of their own.
const LEFT_OUT: [&str; 2] = ["keepsync/damage", "keepsync-sim/stories"];
/// Those whose tests are run.
const PACKAGES: [&str; 2] = ["keepsync", "keepsync-sim"];

struct Arguments {
    only: Vec<String>,
    matching: Option<String>,
    survivors: bool,
    quick: bool,
    unit: bool,
    jobs: usize,
}

fn main() -> ExitCode {
    let done = arguments().and_then(|arguments| all(&arguments));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format!("keepsync-mutants: {error}"));
            ExitCode::from(2)
        }
    }
}

fn say(line: String) {
    // Nobody to tell if it cannot be written.
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        only: Vec::new(),
        matching: None,
        survivors: false,
        quick: false,
        unit: false,
        jobs: 1,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "--only" => {
                let only = value()?;
                if !DIRECTORIES.contains(&only.as_str()) {
                    return Err(format!("no directory {only:?}; there are {DIRECTORIES:?}").into());
                }
                arguments.only.push(only);
            }
            "--match" => arguments.matching = Some(value()?),
            "--unit" => arguments.unit = true,
            "--quick" => arguments.quick = true,
            "--survivors" => arguments.survivors = true,
            "--jobs" => arguments.jobs = value()?.parse()?,
            _ => return Err(format!("unknown argument {word:?}\n\n{USAGE}").into()),
        }
    }
    Ok(arguments)
}

fn directory(mutant: &Mutant) -> &str {
    mutant
        .file
        .strip_prefix("crates/keepsync/src/")
        .and_then(|file| file.split('/').next())
        .unwrap_or_default()
}

/// Whether every viable mutant was caught, or has its reason.
fn all(arguments: &Arguments) -> Result<bool> {
    let root = std::env::current_dir()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let folder = target.join("mutants");
    let copy = folder.join("tree");
    let temp = folder.join("tmp");
    std::fs::create_dir_all(&temp)?;

    let mutants = mutant::list(
        &root,
        &DIRECTORIES
            .map(|name| format!("crates/keepsync/src/{name}/**"))
            .each_ref()
            .map(String::as_str),
    )?;
    say(format!("{} mutants", mutants.len()));
    let dropped = tree::make(&root, &copy, &mutants, &mut say)?;
    let mut programs = tree::build(
        &copy,
        if arguments.unit { &PACKAGES[..1] } else { &PACKAGES },
        arguments.unit,
    )?;
    programs.retain(|program| !LEFT_OUT.contains(&program.name.as_str()));
    let start = Instant::now();
    let kept = folder.join(if arguments.unit {
        "survey-unit.json"
    } else {
        "survey.json"
    });
    let mut tests = tests::survey(&programs, &mutants, &kept, &temp)?;
    say(format!(
        "{} tests in {} programs, one by one: {} s",
        tests.len(),
        programs.len(),
        start.elapsed().as_secs()
    ));

    if arguments.quick {
        tests.retain(|test| test.time < Duration::from_secs(1));
    }

    let memory = folder.join("caught.json");
    let mut caught: BTreeSet<String> = std::fs::read(&memory)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let wanted: Vec<usize> = (0..mutants.len())
        .filter(|id| {
            let mutant = &mutants[*id];
            (arguments.only.is_empty() || arguments.only.iter().any(|only| only == directory(mutant)))
                && !(arguments.survivors && caught.contains(&mutant.key))
                && arguments
                    .matching
                    .as_ref()
                    .is_none_or(|text| mutant.name.contains(text))
        })
        .collect();
    let run: Vec<usize> = wanted
        .iter()
        .copied()
        .filter(|id| !dropped.unviable.contains(id) && !dropped.unswitched.contains(id))
        .collect();
    let start = Instant::now();
    let fates = hunt_all(&run, &mutants, &programs, &tests, &temp, arguments.jobs)?;
    say(format!(
        "{} mutants met their tests in {} s",
        run.len(),
        start.elapsed().as_secs()
    ));
    drop(std::fs::remove_dir_all(&temp));
    for (id, fate) in &fates {
        match fate {
            Fate::Survived(_) => caught.remove(&mutants[*id].key),
            Fate::Caught | Fate::TimedOut => caught.insert(mutants[*id].key.clone()),
        };
    }
    std::fs::write(&memory, serde_json::to_vec(&caught)?)?;
    report(&root, &mutants, &wanted, &dropped, &fates)
}

fn hunt_all(
    run: &[usize],
    mutants: &[Mutant],
    programs: &[tree::Program],
    tests: &[tests::Test],
    temp: &Path,
    jobs: usize,
) -> Result<BTreeMap<usize, Fate>> {
    let next = AtomicUsize::new(0);
    let fates = Mutex::new(BTreeMap::new());
    let (failed, failure) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(id) = run.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match hunt::hunt(*id, programs, tests, temp) {
                        Ok(fate) => {
                            if let Fate::Survived(count) = fate {
                                say(format!("survived {count} tests: {}", mutants[*id].name));
                            }
                            if let Ok(mut fates) = fates.lock() {
                                fates.insert(*id, fate);
                            }
                        }
                        Err(error) => {
                            drop(failed.send(error));
                            return;
                        }
                    }
                }
            });
        }
    });
    match failure.try_recv() {
        Ok(error) => Err(error),
        Err(_) => fates.into_inner().map_err(|_| "a thread died".into()),
    }
}

fn report(
    root: &Path,
    mutants: &[Mutant],
    wanted: &[usize],
    dropped: &tree::Dropped,
    fates: &BTreeMap<usize, Fate>,
) -> Result<bool> {
    let reasons = reasons::read(&root.join("docs/mutants.md"))?;
    let mut good = true;
    say("\ndirectory  mutants  unviable  caught  hung  survived  with a reason  unswitched".into());
    for name in DIRECTORIES {
        let here: Vec<usize> = wanted
            .iter()
            .copied()
            .filter(|id| directory(&mutants[*id]) == name)
            .collect();
        let count = |wanted: &dyn Fn(&Fate) -> bool| here.iter().filter(|id| fates.get(id).is_some_and(wanted)).count();
        let survived = count(&|fate| matches!(fate, Fate::Survived(_)));
        let reasoned = here
            .iter()
            .filter(|id| matches!(fates.get(id), Some(Fate::Survived(_))) && reasons.contains_key(&mutants[**id].key))
            .count();
        say(format!(
            "{name:9}  {:7}  {:8}  {:6}  {:4}  {survived:8}  {reasoned:13}  {:10}",
            here.len(),
            here.iter().filter(|id| dropped.unviable.contains(id)).count(),
            count(&|fate| *fate == Fate::Caught),
            count(&|fate| *fate == Fate::TimedOut),
            here.iter().filter(|id| dropped.unswitched.contains(id)).count(),
        ));
    }
    say("\nSurvivors without a reason:".into());
    for id in wanted {
        if let (Some(Fate::Survived(tests)), None) = (fates.get(id), reasons.get(&mutants[*id].key)) {
            good = false;
            say(format!(
                "- {}: reached by {tests} tests (line {})",
                mutants[*id].key, mutants[*id].span.start.line
            ));
        }
    }
    say("\nNot to be switched; cargo-mutants runs them one by one:".into());
    for id in wanted.iter().filter(|id| dropped.unswitched.contains(id)) {
        let known = if reasons.contains_key(&mutants[*id].key) {
            ", named in docs/mutants.md"
        } else {
            ""
        };
        good &= !known.is_empty();
        say(format!(
            "- {}{known} (line {})",
            mutants[*id].key, mutants[*id].span.start.line
        ));
    }
    Ok(good)
}
