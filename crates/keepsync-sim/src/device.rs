//! A device: a folder with a file per account, clocks of its own, and, while the app runs, an open
//! store and its drain. A crash drops both and leaves the files as a killed process leaves them.

use crate::{
    clock::{Clock, DeviceEnv},
    inspect::Inspector,
    rng::Rng,
};
use keepsync::{
    Db, OpenOptions, Place,
    collection::{Collection, Collections, Direction, OnRejected, Sending},
    conflict::Policy,
    drain::{Drain, schedule::Rules},
    env::Env,
    remote::Capabilities,
    settings::Settings,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The accounts of a story.
pub const ACCOUNTS: [&str; 2] = ["ann", "ben"];

/// What is wrong with the simulation itself: a file that cannot be copied, a row that cannot be read.
pub type Broken = Box<dyn std::error::Error>;

/// A device.
pub struct Device {
    /// Its number.
    pub index: usize,
    /// Its installation id.
    pub id: String,
    /// Its clocks.
    pub env: Arc<DeviceEnv>,
    /// Who is signed in: an index into [`ACCOUNTS`].
    pub account: usize,
    /// Whether there is a network.
    pub online: bool,
    /// Whether the server takes its token.
    pub token_valid: bool,
    /// Grows whenever the app starts, ends, or changes accounts; answers to an earlier life are lost.
    pub life: u64,
    /// The running app; `None` after a crash.
    pub app: Option<App>,
    folder: PathBuf,
    settings: Settings,
    capabilities: Capabilities,
}

/// What is in memory while the app runs.
pub struct App {
    /// The open file.
    pub db: Db,
    /// Its drain.
    pub drain: Drain,
    /// The oracle's look into the file.
    pub inspect: Inspector,
    /// When the timer that counts fires, in virtual time, and its number.
    pub timer: (Option<u64>, u64),
    /// The number of the request that is open, and what it asks for.
    pub open_request: Option<(u64, &'static str)>,
    /// The file before pages that a power cut would lose.
    pub unsynced: Option<Image>,
    /// The attempts of all entries when the network went away.
    pub attempts_offline: Option<i64>,
}

/// A database file and its write-ahead log, as they are on the disk.
#[derive(Debug)]
pub struct Image {
    db: Vec<u8>,
    wal: Option<Vec<u8>>,
}

impl Image {
    /// Reads both. No transaction may be open.
    pub fn take(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            db: fs::read(path)?,
            wal: fs::read(beside(path, "-wal")).ok(),
        })
    }

    /// Puts both back. Nobody may have the file open.
    fn put(&self, path: &Path) -> std::io::Result<()> {
        // The index of the log belongs to processes, not to the disk.
        let _ = fs::remove_file(beside(path, "-shm"));
        let _ = fs::remove_file(beside(path, "-wal"));
        fs::write(path, &self.db)?;
        match &self.wal {
            Some(wal) => fs::write(beside(path, "-wal"), wal),
            None => Ok(()),
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// What the simulated app registers: every policy, both kinds of sessions, every direction.
pub fn collections() -> keepsync::Result<Collections> {
    Collections::new([
        Collection::new("workout", Policy::Ask).priority(1),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(2),
        Collection::new("run", Policy::LastWriteWins).sending(Sending::OnComplete),
        Collection::new("lap", Policy::LastWriteWins).child_of("run", "run_id"),
        Collection::new("note", Policy::LastWriteWins).index("n"),
        Collection::new("goal", Policy::Ask),
        Collection::new("profile", Policy::ServerWins),
        Collection::new("tag", Policy::ClientWins)
            .priority(-1)
            .on_rejected(OnRejected::ParkEntry),
        Collection::new("mixed", Policy::LastWriteWins)
            .group(["p"], Policy::ServerWins)
            .group(["c", "d"], Policy::ClientWins),
        Collection::new("stat", Policy::ClientWins)
            .direction(Direction::PushOnly)
            .priority(-5),
        Collection::new("draft", Policy::ClientWins).direction(Direction::Local),
    ])
}

impl Device {
    /// A device that has never run. `folder` must exist.
    pub fn new(
        index: usize,
        folder: PathBuf,
        clock: Clock,
        wall_offset_ms: i64,
        seed: u64,
        settings: Settings,
    ) -> Self {
        let random = Rng::new(seed, 100 + index as u64);
        Self {
            index,
            id: format!("device-{index}"),
            env: Arc::new(DeviceEnv::new(clock, wall_offset_ms, random)),
            account: 0,
            online: true,
            token_valid: true,
            life: 0,
            app: None,
            folder,
            settings,
            capabilities: Capabilities {
                batches: true,
                after: true,
                pull: true,
            },
        }
    }

    /// The backend understands less.
    pub fn limit(&mut self, capabilities: Capabilities) {
        self.capabilities = capabilities;
    }

    /// The name of the account that is signed in.
    pub fn user(&self) -> &'static str {
        ACCOUNTS[self.account]
    }

    /// Starts the app for the account that is signed in.
    pub fn open(&mut self) -> Result<(), Broken> {
        self.life += 1;
        let collections = collections()?;
        let rules = Rules::from(&collections);
        let env: Arc<dyn Env> = self.env.clone();
        let db = Db::open(OpenOptions {
            place: Place::Folder(self.folder.clone()),
            account: self.user().to_owned(),
            device_id: Some(self.id.clone()),
            collections,
            settings: self.settings.clone(),
            resolvers: keepsync::conflict::Resolvers::default(),
            env,
        })?;
        let inspect = Inspector::open(db.path().ok_or("no file")?)?;
        let throttled_until = inspect.throttled_until()?;
        self.app = Some(App {
            drain: Drain::new(self.settings.clone(), rules, self.capabilities, throttled_until),
            db,
            inspect,
            timer: (None, 0),
            open_request: None,
            unsynced: None,
            attempts_offline: None,
        });
        Ok(())
    }

    /// The app ends in good order, as at a sign-out.
    pub fn close(&mut self) {
        self.life += 1;
        self.app = None;
    }

    /// `kill -9`, or with `earlier` a power cut: the disk then holds that image.
    pub fn crash(&mut self, earlier: Option<Image>) -> Result<(), Broken> {
        self.life += 1;
        let Some(app) = self.app.take() else { return Ok(()) };
        let path = app.db.path().ok_or("no file")?.to_owned();
        // A killed process checkpoints nothing and closes nothing.
        let image = match earlier {
            Some(image) => image,
            None => Image::take(&path)?,
        };
        drop(app);
        image.put(&path)?;
        Ok(())
    }
}
