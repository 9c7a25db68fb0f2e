//! Explores the whole state space and says how large it is.

use keepsync_model::{Rules, World};
use stateright::{Checker, Model, report::WriteReporter};
use std::{io::{self, Write}, process::ExitCode, time::{Duration, Instant}};

fn main() -> io::Result<ExitCode> {
    let mut rules = Rules::WHOLE;
    let mut args = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        let value: usize = value.parse().map_err(io::Error::other)?;
        match name.as_str() {
            "--writes" => rules.writes = value,
            "--messages" => rules.messages = value,
            "--crashes" => rules.crashes = value as u8,
            "--restores" => rules.restores = value as u8,
            "--page" => rules.page = value,
            "--single" => rules.single = value == 1,
            "--power" => rules.power = value == 1,
            _ => return Ok(ExitCode::from(2)),
        }
    }
    let start = Instant::now();
    let mut out = io::stdout().lock();
    let checker = World::new(rules).checker().threads(2).timeout(Duration::from_secs(600)).spawn_bfs();
    let checker = checker.report(&mut WriteReporter::new(&mut out));
    writeln!(out, "states {} generated {} depth {} in {:?} done {}", checker.unique_state_count(), checker.state_count(), checker.max_depth(), start.elapsed(), checker.is_done())?;
    Ok(ExitCode::from(u8::from(!checker.discoveries().is_empty())))
}
