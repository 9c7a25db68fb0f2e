//! What the tests of the command share: a folder, the real binary, and a real server.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long anything may take on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, with nothing of this machine's environment that it would look at.
pub fn keepsync() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keepsync"));
    clean(&mut command);
    command
}

pub fn clean(command: &mut Command) {
    for name in ["DB", "USER", "LABEL", "SERVER", "TOKEN", "REFRESH_TOKEN", "LOG"] {
        command.env_remove(format!("KEEPSYNC_{name}"));
    }
    command.env("COLUMNS", "100").stdin(Stdio::null());
}

/// What a command came to.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The one object it printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|problem| panic!("{problem}: {self:?}"))
    }

    /// The objects it printed, one a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The code of the error it printed.
    #[track_caller]
    pub fn error(&self) -> String {
        let error: Value = serde_json::from_str(&self.err).unwrap_or_else(|problem| panic!("{problem}: {self:?}"));
        error["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// A device of its own, by flags.
pub struct Device {
    pub folder: PathBuf,
    pub name: String,
    pub flags: Vec<String>,
}

impl Device {
    pub fn new(folder: &Path, name: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            flags: ["--user", "ada", "--label", name].map(str::to_owned).into(),
        }
    }

    /// With these flags too.
    pub fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    pub fn db(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = keepsync();
        command.arg("device").arg("--json").arg("--db").arg(self.db());
        command.args(&self.flags).args(words);
        command
    }

    pub fn run(&self, words: &[&str]) -> Ended {
        Ended::of(self.command(words).output().unwrap())
    }

    /// The same, which must work.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> Ended {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended
    }

    /// A sync that works.
    #[track_caller]
    pub fn sync(&self) -> Value {
        self.ok(&["sync"]).json()
    }
}

/// A server's process. It is killed when this is dropped.
pub struct Server {
    pub url: String,
    pub data: PathBuf,
    child: Child,
}

impl Server {
    /// On a port of its own, or the one of `listen`.
    pub fn start(data: &Path, listen: Option<&str>, schema: Option<&Path>) -> Self {
        let mut command = keepsync();
        command.arg("serve").arg("--data").arg(data);
        if let Some(listen) = listen {
            command.args(["--listen", listen]);
        }
        if let Some(schema) = schema {
            command.arg("--schema").arg(schema);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.strip_prefix("listening on ").map(str::trim_end).map(str::to_owned);
        Self {
            url: url.unwrap_or_else(|| panic!("the first line is {line:?}")),
            data: data.to_owned(),
            child,
        }
    }

    pub fn token(&self, user: &str) -> String {
        self.prints(&["--user", user])
    }

    pub fn refresh_token(&self, user: &str) -> String {
        self.prints(&["--user", user, "--refresh"])
    }

    fn prints(&self, words: &[&str]) -> String {
        let output = keepsync()
            .arg("token")
            .arg("--data")
            .arg(&self.data)
            .args(words)
            .output()
            .unwrap();
        let ended = Ended::of(output);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.out.trim_end().to_owned()
    }

    /// Asks it to stop, and gives its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let killed = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status();
        assert!(killed.unwrap().success());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server did not stop");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A schema folder whose rule for sets is that a weight is not negative.
pub fn schemas(folder: &Path) -> PathBuf {
    let schemas = folder.join("schemas");
    std::fs::create_dir(&schemas).unwrap();
    let rule = r#"{"type":"object","properties":{"weight":{"type":"number","minimum":0}}}"#;
    std::fs::write(schemas.join("set_log.json"), rule).unwrap();
    std::fs::write(schemas.join("user_profile.json"), rule).unwrap();
    schemas
}
