//! The processes that are killed: this test binary again, playing a device, and a real `keepsync serve`.

use keepsync_oracle::Fact;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead as _, BufReader, Lines},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Nothing here takes as long; a hang is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a process says: facts for the oracle, and words.
#[derive(Debug)]
pub(crate) enum Said {
    Fact(Fact),
    Word(String),
}

/// A child that plays an ignored test of this binary.
pub(crate) struct Playing {
    child: Child,
    said: mpsc::Receiver<Said>,
    reader: Option<JoinHandle<()>>,
    ready: bool,
}

impl Playing {
    pub(crate) fn start(test: &str, with: &[(&str, &OsStr)], log: File) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        let mut child = command
            .envs(with.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (lines, said) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        let reader = Some(std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Killed in the middle of a line, it said nothing; and the test harness has its own lines.
                let said = match serde_json::from_str(&line) {
                    Ok(fact) => Said::Fact(fact),
                    Err(_) if line.starts_with('{') => continue,
                    Err(_) => Said::Word(line),
                };
                let _ = lines.send(said);
            }
        }));
        Self {
            child,
            said,
            reader,
            ready: false,
        }
    }

    pub(crate) fn until_ready(&mut self, facts: &mut Vec<Fact>) {
        self.until_word("ready", facts);
    }

    fn until_word(&mut self, awaited: &str, facts: &mut Vec<Fact>) {
        while !self.ready {
            // An error is a device that does not start, see its log.
            match self.said.recv_timeout(PATIENCE).unwrap() {
                Said::Fact(fact) => facts.push(fact),
                Said::Word(word) => self.ready = word == awaited,
            }
        }
    }

    /// SIGKILL: nothing of it runs after this. Gives the words it said, and the moment before it died.
    pub(crate) fn kill(mut self, facts: &mut Vec<Fact>) -> (Vec<String>, Instant) {
        let alive = self.child.try_wait().unwrap().is_none();
        let moment = Instant::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let words = self.heard(facts);
        assert!(alive, "it ended by itself, see its log: {words:?}");
        (words, moment)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self, facts: &mut Vec<Fact>) -> Vec<String> {
        let status = self.child.wait().unwrap();
        let words = self.heard(facts);
        assert!(status.success(), "{words:?}");
        words
    }

    fn heard(&mut self, facts: &mut Vec<Fact>) -> Vec<String> {
        self.reader.take().unwrap().join().unwrap();
        let mut words = Vec::new();
        for said in self.said.try_iter() {
            match said {
                Said::Fact(fact) => facts.push(fact),
                Said::Word(word) => words.push(word),
            }
        }
        words
    }
}

/// The server's process.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// Kept open: a server whose output has no reader could not say what it has to say.
    _out: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keepsync"))
            .args(["serve", "--data"])
            .arg(folder.join("server"))
            .stdout(Stdio::piped())
            .stderr(log(folder, "server.log"))
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        // Nothing to read is a server that does not start, see server.log.
        let line = out.next().unwrap().unwrap();
        let addr = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, addr, _out: out }
    }

    pub(crate) fn kill(&mut self) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "the server ended by itself, see server.log"
        );
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn log(folder: &Path, name: &str) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(folder.join(name))
        .unwrap()
}
