//! A child process that talks in lines: the server, or a device.

use crate::failure::Failure;
use serde::{Serialize, de::DeserializeOwned};
use std::{fs::OpenOptions, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// Nothing a child is asked takes this long. It is not waited for where nothing is wrong.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A child of this very program; killed when it is dropped.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program once more. What it says on standard error goes to `log`.
    pub(super) fn start(name: &'static str, arguments: &[&std::ffi::OsStr], log: &Path) -> Result<Self, Failure> {
        let cannot = |problem: std::io::Error| Failure::new("process", format!("the {name} does not start: {problem}"));
        let log = OpenOptions::new().create(true).append(true).open(log).map_err(cannot)?;
        let mut child = Command::new(std::env::current_exe().map_err(cannot)?)
            .args(arguments)
            // Flags that were set for the person's own device are not for these.
            .env_remove("KEEPSYNC_DB")
            .env_remove("KEEPSYNC_USER")
            .env_remove("KEEPSYNC_SERVER")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or_else(|| cannot(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            name,
            child,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    fn gone(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new("process", format!("the {} {what}", self.name))
    }

    /// Its next line.
    pub(super) async fn line(&mut self) -> Result<String, Failure> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(self.gone("ended by itself")),
            Ok(Err(problem)) => Err(self.gone(format!("cannot be heard: {problem}"))),
            Err(_) => Err(self.gone("says nothing")),
        }
    }

    /// Its next line, as JSON.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let line = self.line().await?;
        serde_json::from_str(&line).map_err(|problem| self.gone(format!("says something else: {problem}")))
    }

    /// One line of JSON for it.
    pub(super) async fn say(&mut self, what: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_string(what).map_err(|problem| self.gone(problem))?;
        line.push('\n');
        let Some(input) = &mut self.input else {
            return Err(self.gone("listens no more"));
        };
        let said = input.write_all(line.as_bytes()).await;
        said.map_err(|problem| self.gone(format!("does not listen: {problem}")))
    }

    /// `kill -9`. When this returns, nothing of it runs any more.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.child
            .kill()
            .await
            .map_err(|problem| self.gone(format!("cannot be killed: {problem}")))
    }

    /// Ends its input and waits until it has closed its files.
    pub(super) async fn end(mut self) -> Result<(), Failure> {
        drop(self.input.take());
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.gone(format!("ended with {status}"))),
            Ok(Err(problem)) => Err(self.gone(problem)),
            Err(_) => Err(self.gone("does not end")),
        }
    }
}
