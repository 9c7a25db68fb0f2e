//! `keepsync-sim`: runs stories, replays one, shortens one, runs the partition matrix, or shows that
//! planted bugs are caught.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line's answers")]

use keepsync_sim::{
    Bug, Outcome, Plot, bug, faults,
    many::{cores, many, spread},
    partition, run, shrink,
};
use std::{collections::BTreeSet, process::ExitCode, time::Instant};

const USAGE: &str = "\
Usage: keepsync-sim [--seeds N] [--from N] [--jobs N] [CHOICE ...]
       keepsync-sim --seed N [--trace] [--shrink] [CHOICE ...]
       keepsync-sim --bugs [--seeds N] [--jobs N]
       keepsync-sim partition [--runs N] [--from N] [--jobs N] [--swallow]
       keepsync-sim partition --seed N [--trace] [--swallow]

  --seeds N    how many stories to run (default 2000; with --bugs: how many to try at most)
  --from N     the first seed (default 0)
  --jobs N     on so many threads (default: as many as the machine has cores); the result is the same
  --seed N     runs one story
  --trace      prints it line by line
  --history F  writes what the second oracle was told into a file, for `keepsync-oracle check`
  --shrink     shortens it, as long as it breaks the same promise (the first that fails of many is
               shortened by itself)
  --keep-going names every seed that broke a promise instead of stopping at the first
  --bugs       plants each bug in turn and tells which seed catches it, and which promise it broke; the
               same seed must hold every promise without it
  partition    5 to 10 devices, 10 to 40 writes a second, cuts of up to 10 s in, out and both: how long
               after the last one is healed every queue is empty
  --swallow    what is sent into a cut is gone, instead of being sent again by TCP

CHOICE: what the story is to be
  --bug NAME       with this bug planted
  --oracle-only    only the second oracle (keepsync-oracle) judges, by the history; with --bugs too
  --no-restores    the server is never restored from a backup or reset
  --without A,B    without these kinds of faults
  --devices N      at most so many devices
  --end MS         users and faults stop at this virtual millisecond
  --only 0.3,1s2   only these acts of users (device and number; s: in the middle of a step)";

#[derive(Default)]
struct Arguments {
    seeds: Option<u64>,
    from: u64,
    seed: Option<u64>,
    jobs: Option<usize>,
    trace: bool,
    shrink: bool,
    history: Option<String>,
    plot: Plot,
    bugs: bool,
    keep_going: bool,
    partition: bool,
    swallow: bool,
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("keepsync-sim: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let good = match (arguments.bugs, arguments.partition, arguments.seed) {
        (true, ..) => bugs(&arguments),
        (_, true, _) => matrix(&arguments),
        (_, _, Some(seed)) => one(seed, &arguments),
        (_, _, None) => run_many(&arguments),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("keepsync-sim: {error}");
            ExitCode::from(2)
        }
    }
}

impl Arguments {
    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(cores)
    }
}

fn parse() -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
        let count = |text: String| text.parse::<usize>().map_err(|_| format!("{text:?} is not a number"));
        match word.as_str() {
            "partition" => arguments.partition = true,
            "--swallow" => arguments.swallow = true,
            "--seeds" | "--runs" => arguments.seeds = Some(number(value()?)?),
            "--from" => arguments.from = number(value()?)?,
            "--seed" => arguments.seed = Some(number(value()?)?),
            "--jobs" => arguments.jobs = Some(count(value()?)?),
            "--trace" => arguments.trace = true,
            "--shrink" => arguments.shrink = true,
            "--bugs" => arguments.bugs = true,
            "--oracle-only" => arguments.plot.oracle_only = true,
            "--history" => arguments.history = Some(value()?),
            "--no-restores" => arguments.plot.restores = false,
            "--keep-going" => arguments.keep_going = true,
            "--devices" => arguments.plot.devices = count(value()?)?,
            "--end" => arguments.plot.end = number(value()?)?,
            "--without" => {
                for name in value()?.split(',') {
                    let known = faults::KINDS.iter().find(|(known, _)| *known == name);
                    let (known, _) = known.ok_or_else(|| {
                        let all: Vec<&str> = faults::KINDS.iter().map(|(name, _)| *name).collect();
                        format!("no kind of fault {name:?}; there are: {}", all.join(", "))
                    })?;
                    arguments.plot.without.insert(known);
                }
            }
            "--only" => {
                let text = value()?;
                let acts = text.split(',').filter(|act| *act != "none").map(str::parse);
                arguments.plot.only = Some(acts.collect::<Result<_, _>>()?);
            }
            "--bug" => {
                let name = value()?;
                let known: Vec<_> = bug::all().into_iter().map(|(_, name)| name).collect();
                let known = known.join(", ");
                arguments.plot.bug = Some(Bug::named(&name).ok_or(format!("no bug {name:?}; there are: {known}"))?);
            }
            _ => return Err(format!("unknown argument {word:?}")),
        }
    }
    Ok(arguments)
}

type Good = Result<bool, Box<dyn std::error::Error>>;

fn run_many(arguments: &Arguments) -> Good {
    let start = Instant::now();
    let seeds = arguments.seeds.unwrap_or(2_000);
    let range = arguments.from..arguments.from + seeds;
    let total = many(range, arguments.jobs(), &arguments.plot, arguments.keep_going)?;
    let seconds = start.elapsed().as_secs_f64();
    for outcome in total.broken.iter().filter(|_| arguments.keep_going) {
        if let Some(violation) = &outcome.violation {
            println!(
                "seed {}: {}: {} (restores: {})",
                outcome.seed, violation.promise, violation.what, outcome.stats.restores
            );
        }
    }
    let stats = total.stats;
    println!(
        "{} seeds in {seconds:.1} s ({:.0}/s): {} devices, {} steps, {} requests, {} writes, {} crashes, {} faults, \
         {} restores, {:.0} virtual days; {} violations; trace {:016x}",
        total.seeds,
        total.seeds as f64 / seconds,
        stats.devices,
        stats.steps,
        stats.requests,
        stats.writes,
        stats.crashes,
        stats.faults,
        stats.restores,
        stats.virtual_ms as f64 / 86_400_000.0,
        total.broken.len(),
        total.hash,
    );
    if let Some(first) = total.broken.first() {
        shorten(first.seed, &arguments.plot)?;
    }
    Ok(total.broken.is_empty())
}

fn one(seed: u64, arguments: &Arguments) -> Good {
    let outcome = run(seed, arguments.plot.clone(), arguments.trace)?;
    if let Some(file) = &arguments.history {
        std::fs::write(file, outcome.history.as_deref().unwrap_or_default())?;
    }
    match &outcome.violation {
        Some(_) if arguments.shrink => shorten(seed, &arguments.plot)?,
        Some(violation) if arguments.trace => println!("\nbroken: {}: {}", violation.promise, violation.what),
        Some(_) => report(&outcome, &arguments.plot),
        None => println!("seed {seed}: every promise held; trace {:016x}", outcome.hash),
    }
    Ok(outcome.violation.is_none())
}

fn shorten(seed: u64, plot: &Plot) -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    if let Some(short) = shrink::shrink(seed, plot.clone(), 400)? {
        println!(
            "shortened in {:.1} s and {} stories: {} acts, {} devices, faults: {}",
            start.elapsed().as_secs_f64(),
            short.tried,
            short.outcome.acts.len(),
            short.outcome.stats.devices,
            match short.outcome.kinds.is_empty() {
                true => "none".to_owned(),
                false => short.outcome.kinds.join(", "),
            }
        );
        report(&short.outcome, &short.plot);
    }
    Ok(())
}

fn report(outcome: &Outcome, plot: &Plot) {
    let Some(violation) = &outcome.violation else { return };
    println!("the last that happened in story {}:", outcome.seed);
    let skip = outcome.last.len().saturating_sub(45);
    for line in outcome.last.iter().skip(skip) {
        println!("  {line}");
    }
    println!(
        "\nseed {}: broken: {}: {}",
        outcome.seed, violation.promise, violation.what
    );
    println!(
        "again: cargo run --release -p keepsync-sim -- --seed {} --trace{}",
        outcome.seed,
        plot.arguments()
    );
}

fn matrix(arguments: &Arguments) -> Good {
    let start = Instant::now();
    if let Some(seed) = arguments.seed {
        let outcome = partition::run(seed, arguments.swallow, arguments.trace)?;
        println!("{outcome}");
        return Ok(outcome.violation.is_none());
    }
    let runs = arguments.seeds.unwrap_or(100);
    let swallow = arguments.swallow;
    let outcomes = spread(arguments.from..arguments.from + runs, arguments.jobs(), |seed| {
        let outcome = partition::run(seed, swallow, false).map_err(|error| error.to_string())?;
        Ok((outcome, false))
    })?;
    let mut good = true;
    for outcome in outcomes.iter().filter(|outcome| outcome.violation.is_some()) {
        good = false;
        println!("{outcome}");
        println!(
            "again: cargo run --release -p keepsync-sim -- partition --seed {} --trace{}",
            outcome.seed,
            if swallow { " --swallow" } else { "" }
        );
    }
    println!(
        "{} in {:.1} s",
        partition::Summary::of(&outcomes),
        start.elapsed().as_secs_f64()
    );
    Ok(good)
}

fn bugs(arguments: &Arguments) -> Good {
    let (most, jobs) = (arguments.seeds.unwrap_or(500), arguments.jobs());
    let mut all = true;
    let mut clean: BTreeSet<u64> = BTreeSet::new();
    for (planted, name) in bug::all() {
        let start = Instant::now();
        let plot = Plot {
            bug: Some(planted),
            ..arguments.plot.clone()
        };
        let total = many(0..most, jobs, &plot, false)?;
        let Some(outcome) = total.broken.first() else {
            all = false;
            println!(
                "{name:24} NOT CAUGHT in {most} seeds, {:5.1} s",
                start.elapsed().as_secs_f64()
            );
            continue;
        };
        let seed = outcome.seed;
        // A story that breaks a promise without the bug shows nothing of it.
        if !clean.contains(&seed) {
            match run(seed, Plot::default(), false)?.violation {
                None => drop(clean.insert(seed)),
                Some(_) => all = false,
            }
        }
        println!(
            "{name:24} seed {seed:4}, {:5.1} s: {}{}",
            start.elapsed().as_secs_f64(),
            outcome.violation.as_ref().map_or("", |violation| violation.promise),
            if clean.contains(&seed) {
                ""
            } else {
                "; BROKEN WITHOUT IT TOO"
            }
        );
    }
    Ok(all)
}
