//! Real processes, killed with SIGKILL at random moments: a device that writes and drains, a real
//! `keepsync serve`, or both at once. `KEEPSYNC_KILLS` says how often (default 300),
//! `KEEPSYNC_KILL_SEED` repeats the moments of a run.
//!
//! 1. The device writes: sessions with sets, and a profile edited again and again. Before each write
//!    it says what it tries, and after it returned, that it is acknowledged. The drain runs all the
//!    while, through a proxy that is slow, so that there is time to die in, and that loses answers.
//! 2. The device, the server or both are killed a few milliseconds later, and started again: the
//!    device on its file, the server on its data and another port.
//! 3. In the end a device only drains. Then `kill/verdict.rs` reads both databases: everything
//!    acknowledged is on the server, in order, nothing twice, nothing unsent left.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "kill/device.rs"]
mod device;
#[path = "kill/verdict.rs"]
mod verdict;

use keepsync_sim::{
    proxy::{Fault, Proxy},
    rng::Rng,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Lines},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};

const USER: &str = "lifter";

/// Nothing here takes as long; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between a commit on the server and its answer, and before a request goes up.
const PAUSE: Fault = Fault::Slow {
    bytes: 1 << 20,
    tick: Duration::from_millis(5),
};

/// What the device said of one record: the last number it tried, and the last that was acknowledged.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    tried: i64,
    acknowledged: Option<i64>,
}

type Notes = BTreeMap<(String, String), Told>;

fn note(notes: &mut Notes, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let [what @ ("try" | "ack"), collection, id, n] = words[..] else {
        return;
    };
    let told = notes.entry((collection.to_owned(), id.to_owned())).or_default();
    let n = n.parse().unwrap();
    if what == "try" {
        told.tried = n;
    } else {
        told.acknowledged = Some(n);
    }
}

/// Where everything is.
struct Scene {
    folder: PathBuf,
    url: String,
    token: String,
}

/// The device's process.
struct Device {
    child: Child,
    said: mpsc::Receiver<String>,
    reader: Option<JoinHandle<()>>,
    ready: bool,
}

impl Device {
    fn start(scene: &Scene, round: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["device::child", "--exact", "--ignored", "--nocapture"])
            .env("KEEPSYNC_KILL_FILE", scene.folder.join("device.keepsync"))
            .env("KEEPSYNC_KILL_URL", &scene.url)
            .env("KEEPSYNC_KILL_TOKEN", &scene.token)
            .env("KEEPSYNC_KILL_ROUND", round)
            .stdout(Stdio::piped())
            .stderr(log(&scene.folder, "device.log"))
            .spawn()
            .unwrap();
        let (lines, said) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        let reader = Some(std::thread::spawn(move || {
            BufReader::new(out)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(lines.send(line)));
        }));
        Self {
            child,
            said,
            reader,
            ready: false,
        }
    }

    fn until_ready(&mut self, notes: &mut Notes) {
        while !self.ready {
            // An error is a device that does not start, see device.log.
            let line = self.said.recv_timeout(PATIENCE).unwrap();
            note(notes, &line);
            self.ready = line == "ready";
        }
    }

    /// SIGKILL: nothing of it runs after this.
    fn kill(mut self, notes: &mut Notes) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "the device ended by itself, see device.log"
        );
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        self.said.try_iter().for_each(|line| note(notes, &line));
    }

    /// Waits for its end; gives what it said.
    fn end(mut self) -> Vec<String> {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let said = self.said.try_iter().collect();
        assert!(status.success(), "{said:?}");
        said
    }
}

/// The server's process.
struct Server {
    child: Child,
    addr: SocketAddr,
    /// Kept open: a server whose output has no reader could not say what it has to say.
    _out: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(folder: &Path) -> Self {
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

    fn kill(&mut self) {
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

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(folder: &Path, name: &str) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(folder.join(name))
        .unwrap()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn device_and_server_killed_at_random_moments_lose_double_and_stall_nothing() {
    let (kills, seed) = (number("KEEPSYNC_KILLS", 300), number("KEEPSYNC_KILL_SEED", 1));
    println!("{kills} kills, seed {seed}");
    let mut random = Rng::new(seed, 0);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();

    let mut server = Server::start(folder.path());
    let proxy = runtime.block_on(Proxy::start(server.addr)).unwrap();
    proxy.always(Some(PAUSE));
    let data = folder.path().join("server");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let scene = Scene {
        folder: folder.path().to_owned(),
        url: proxy.url(),
        token: keepsync_server::access_token(&data, USER, 30 * 86_400, i64::try_from(now).unwrap()).unwrap(),
    };

    let mut notes = Notes::new();
    let (mut device_kills, mut server_kills) = (0, 0);
    let mut device = Device::start(&scene, "0");
    for round in 1..=kills {
        // Now and then it dies while it opens.
        if random.below(8) > 0 {
            device.until_ready(&mut notes);
        }
        match random.below(6) {
            0 => proxy.next(keepsync_wire::SYNC_PATH, Fault::LostReply),
            1 => {
                let bytes = usize::try_from(random.below(600)).unwrap();
                proxy.next(keepsync_wire::SYNC_PATH, Fault::CutAnswer(bytes));
            }
            2 => proxy.next(keepsync_wire::SYNC_PATH, Fault::CutRequest),
            _ => {}
        }
        std::thread::sleep(Duration::from_micros(random.below(150_000)));
        let (kill_device, kill_server) =
            [(true, false), (true, false), (false, true), (true, true)][usize::try_from(random.below(4)).unwrap()];
        if kill_server {
            server.kill();
            server_kills += 1;
        }
        if kill_device {
            device.kill(&mut notes);
            device_kills += 1;
            device = Device::start(&scene, &round.to_string());
        }
        if kill_server {
            server = Server::start(folder.path());
            proxy.upstream(server.addr);
        }
    }
    device.kill(&mut notes);
    proxy.always(None);
    proxy.forget();
    let last = Device::start(&scene, "last").end();
    assert!(last.iter().any(|line| line == "drained"), "seed {seed}: {last:?}");

    let verdict = verdict::verdict(
        &data.join("server.db"),
        &folder.path().join("device.keepsync"),
        USER,
        &notes,
    );
    server.kill();
    let faults = proxy.counts().faults;
    println!("{device_kills} kills of the device, {server_kills} of the server, faults {faults:?}");
    println!("{}", verdict.summary);
    if !verdict.wrong.is_empty() {
        println!("the files are kept in {}", folder.keep().display());
    }
    assert!(verdict.wrong.is_empty(), "seed {seed}: {:#?}", verdict.wrong);
    assert!(verdict.acknowledged > 0, "nothing was written");
}
