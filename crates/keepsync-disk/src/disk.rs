//! A disk: the files below a folder, the fault to come, and what a crash does.

use crate::{
    fault::{Counted, Counts, Crash, Fault, Op, Plan, Point},
    lock::Owner,
    node::Node,
    rng::Tear,
};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};

/// Why an operation failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// As planned.
    Planned(Fault),
    /// By itself.
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(crate) type Result<T> = std::result::Result<T, Failed>;

/// The disks of this process by their folders.
static DISKS: RwLock<Option<HashMap<PathBuf, Weak<Shared>>>> = RwLock::new(None);

/// The disk that a file is on.
pub(crate) fn of(file: &Path) -> Option<Arc<Shared>> {
    let disks = DISKS.read().unwrap_or_else(PoisonError::into_inner);
    let disks = disks.as_ref()?;
    file.ancestors().find_map(|folder| disks.get(folder)?.upgrade())
}

/// A folder whose files are on a disk that can fail. Dropped, it is a folder like any other; what is still open
/// stays as it was.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    shared: Arc<Shared>,
}

impl Disk {
    /// Registers a folder, which must exist. What is in it is on the disk. Only what is opened from now on is
    /// known to it.
    ///
    /// # Errors
    /// There is no such folder, it is a disk already, or SQLite takes no VFS.
    pub fn at(folder: &Path) -> io::Result<Self> {
        crate::install()?;
        let folder = folder.canonicalize()?;
        let shared = Arc::new(Shared(Mutex::new(State::new(folder.clone()))));
        let mut disks = DISKS.write().unwrap_or_else(PoisonError::into_inner);
        let disks = disks.get_or_insert_default();
        if disks.get(&folder).is_some_and(|disk| disk.strong_count() > 0) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "the folder is a disk already"));
        }
        disks.insert(folder.clone(), Arc::downgrade(&shared));
        Ok(Self { folder, shared })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What has been done since the folder was registered.
    pub fn counted(&self) -> Counted {
        self.shared.state().counted
    }

    /// Plans a fault, in the place of any other.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.shared.state();
        state.plan = Some(plan);
        state.left = plan.at;
        state.fired = None;
        state.room = None;
    }

    /// Takes the plan back. A process that has died stays dead. Gives where the fault struck first, if it did.
    pub fn heal(&self) -> Option<Point> {
        let mut state = self.shared.state();
        state.plan = None;
        state.room = None;
        state.fired.take()
    }

    /// From now on the disk says that it has synced, and has not. Beside any plan; a crash does not change it.
    pub fn lie(&self, lies: bool) {
        self.shared.state().lies = lies;
    }

    /// From now on the files together may grow by this many bytes and no more; `None`: without bounds. Beside
    /// any plan; a crash does not change it.
    ///
    /// # Errors
    /// Those of reading the folder.
    pub fn limit(&self, more: Option<u64>) -> io::Result<()> {
        let mut state = self.shared.state();
        state.limit = match more {
            Some(more) => Some(state.used()? + more),
            None => None,
        };
        Ok(())
    }

    /// Where the planned fault struck first, if it has.
    pub fn fired(&self) -> Option<Point> {
        self.shared.state().fired.clone()
    }

    /// The process dies now; see [`Fault::Stop`].
    pub fn stop(&self) {
        self.shared.state().dead = true;
    }

    /// Whether the process is dead.
    pub fn is_stopped(&self) -> bool {
        self.shared.state().dead
    }

    /// What is there is on the disk, and no crash takes it away.
    pub fn settle(&self) {
        self.shared.state().settle();
    }

    /// What the crash leaves, after all connections were dropped. The plan is taken back, and the next process
    /// lives. `seed` decides what arrives of what was torn.
    ///
    /// # Errors
    /// A file is still open; or the real file system fails.
    pub fn crash(&self, crash: Crash, seed: u64) -> io::Result<()> {
        self.shared.state().crash(crash, seed)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut disks = DISKS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(disks) = disks.as_mut() {
            disks.remove(&self.folder);
        }
    }
}

/// What open files and the [`Disk`] share.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that came or went and is not on the disk yet.
#[derive(Debug)]
enum NameChange {
    Made { path: PathBuf, inode: u64 },
    Gone { path: PathBuf, file: File, mode: u32 },
}

/// Everything of a disk.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    /// By number; a file that was replaced under its name is under its number only.
    nodes: HashMap<u64, Node>,
    names: HashMap<PathBuf, u64>,
    name_changes: Vec<NameChange>,
    next: u64,
    counted: Counted,
    plan: Option<Plan>,
    /// How many counted operations there are until the fault; 0 after it.
    left: u64,
    fired: Option<Point>,
    dead: bool,
    /// How many bytes the files may have together, on a disk that is full for ever.
    room: Option<u64>,
    /// The same, on a disk that is small.
    limit: Option<u64>,
    /// Syncs are answered and not done.
    lies: bool,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) write: bool,
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
    /// For its owner, its group, and others, should it be made.
    pub(crate) mode: u32,
}

impl State {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            nodes: HashMap::new(),
            names: HashMap::new(),
            name_changes: Vec::new(),
            next: 1,
            counted: Counted::default(),
            plan: None,
            left: 0,
            fired: None,
            dead: false,
            room: None,
            limit: None,
            lies: false,
        }
    }

    pub(crate) fn node(&mut self, number: u64) -> Result<&mut Node> {
        let gone = || Failed::Io(io::Error::from(ErrorKind::NotFound));
        self.nodes.get_mut(&number).ok_or_else(gone)
    }

    /// Counts an operation; it may be the one that fails. `grows`: by how much it makes a file longer.
    fn pass(&mut self, op: Op, file: &Path, at: u64, len: u64, grows: u64) -> Result<()> {
        if self.dead {
            return Err(Failed::Planned(Fault::Stop));
        }
        self.counted.add(op);
        if let Some(room) = self.room.into_iter().chain(self.limit).min()
            && grows > 0
            && self.used()?.saturating_add(grows) > room
        {
            return Err(Failed::Planned(Fault::Full));
        }
        if self.room.is_some() {
            return Ok(());
        }
        let Some(plan) = self.plan else { return Ok(()) };
        let takes_room = op == Op::Write || (op == Op::Resize && grows > 0);
        let counts = match plan.counts {
            Counts::Reads => op == Op::Read,
            Counts::Changes => op != Op::Read && (plan.fault != Fault::Full || takes_room),
        };
        if !counts {
            return Ok(());
        }
        match self.left {
            0 if plan.lasting => return Err(Failed::Planned(plan.fault)),
            0 => return Ok(()),
            1 => {}
            _ => {
                self.left -= 1;
                return Ok(());
            }
        }
        self.left = 0;
        self.fired = Some(Point {
            op,
            file: file.to_owned(),
            at,
            len,
        });
        match plan.fault {
            Fault::Stop => self.dead = true,
            Fault::Full if plan.lasting => {
                let used = self.used()?;
                self.room = Some(used);
                if grows == 0 {
                    return Ok(());
                }
            }
            Fault::Full | Fault::IoError => {}
        }
        Err(Failed::Planned(plan.fault))
    }

    /// Bytes of all files in the folder.
    fn used(&self) -> io::Result<u64> {
        fn below(folder: &Path) -> io::Result<u64> {
            let mut sum = 0;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => sum += below(&entry.path())?,
                    Ok(meta) => sum += meta.len(),
                    // It went meanwhile.
                    Err(_) => {}
                }
            }
            Ok(sum)
        }
        below(&self.folder)
    }

    /// Opens a file; gives its number, and whether it may be written.
    pub(crate) fn open(&mut self, path: &Path, access: Access, who: Owner) -> Result<(u64, bool)> {
        if self.dead {
            return Err(Failed::Planned(Fault::Stop));
        }
        let open = |write: bool| OpenOptions::new().read(true).write(write).open(path);
        let (file, made, writable) = match open(access.write) {
            Ok(_) if access.create && access.exclusive => return Err(io::Error::from(ErrorKind::AlreadyExists).into()),
            Ok(file) => (file, false, access.write),
            Err(error) if error.kind() == ErrorKind::NotFound && access.create => {
                self.pass(Op::Create, path, 0, 0, 0)?;
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(access.mode);
                (options.open(path)?, true, true)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied && access.write => (open(false)?, false, false),
            Err(error) => return Err(error.into()),
        };
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::Error::from(ErrorKind::IsADirectory).into());
        }
        let known = self.names.get(path).copied();
        let same = known.filter(|number| self.nodes.get(number).is_some_and(|node| node.inode == meta.ino()));
        let number = match same {
            Some(number) => {
                self.node(number)?.open(file, writable, who)?;
                number
            }
            None => {
                let number = self.next;
                self.next += 1;
                if made {
                    let (path, inode) = (path.to_owned(), meta.ino());
                    self.name_changes.push(NameChange::Made { path, inode });
                }
                let mut node = Node::new(path.to_owned(), file, made)?;
                node.open.push(who);
                self.nodes.insert(number, node);
                self.names.insert(path.to_owned(), number);
                number
            }
        };
        Ok((number, writable))
    }

    /// A connection lets go of a file, with all its locks.
    pub(crate) fn close(&mut self, number: u64, who: Owner) {
        self.unmap(number, who);
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        node.lock.unlock(who, 0);
        node.open.retain(|&owner| owner != who);
        if node.open.is_empty() && node.is_synced() && !node.is_new {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(node) = self.nodes.remove(&number)
            && self.names.get(&node.path) == Some(&number)
        {
            self.names.remove(&node.path);
        }
    }

    /// A connection lets go of the index.
    pub(crate) fn unmap(&mut self, number: u64, who: Owner) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        node.index_lock.unlock(who, 0, usize::MAX);
        node.mapped.retain(|&owner| owner != who);
        if node.mapped.is_empty() {
            node.index.clear();
        }
    }

    pub(crate) fn read(&mut self, number: u64, at: u64, into: &mut [u8]) -> Result<usize> {
        if self.dead {
            return Err(Failed::Planned(Fault::Stop));
        }
        if self.plan.is_some_and(|plan| plan.counts == Counts::Reads) {
            let path = self.node(number)?.path.clone();
            self.pass(Op::Read, &path, at, into.len() as u64, 0)?;
        } else {
            self.counted.add(Op::Read);
        }
        Ok(self.node(number)?.read(at, into))
    }

    pub(crate) fn write(&mut self, number: u64, at: u64, bytes: &[u8]) -> Result<()> {
        if self.dead {
            return Err(Failed::Planned(Fault::Stop));
        }
        if self.plan.is_none() && self.limit.is_none() {
            self.counted.add(Op::Write);
            return Ok(self.node(number)?.write(at, bytes)?);
        }
        let node = self.node(number)?;
        let end = at + bytes.len() as u64;
        let (path, grows) = (node.path.clone(), end.saturating_sub(node.len()));
        let passed = self.pass(Op::Write, &path, at, bytes.len() as u64, grows);
        let died = self.dead;
        let node = self.node(number)?;
        if died {
            node.begin(at, bytes);
        }
        passed?;
        Ok(node.write(at, bytes)?)
    }

    pub(crate) fn resize(&mut self, number: u64, len: u64) -> Result<()> {
        let node = self.node(number)?;
        let (path, old_len) = (node.path.clone(), node.len());
        self.pass(Op::Resize, &path, len, 0, len.saturating_sub(old_len))?;
        Ok(self.node(number)?.resize(len)?)
    }

    /// The first sync of a new file syncs its folder too, as SQLite's own VFS does.
    pub(crate) fn sync(&mut self, number: u64) -> Result<()> {
        let path = self.node(number)?.path.clone();
        self.pass(Op::Sync, &path, 0, 0, 0)?;
        if self.lies {
            return Ok(());
        }
        let node = self.node(number)?;
        node.sync();
        if std::mem::take(&mut node.is_new) {
            self.sync_folder(path.parent());
        }
        Ok(())
    }

    fn sync_folder(&mut self, folder: Option<&Path>) {
        self.name_changes.retain(|change| {
            let (NameChange::Made { path, .. } | NameChange::Gone { path, .. }) = change;
            path.parent() != folder
        });
        let mut done = Vec::new();
        for (&number, node) in &mut self.nodes {
            if node.path.parent() == folder {
                node.is_new = false;
                if node.open.is_empty() && node.is_synced() {
                    done.push(number);
                }
            }
        }
        for number in done {
            self.forget(number);
        }
    }

    /// False: there is no such file.
    pub(crate) fn delete(&mut self, path: &Path, sync_folder: bool) -> Result<bool> {
        if self.dead {
            return Err(Failed::Planned(Fault::Stop));
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.pass(Op::Delete, path, 0, 0, 0)?;
        let mode = file.metadata()?.permissions().mode();
        fs::remove_file(path)?;
        // Under its number it lives on: it may come back.
        self.names.remove(path);
        let path = path.to_owned();
        if sync_folder {
            self.sync_folder(path.parent());
        } else {
            self.name_changes.push(NameChange::Gone { path, file, mode });
        }
        Ok(true)
    }

    /// Whether another file, or none, has its name now.
    pub(crate) fn has_moved(&mut self, number: u64) -> bool {
        let Ok(node) = self.node(number) else { return true };
        fs::metadata(&node.path).map_or(true, |meta| meta.ino() != node.inode)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    fn settle(&mut self) {
        self.name_changes.clear();
        for node in self.nodes.values_mut() {
            node.sync();
            node.is_new = false;
        }
        self.forget_closed();
    }

    fn forget_closed(&mut self) {
        let closed = self.nodes.iter().filter(|(_, node)| node.open.is_empty());
        let closed: Vec<u64> = closed.map(|(&number, _)| number).collect();
        for number in closed {
            let node = self.nodes.get(&number);
            if node.is_some_and(|node| node.is_synced() && !node.is_new) {
                self.forget(number);
            }
        }
    }

    fn crash(&mut self, crash: Crash, seed: u64) -> io::Result<()> {
        if let Some(node) = self.nodes.values().find(|node| !node.open.is_empty()) {
            let name = node.path.display();
            return Err(io::Error::new(ErrorKind::ResourceBusy, format!("{name} is open")));
        }
        self.plan = None;
        self.room = None;
        self.dead = false;
        let mut tear = match crash {
            Crash::Kill => {
                for node in self.nodes.values_mut() {
                    node.kill();
                }
                self.forget_closed();
                return Ok(());
            }
            Crash::LoseUnsynced => None,
            Crash::Torn => Some(Tear::new(seed)),
        };
        // In the order in which they were opened, so that a seed is a seed.
        let mut numbers: Vec<u64> = self.nodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.lose(tear.as_mut())?;
            }
        }
        // A file system keeps the order in which names come and go.
        let kept = tear.map_or(0, |mut tear| tear.prefix(self.name_changes.len()));
        for change in self.name_changes.drain(..).skip(kept).rev() {
            match change {
                NameChange::Made { path, inode } => {
                    if fs::metadata(&path).is_ok_and(|meta| meta.ino() == inode) {
                        fs::remove_file(path)?;
                    }
                }
                NameChange::Gone { path, mut file, mode } => {
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).mode(mode);
                    // Where something else has its name now, it was made outside of SQLite.
                    if let Ok(mut again) = options.open(path) {
                        io::copy(&mut file, &mut again)?;
                    }
                }
            }
        }
        self.nodes.clear();
        self.names.clear();
        Ok(())
    }
}
