//! A device: a folder with a file per account, clocks of its own, and, while the app runs, an open
//! store and its drain. A crash drops both and leaves the files as a killed process, or a power cut, leaves them.

use crate::{
    app::{self, Judge},
    clock::{Clock, DeviceEnv},
    inspect::Inspector,
};
use keepsync::{
    Db, OpenOptions, Place,
    drain::{Drain, schedule::Rules},
    env::Env,
    remote::Capabilities,
    settings::Settings,
};
use keepsync_disk::{Crash, Disk};
use keepsync_proxy::rng::Rng;
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
    /// Until when what it sends does not arrive, in virtual milliseconds.
    pub cut_out_until: u64,
    /// Until when what is sent to it does not arrive.
    pub cut_in_until: u64,
    /// The version of the app that is installed.
    pub version: u32,
    /// What its app's resolver says.
    pub(crate) judge: Judge,
    /// Whether the server takes its token.
    pub token_valid: bool,
    /// Grows whenever the app starts, ends, or changes accounts; answers to an earlier life are lost.
    pub life: u64,
    /// The running app; `None` after a crash.
    pub app: Option<App>,
    /// What its files are on.
    pub disk: Disk,
    /// Whether no file on it can grow.
    pub full: bool,
    /// Whether it is off, and nobody turns it on.
    pub asleep: bool,
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
    /// Whether a connection to the server stands, as far as the device knows.
    pub connected: bool,
    /// Planted bug: the file before a commit that a power cut would lose although it was synced.
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

impl Device {
    /// A device that has never run. `folder` must exist.
    pub fn new(
        index: usize,
        folder: PathBuf,
        clock: Clock,
        wall_offset_ms: i64,
        seed: u64,
        settings: Settings,
    ) -> Result<Self, Broken> {
        let random = Rng::new(seed, 100 + index as u64);
        Ok(Self {
            index,
            id: format!("device-{index}"),
            env: Arc::new(DeviceEnv::new(clock, wall_offset_ms, random)),
            account: 0,
            online: true,
            cut_out_until: 0,
            cut_in_until: 0,
            version: 1,
            judge: Judge::default(),
            token_valid: true,
            life: 0,
            app: None,
            disk: Disk::at(&folder)?,
            full: false,
            asleep: false,
            folder,
            settings,
            capabilities: Capabilities {
                batches: true,
                after: true,
                pull: true,
            },
        })
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
        let collections = app::collections(self.version)?;
        let settings = app::settings(self.version, &self.settings);
        let rules = Rules::from(&collections);
        let env: Arc<dyn Env> = self.env.clone();
        let db = Db::open(OpenOptions {
            place: Place::Folder(self.folder.clone()),
            account: self.user().to_owned(),
            key: None,
            device_id: Some(self.id.clone()),
            collections,
            settings: settings.clone(),
            resolvers: self.judge.resolvers(),
            env,
        })?;
        let inspect = Inspector::open(db.path().ok_or("no file")?)?;
        let throttled_until = inspect.throttled_until()?;
        self.app = Some(App {
            drain: Drain::new(settings, rules, self.capabilities, throttled_until),
            db,
            inspect,
            timer: (None, 0),
            open_request: None,
            connected: false,
            unsynced: None,
            attempts_offline: None,
        });
        Ok(())
    }

    /// Whether nothing goes from it to the server, or nothing from the server to it.
    pub(crate) fn is_cut(&self, out: bool, now: u64) -> bool {
        now < if out { self.cut_out_until } else { self.cut_in_until }
    }

    /// Its app's settings, as the version that is installed sets them.
    pub(crate) fn settings(&self) -> Settings {
        app::settings(self.version, &self.settings)
    }

    /// Wipes the account that is signed in: its file, and all that stands beside it.
    pub(crate) fn wipe(&mut self) -> Result<(), Broken> {
        let path = match &self.app {
            Some(app) => app.db.path().ok_or("no file")?.to_owned(),
            None => return Ok(()),
        };
        self.close();
        // As a wipe does that is stopped right after its first step: the next opening goes on with it.
        fs::rename(&path, beside(&path, ".wiped"))?;
        Ok(())
    }

    /// The app ends in good order, as at a sign-out.
    pub fn close(&mut self) {
        self.life += 1;
        self.app = None;
    }

    /// The process dies; what the disk then holds, the kind of crash says.
    pub fn crash(&mut self, how: Crash, seed: u64) -> Result<(), Broken> {
        self.life += 1;
        // A killed process checkpoints nothing and closes nothing.
        self.disk.stop();
        let earlier = match self.app.take() {
            Some(app) => {
                let path = app.db.path().ok_or("no file")?.to_owned();
                app.unsynced.map(|image| (path, image))
            }
            None => None,
        };
        self.disk.crash(how, seed)?;
        if let Some((path, image)) = earlier.filter(|_| how != Crash::Kill) {
            image.put(&path)?;
        }
        Ok(())
    }
}
