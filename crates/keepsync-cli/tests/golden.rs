//! What the command prints, word for word: each file in `golden` is a session in a shell.
//!
//! A line that starts with `$` is run by `sh` in a fresh folder, where `keepsync` is the real binary.
//! Under it stands what it printed: standard output as it is, standard error after `!`, and the exit
//! code if it is not 0. What differs from run to run is replaced: ids by numbers in the order in which
//! they appear, times, ports, tokens and sizes by their names.
//!
//! `KEEPSYNC_BLESS=1` writes the files anew; read the difference before committing it. These forms are
//! a public contract: a changed one needs a line in the changelog.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

mod support;

use regex::{Captures, Regex};
use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};
use support::{Ended, Server, schemas};

fn golden(name: &str, with_server: bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let expected = std::fs::read_to_string(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    for name in ["strong-workouts.csv", "exercises.json"] {
        std::fs::copy(data.join(name), folder.path().join(name)).unwrap();
    }
    let server = with_server.then(|| Server::start(&folder.path().join("server"), None, Some(&schemas(folder.path()))));
    let mut names = Names::new();
    let mut actual = String::new();
    for line in expected.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            writeln!(actual, "{line}").unwrap();
            let ended = shell(folder.path(), command, server.as_ref());
            for out in ended.out.lines() {
                writeln!(actual, "{}", names.plain(out)).unwrap();
            }
            for err in ended.err.lines() {
                writeln!(actual, "{}", names.plain(&format!("! {err}")).trim_end()).unwrap();
            }
            if ended.code != 0 {
                writeln!(actual, "[exit {}]", ended.code).unwrap();
            }
        } else if line.starts_with('#') {
            if !actual.is_empty() {
                actual.push('\n');
            }
            writeln!(actual, "{line}").unwrap();
        }
    }
    if std::env::var_os("KEEPSYNC_BLESS").is_some() {
        std::fs::write(&path, &actual).unwrap();
        return;
    }
    for (n, (expected, actual)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(actual, expected, "{name}, line {}", n + 1);
    }
    assert_eq!(actual, expected, "{name}");
}

fn shell(folder: &Path, command: &str, server: Option<&Server>) -> Ended {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_keepsync"));
    let mut path = binary.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    support::clean(&mut shell);
    shell.arg("-c").arg(command).current_dir(folder).env("PATH", path);
    shell.env("KEEPSYNC_DB", "phone").env("KEEPSYNC_USER", "ada");
    if let Some(server) = server {
        shell.env("URL", &server.url).env("TOKEN", server.token("ada"));
    }
    Ended::of(shell.output().unwrap())
}

/// Names for what differs from run to run.
struct Names {
    rules: Vec<(Regex, &'static str)>,
    id: Regex,
    ids: HashMap<String, usize>,
}

impl Names {
    fn new() -> Self {
        let rules = [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>"),
            (r"\beyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
            (r"^[\w-]{43}$", "<refresh token>"),
            (r#""refresh_token":"[^"]+""#, r#""refresh_token":"<refresh token>""#),
            (r"@(\d+)\.[0-9a-f]{8}\b", "@$1.<sides>"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
            (r#"_bytes":\d+"#, r#"_bytes":<bytes>"#),
            (r"\d+ bytes, log \d+ bytes", "<bytes> bytes, log <bytes> bytes"),
        ];
        Self {
            rules: rules.map(|(pattern, name)| (Regex::new(pattern).unwrap(), name)).into(),
            id: Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap(),
            ids: HashMap::new(),
        }
    }

    fn plain(&mut self, line: &str) -> String {
        let mut line = line.to_owned();
        for (pattern, name) in &self.rules {
            line = pattern.replace_all(&line, *name).into_owned();
        }
        let named = self.id.replace_all(&line, |found: &Captures<'_>| {
            let next = self.ids.len() + 1;
            format!("<id {}>", self.ids.entry(found[0].to_owned()).or_insert(next))
        });
        named.into_owned()
    }
}

#[test]
fn help() {
    golden("help.txt", false);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    golden("usage.txt", false);
}

#[test]
fn records() {
    golden("records.txt", false);
}

#[test]
fn sessions() {
    golden("sessions.txt", false);
}

#[test]
fn the_queue() {
    golden("queue.txt", true);
}

#[test]
fn conflicts() {
    golden("conflicts.txt", true);
}

#[test]
fn sync_and_status() {
    golden("sync.txt", true);
}

#[test]
fn what_happened_elsewhere_is_told_until_it_is_dismissed() {
    golden("notices.txt", true);
}

#[test]
fn what_is_carried_in_and_out() {
    golden("carry.txt", false);
}

#[test]
fn doctor_and_bundle() {
    golden("doctor.txt", false);
}

#[test]
fn a_servers_folder() {
    golden("server.txt", true);
}
