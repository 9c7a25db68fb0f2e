//! Keepsync beside a yardstick: plain rusqlite doing the least equivalent work an expert would write
//! by hand, with the same durability, in the same run, on the same file system.
//!
//! Times are CPU time of the process, its threads and the kernel's share included; only opening is
//! told by the clock on the wall. Sides are measured in turns and compared round by round; what is
//! shown is the median. Ratios of times live only here, never in tests.

mod checks;
mod child;
mod data;
mod drain;
mod fill;
mod measure;
mod ours;
mod report;
mod serve;
mod store;
mod yardstick;

use checks::{Bench, CHECKS, Check};
use report::Finding;
use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

/// What anything here comes to.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How often a check is measured before a missed bar counts: other work on the machine may have met
/// one side more than the other.
const TRIES: usize = 5;

const USAGE: &str = "\
Usage: keepsync-bench [--check] [--json] [--only NAME]... [--folder DIR]

Measures Keepsync beside plain rusqlite doing the least equivalent work, and
prints a table: what, ours, the yardstick's, ratio, bar, and whether it is met.

  --check       exit with 1 if a bar is missed; a check that misses one is
                measured up to five times, because machines are noisy, and
                the last measurement counts
  --json        one JSON object per line instead of the table
  --only NAME   only this check; may be repeated
  --folder DIR  where the files go (default: beside this program); they are
                removed at the end

Checks:";

struct Arguments {
    check: bool,
    json: bool,
    only: Vec<String>,
    folder: Option<std::path::PathBuf>,
}

fn names() -> String {
    let names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
    names.join(" ")
}

/// `None`: help was asked for.
fn parse(arguments: &[String]) -> Outcome<Option<Arguments>> {
    let mut parsed = Arguments {
        check: false,
        json: false,
        only: Vec::new(),
        folder: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--check" => parsed.check = true,
            "--json" => parsed.json = true,
            "--only" => parsed.only.push(value()?.clone()),
            "--folder" => parsed.folder = Some(value()?.into()),
            "-h" | "--help" => return Ok(None),
            other => return Err(format!("unknown argument '{other}'").into()),
        }
    }
    for name in &parsed.only {
        if !CHECKS.iter().any(|(known, _)| known == name) {
            return Err(format!("no check '{name}'; there are: {}", names()).into());
        }
    }
    Ok(Some(parsed))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--child") {
        return exit(
            child::main(&arguments[1..]).and_then(|number| say(&format!("{number}\n"))),
            1,
        );
    }
    if let [first, folder] = &arguments[..]
        && first == "--serve"
    {
        return exit(serve::main(std::path::Path::new(folder)), 1);
    }
    match parse(&arguments) {
        Err(error) => exit(Err(format!("{error}; see --help").into()), 2),
        Ok(None) => exit(say(&format!("{USAGE} {}\n", names())), 1),
        Ok(Some(arguments)) => match run(&arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => exit(Err(error), 1),
        },
    }
}

fn exit(outcome: Outcome<()>, code: u8) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "keepsync-bench: {error}");
            ExitCode::from(code)
        }
    }
}

/// A reader that has seen enough and closed the pipe is no failure.
pub(crate) fn say(text: &str) -> Outcome<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Whether it may end well.
fn run(arguments: &Arguments) -> Outcome<bool> {
    let beside = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?
            .parent()
            .ok_or("this program is nowhere")?
            .to_owned(),
    };
    let folder = tempfile::Builder::new().prefix("keepsync-bench.").tempdir_in(beside)?;
    let bench = Bench::new(folder.path());
    let wanted = |(name, _): &&Check| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let start = Instant::now();
    let mut all = Vec::new();
    for (name, check) in CHECKS.iter().filter(wanted) {
        let findings = measure(name, *check, &bench, arguments.check)?;
        if arguments.json {
            for finding in &findings {
                say(&format!("{}\n", finding.json()))?;
            }
        }
        all.extend(findings);
    }
    let missed = all.iter().filter(|finding| finding.ok() == Some(false)).count();
    if !arguments.json {
        say(&report::table(&all))?;
        let took = Duration::from_secs(start.elapsed().as_secs());
        say(&format!(
            "\n{missed} of {} bars missed; took {took:?}\n",
            all.iter().filter(|finding| finding.ok().is_some()).count()
        ))?;
    }
    Ok(missed == 0 || !arguments.check)
}

fn measure(
    name: &str,
    check: fn(&Bench) -> Outcome<Vec<Finding>>,
    bench: &Bench,
    repeat: bool,
) -> Outcome<Vec<Finding>> {
    let mut tries = 1;
    loop {
        let findings = check(bench)?;
        let missed = findings.iter().any(|finding| finding.ok() == Some(false));
        if !missed || !repeat || tries == TRIES {
            return Ok(findings);
        }
        tries += 1;
        let _ = writeln!(
            std::io::stderr(),
            "keepsync-bench: {name} missed a bar; try {tries} of {TRIES}"
        );
    }
}
