//! The tests one by one: how long each takes, and which switches it asks.

use crate::{Result, mutant::Mutant, tree::Program};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

/// A test, by the place of its program in the list.
pub(crate) struct Test {
    pub(crate) program: usize,
    pub(crate) name: String,
    pub(crate) time: Duration,
    /// The mutants that it reaches.
    pub(crate) reaches: Vec<bool>,
}

/// How a run of tests ended.
#[derive(PartialEq, Eq)]
pub(crate) enum Ended {
    Passed,
    Failed,
    TimedOut,
}

/// Runs these tests of a program, one after the other, with a mutant on.
///
/// A mutant may eat memory without end, so that is bounded: 6 GB of addresses.
pub(crate) fn run(
    program: &Program,
    names: &[&str],
    mutant: Option<usize>,
    seen: Option<&Path>,
    limit: Duration,
    temp: &Path,
) -> Result<Ended> {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 6000000; ulimit -c 0; exec \"$@\"", "sh"])
        .arg(&program.path)
        .args(["--exact", "--test-threads=1"])
        .args(names)
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("TMPDIR", temp)
        .env_remove("KEEPSYNC_MUTANT")
        .env_remove("KEEPSYNC_MUTANTS_SEEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(id) = mutant {
        command.env("KEEPSYNC_MUTANT", id.to_string());
    }
    if let Some(path) = seen {
        command.env("KEEPSYNC_MUTANTS_SEEN", path);
    }
    let mut child = command.spawn()?;
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { Ended::Passed } else { Ended::Failed });
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::TimedOut);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// A survey as it is kept: a program that was not built again is not run again.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// The mutants' names: their numbers mean nothing without.
    mutants: Vec<String>,
    /// By the program's name.
    programs: HashMap<String, (SystemTime, Vec<Seen>)>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Seen {
    name: String,
    time: Duration,
    reaches: Vec<usize>,
}

/// Every test of the programs, run once without a mutant. A test that fails is an error.
pub(crate) fn survey(programs: &[Program], mutants: &[Mutant], path: &Path, temp: &Path) -> Result<Vec<Test>> {
    let names: Vec<String> = mutants.iter().map(|mutant| mutant.name.clone()).collect();
    let mut kept: Kept = fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if kept.mutants != names {
        kept = Kept {
            mutants: names,
            programs: HashMap::new(),
        };
    }
    let mut tests = Vec::new();
    for (program, it) in programs.iter().enumerate() {
        let built = fs::metadata(&it.path)?.modified()?;
        let known = kept.programs.get(&it.name).filter(|(when, _)| *when == built);
        let seen = match known {
            Some((_, seen)) => seen.clone(),
            None => look(it, &path.with_extension("seen"), temp)?,
        };
        for one in &seen {
            let mut reaches = vec![false; mutants.len()];
            for id in &one.reaches {
                reaches[*id] = true;
            }
            tests.push(Test {
                program,
                name: one.name.clone(),
                time: one.time,
                reaches,
            });
        }
        kept.programs.insert(it.name.clone(), (built, seen));
    }
    fs::write(path, serde_json::to_vec(&kept)?)?;
    tests.sort_by_key(|test| test.time);
    Ok(tests)
}

fn look(program: &Program, path: &Path, temp: &Path) -> Result<Vec<Seen>> {
    let out = Command::new(&program.path)
        .current_dir(&program.folder)
        .args(["--list", "--format=terse"])
        .output()?;
    let mut seen = Vec::new();
    for line in String::from_utf8(out.stdout)?.lines() {
        let Some(name) = line.strip_suffix(": test") else {
            continue;
        };
        drop(fs::remove_file(path));
        let start = Instant::now();
        if run(program, &[name], None, Some(path), Duration::from_secs(600), temp)? != Ended::Passed {
            return Err(format!("{} {name} fails without any mutant", program.name).into());
        }
        let time = start.elapsed();
        let bytes = fs::read(path).unwrap_or_default();
        let reaches = bytes
            .chunks_exact(4)
            .map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]) as usize)
            .collect();
        seen.push(Seen {
            name: name.to_owned(),
            time,
            reaches,
        });
    }
    Ok(seen)
}
