//! A real server in a process of its own, so that what it costs is not counted as the device's.

use crate::{Outcome, say};
use keepsync_server::{Config, Rate, Server, access_token};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::runtime::Builder;

const HOUR_S: u64 = 3_600;

/// A server under way; it stops when this is dropped.
pub(crate) struct Serving {
    child: Child,
    /// Its address, as an app would write it.
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Serving {
    /// This program again, serving from a new folder.
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        let Some((url, token)) = line.trim().split_once(' ') else {
            child.kill()?;
            return Err("the server did not start".into());
        };
        Ok(Self {
            url: url.to_owned(),
            token: token.to_owned(),
            child,
        })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The end of its input is what stops it; if it is gone already, so much the better.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What `--serve` does: says its address and a token, and serves until its input ends.
pub(crate) fn main(folder: &Path) -> Outcome<()> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut config = Config::new(folder);
    // What is measured is the device, not how often it may ask.
    config.limits.per_user = Rate {
        per_second: 10_000,
        burst: 10_000,
    };
    let server = runtime.block_on(Server::bind(config))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let token = access_token(folder, crate::drain::ACCOUNT, HOUR_S, i64::try_from(now)?)?;
    say(&format!("http://{} {token}\n", server.local_addr()))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // However it ends, whoever started this is gone.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(stop);
    });
    runtime.block_on(server.run(async move {
        let _ = stopped.await;
    }))?;
    Ok(())
}
