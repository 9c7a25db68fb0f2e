//! Explores a state space, prints how large it is, how long it took, and what was found against it.
//!
//! `keepsync-model [--deep] [--writes N] [--messages N] [--crashes N] [--restores N] [--page N] [--power 0|1]
//! [--single 0|1] [--policies PARENT,CHILD] [--flaw NAME] [--threads N] [--limit SECONDS]`; without anything
//! it is the whole. The exit code is 1 if something was found, 2 for arguments that it does not understand, 3 if
//! the limit came before the end.

use keepsync_model::{Flaw, Policy, Rules, World};
use stateright::{Checker, HasDiscoveries, Model};
use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

/// What to do.
struct Asked {
    rules: Rules,
    threads: usize,
    limit: Duration,
}

fn policy(text: &str) -> Option<Policy> {
    match text {
        "ask" => Some(Policy::Ask),
        "client" => Some(Policy::ClientWins),
        "server" => Some(Policy::ServerWins),
        _ => None,
    }
}

fn asked(mut words: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked {
        rules: Rules::WHOLE,
        threads: 2,
        limit: Duration::from_secs(3_600),
    };
    while let Some(name) = words.next() {
        if name == "--deep" {
            asked.rules = Rules::DEEP;
            continue;
        }
        let word = words.next()?;
        let number = word.parse::<u8>();
        let rules = &mut asked.rules;
        match name.as_str() {
            "--writes" => rules.writes = number.ok()?.min(3).into(),
            "--messages" => rules.messages = number.ok()?.clamp(1, 3).into(),
            "--crashes" => rules.crashes = number.ok()?,
            "--restores" => rules.restores = number.ok()?,
            "--page" => rules.page = number.ok()?.max(1).into(),
            "--power" => rules.power = number.ok()? > 0,
            "--single" => rules.single = number.ok()? > 0,
            "--policies" => {
                let (parent, child) = word.split_once(',')?;
                rules.policies = [policy(parent)?, policy(child)?];
            }
            "--flaw" => rules.flaw = Some(Flaw::ALL.into_iter().find(|flaw| format!("{flaw:?}") == word)?),
            "--threads" => asked.threads = number.ok()?.max(1).into(),
            "--limit" => asked.limit = Duration::from_secs(word.parse().ok()?),
            _ => return None,
        }
    }
    Some(asked)
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Some(asked) = asked(std::env::args().skip(1)) else {
        writeln!(out, "see the first lines of crates/keepsync-model/src/main.rs")?;
        return Ok(ExitCode::from(2));
    };
    writeln!(out, "{:?}", asked.rules)?;
    let start = Instant::now();
    let checker = World::new(asked.rules)
        .checker()
        .threads(asked.threads)
        .timeout(asked.limit);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs();
    let checker = checker.join();
    let found = checker.discoveries();
    let limited = start.elapsed() >= asked.limit;
    writeln!(
        out,
        "{} states, {} steps, depth {}, {:.1} s{}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64(),
        match (found.is_empty(), limited) {
            (true, true) => ": stopped by the limit, nothing found so far",
            (true, false) => ": all of it, nothing found",
            (false, _) => "",
        },
    )?;
    for (name, path) in &found {
        writeln!(out, "broken: {name}, after")?;
        for action in path.clone().into_actions() {
            writeln!(out, "    {action:?}")?;
        }
        writeln!(out, "{:#?}", path.last_state())?;
    }
    Ok(ExitCode::from(match (found.is_empty(), limited) {
        (false, _) => 1,
        (true, true) => 3,
        (true, false) => 0,
    }))
}
