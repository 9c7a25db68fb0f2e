//! `keepsync-sim`: runs stories, replays one, or shows that planted bugs are caught.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line's answers")]

use keepsync_sim::{Bug, Outcome, Plot, Stats, bug, run};
use std::{process::ExitCode, time::Instant};

const USAGE: &str = "\
Usage: keepsync-sim [--seeds N] [--from N] [--bug NAME]
       keepsync-sim --seed N [--trace] [--bug NAME]
       keepsync-sim --bugs [--seeds N]

  --seeds N   how many stories to run (default 2000; with --bugs: how many to try at most)
  --from N    the first seed (default 0)
  --seed N    runs one story
  --trace     prints it line by line
  --bug NAME  with this bug planted
  --no-restores  the server is never restored from a backup or reset
  --keep-going  names every seed that broke a promise instead of stopping at the first
  --bugs      plants each bug in turn and tells which seed catches it, and which promise it broke";

#[derive(Default)]
struct Arguments {
    seeds: Option<u64>,
    from: u64,
    seed: Option<u64>,
    trace: bool,
    plot: Plot,
    bugs: bool,
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("keepsync-sim: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let good = match (arguments.bugs, arguments.seed) {
        (true, _) => bugs(arguments.seeds.unwrap_or(500)),
        (false, Some(seed)) => one(seed, &arguments),
        (false, None) => many(&arguments),
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

fn parse() -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
        match word.as_str() {
            "--seeds" => arguments.seeds = Some(number(value()?)?),
            "--from" => arguments.from = number(value()?)?,
            "--seed" => arguments.seed = Some(number(value()?)?),
            "--trace" => arguments.trace = true,
            "--bugs" => arguments.bugs = true,
            "--no-restores" => arguments.plot.restores = false,
            "--keep-going" => arguments.keep_going = true,
            "--bug" => {
                let name = value()?;
                let known = bug::ALL.map(|(_, name)| name).join(", ");
                arguments.plot.bug = Some(Bug::named(&name).ok_or(format!("no bug {name:?}; there are: {known}"))?);
            }
            _ => return Err(format!("unknown argument {word:?}")),
        }
    }
    Ok(arguments)
}

type Good = Result<bool, Box<dyn std::error::Error>>;

fn many(arguments: &Arguments) -> Good {
    let start = Instant::now();
    let seeds = arguments.seeds.unwrap_or(2_000);
    let (mut total, mut hash, mut broken) = (Stats::default(), 0u64, 0u64);
    for seed in arguments.from..arguments.from + seeds {
        let outcome = run(seed, arguments.plot, false)?;
        hash = hash.rotate_left(7) ^ outcome.hash;
        add(&mut total, &outcome.stats);
        if let Some(violation) = &outcome.violation {
            broken += 1;
            if !arguments.keep_going {
                report(&outcome, arguments.plot);
                return Ok(false);
            }
            println!(
                "seed {seed}: {}: {} (restores: {})",
                violation.promise, violation.what, outcome.stats.restores
            );
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds in {seconds:.1} s ({:.0}/s): {} steps, {} requests, {} writes, {} crashes, {} faults, {} restores, \
         {:.0} virtual days; {broken} violations; trace {hash:016x}",
        seeds as f64 / seconds,
        total.steps,
        total.requests,
        total.writes,
        total.crashes,
        total.faults,
        total.restores,
        total.virtual_ms as f64 / 86_400_000.0,
    );
    Ok(broken == 0)
}

fn add(total: &mut Stats, one: &Stats) {
    total.steps += one.steps;
    total.requests += one.requests;
    total.writes += one.writes;
    total.crashes += one.crashes;
    total.faults += one.faults;
    total.restores += one.restores;
    total.virtual_ms += one.virtual_ms;
}

fn one(seed: u64, arguments: &Arguments) -> Good {
    let outcome = run(seed, arguments.plot, arguments.trace)?;
    match &outcome.violation {
        Some(violation) if arguments.trace => println!("\nbroken: {}: {}", violation.promise, violation.what),
        Some(_) => report(&outcome, arguments.plot),
        None => println!("seed {seed}: every promise held; trace {:016x}", outcome.hash),
    }
    Ok(outcome.violation.is_none())
}

fn report(outcome: &Outcome, plot: Plot) {
    let Some(violation) = &outcome.violation else { return };
    println!("the last that happened in story {}:", outcome.seed);
    for line in &outcome.last {
        println!("  {line}");
    }
    println!(
        "\nseed {}: broken: {}: {}",
        outcome.seed, violation.promise, violation.what
    );
    let mut planted = plot.bug.map_or(String::new(), |bug| format!(" --bug {}", bug.name()));
    if !plot.restores {
        planted.push_str(" --no-restores");
    }
    println!(
        "again: cargo run --release -p keepsync-sim -- --seed {} --trace{planted}",
        outcome.seed
    );
}

fn bugs(most: u64) -> Good {
    let mut all = true;
    for (planted, name) in bug::ALL {
        let start = Instant::now();
        let mut caught = None;
        for seed in 0..most {
            let plot = Plot {
                bug: Some(planted),
                ..Plot::default()
            };
            if let Some(violation) = run(seed, plot, false)?.violation {
                caught = Some((seed, violation));
                break;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        match caught {
            Some((seed, violation)) => println!("{name:24} seed {seed:4}, {seconds:5.1} s: {}", violation.promise),
            None => {
                all = false;
                println!("{name:24} NOT CAUGHT in {most} seeds, {seconds:5.1} s");
            }
        }
    }
    Ok(all)
}
