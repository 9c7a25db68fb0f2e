//! The `keepsync` command: a server, a whole device, and a demo.
//!
//! `args` says what can be asked, `run` below sends it to its verb, and each verb is a file. What a
//! verb prints goes through `out`, in the forms of `form`; why it failed is a `Failure`.
//! `docs/cli.md` is the contract of all of it.

mod args;
mod serve;
mod server;
mod device;
mod demo;

mod collections;
mod tokens;
mod form;
mod out;
mod failure;

use args::{Args, Command};
use clap::Parser as _;
use failure::{Exit, Failure};
use out::Out;
use std::{io::Write as _, process::ExitCode};

/// Planted bugs are for the simulator: nothing that ships is built with them.
const _: () = assert!(
    !keepsync::PLANTED && !keepsync_server::PLANTED,
    "built with the feature `planted`"
);

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(problem) => return unparsed(&problem),
    };
    let json = args.json;
    match run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(json),
    }
}

fn run(args: Args) -> Result<Exit, Failure> {
    let mut out = Out::new(args.json);
    let exit = match args.command {
        Command::Device(args) => device::run(args, &mut out),
        Command::Demo(args) => demo::run(args, &mut out),
        Command::DemoDevice => demo::device::run(),
        Command::Serve(args) => serve::run(&args, &mut out),
        Command::Token(args) => server::token(&args, &mut out),
        Command::Backup(args) => server::backup(&args, &mut out),
        Command::Restore(args) => server::restore(&args, &mut out),
    }?;
    out.flush()?;
    Ok(exit)
}

/// What clap answers: help and version to standard output, a wrong usage to standard error.
fn unparsed(problem: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|word| word == "--json");
    if json && problem.use_stderr() {
        let text = problem.to_string();
        // Up to the first empty line: what is wrong. The rest is how it would be right.
        let wrong: Vec<&str> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        let wrong = wrong.join(" ");
        let message = wrong.strip_prefix("error: ").unwrap_or(&wrong);
        return Failure::usage(message).report(true);
    }
    // Nowhere is left to say that it could not be said.
    let _ = problem.print();
    let _ = std::io::stdout().flush();
    ExitCode::from(if problem.use_stderr() { 2 } else { 0 })
}
