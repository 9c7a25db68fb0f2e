//! `keepsync-oracle check FILE...`: judges histories, one JSON object a line, and prints what was broken.

use keepsync_oracle::{History, check};
use std::{
    io::{Read as _, Write},
    process::ExitCode,
};

const USAGE: &str = "Usage: keepsync-oracle check FILE...

Judges each FILE, a history with one JSON object a line (`-`: standard input), and prints what was broken.
Exit code 0: nothing; 1: something; 2: a history cannot be read.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    let told = match arguments.split_first() {
        Some((verb, files)) if verb == "check" && !files.is_empty() => run(files, &mut out, &mut err),
        _ => err.write_all(USAGE.as_bytes()).map(|()| 2),
    };
    // Whoever closed the output does not want to be told.
    ExitCode::from(told.unwrap_or(2))
}

fn run(files: &[String], out: &mut impl Write, err: &mut impl Write) -> std::io::Result<u8> {
    let mut code = 0;
    for file in files {
        let history = match read(file) {
            Ok(history) => history,
            Err(problem) => {
                writeln!(err, "{file}: {problem}")?;
                code = 2;
                continue;
            }
        };
        let violations = check(&history);
        for violation in &violations {
            writeln!(out, "{file}: {violation}")?;
        }
        let (writes, facts, broken) = (history.writes.len(), history.facts.len(), violations.len());
        writeln!(out, "{file}: {writes} writes, {facts} facts, {broken} broken")?;
        code = code.max(u8::from(broken > 0));
    }
    Ok(code)
}

fn read(file: &str) -> Result<History, String> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(drop),
        file => std::fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| error.to_string())?;
    History::parse(&text).map_err(|error| error.to_string())
}
