//! The store: what an app holds in its hand. One per account and process; cheap to clone.
//!
//! Reads run on connections of their own, writes on one thread that lets them share an fsync, the
//! drain on tokio. Nothing the app calls waits for the network, except [`Store::sync`] and
//! [`Store::background`], which say so.
//!
//! # Several processes
//! An app and its extension may have one file open at the same time; each opens it with the same
//! collections. Both read and write as ever; one of them drains: the first that wants to, for as long as it is
//! active or a pass runs (`owner.rs`). The other's status is [`Status::Elsewhere`]; what it writes goes
//! out with the owner's passes, and it becomes the owner when the other goes.
//!
//! What the app has to do:
//! * An extension calls [`Store::foreground`] with `false` once it has opened the store, or sets
//!   [`Settings::automatic`](crate::settings::Settings::automatic) to `false`: it is never in the foreground,
//!   and would keep the app from draining. An app calls it when it leaves the foreground.
//! * Before it is suspended it ends a pass that may be under way: [`Store::background`] with a budget ends by
//!   itself, [`Store::cancel`] ends any.
//! * What another process wrote is noticed, and told to subscriptions, with the next write or drain of this
//!   one, when it comes to the foreground ([`Store::foreground`]), and every second while this one is active
//!   or waits to drain and the other was seen. To be told at once, an app's extension sends the app a
//!   notification of the platform's, and the app calls [`Store::look`].
//! * An account is wiped when no other process has it open.

mod calls;
mod confirm;
mod drainer;
mod feed;
mod first_sync;
mod hub;
mod inbox;
mod owner;
mod readers;
mod watch;
mod writer;

pub use confirm::Confirmation;
pub use feed::Feed;
pub use watch::{Subscription, Watch};

use crate::{
    db::{Db, Key, OpenOptions, Place, Read, Salvage, Write},
    diagnostics::SyncEvent,
    drain::{Drain, Event, Report, Snapshot, Status, Trigger, schedule::Rules},
    env::{Env, Ticks},
    error::{Error, Result},
    queue::QueueCounts,
    remote::{Remote, TokenProvider, Tokens},
};
use drainer::{Command, Drainer, Turn};
use hub::Hub;
use once_cell::sync::Lazy;
use owner::Owner;
use readers::Readers;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch as latest},
};
use writer::Writer;

/// An account's store. See the [module](self).
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Arc<Writer>,
    readers: Option<Arc<Readers>>,
    hub: Arc<Hub>,
    commands: Mutex<Option<mpsc::UnboundedSender<Command>>>,
    remote: Option<Arc<dyn Remote>>,
    tokens: Option<Arc<Tokens>>,
    snapshot: latest::Receiver<Snapshot>,
    runtime: Handle,
    env: Arc<dyn Env>,
    ticks: Ticks,
    account: Arc<str>,
    device_id: Arc<str>,
    salvaged: Option<Salvage>,
    key: Option<PathBuf>,
    /// What the file is encrypted with.
    file_key: Option<Key>,
}

/// The stores that are open in this process, by file: opening one again gives the same store.
static OPEN: Lazy<Mutex<HashMap<PathBuf, Weak<Inner>>>> = Lazy::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A backend and where its tokens come from.
pub struct Backend {
    /// The backend.
    pub remote: Arc<dyn Remote>,
    /// The app's sign-in; `None` for a backend that needs no token.
    pub tokens: Option<Arc<dyn TokenProvider>>,
}

impl Store {
    /// Opens the account's store, on the current tokio runtime. Without a backend everything local
    /// works and the status is `local only`. With one, a first pass starts at once.
    ///
    /// A file that is already open in this process gives the same store again, whatever else was
    /// asked for; unless it was for another account, or with another key.
    ///
    /// # Errors
    /// Those of [`Db::open`], and [`Error::Internal`] outside of a tokio runtime.
    pub async fn open(options: OpenOptions, backend: Option<Backend>) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| Error::Internal("not on a tokio runtime".to_owned()))?;
        let handle = runtime.clone();
        runtime
            .spawn_blocking(move || Self::open_blocking(options, backend, handle))
            .await
            .map_err(|_| Error::Internal("opening panicked".to_owned()))?
    }

    fn open_blocking(mut options: OpenOptions, backend: Option<Backend>, runtime: Handle) -> Result<Self> {
        options.place = followed(options.place);
        let key = options.file();
        // Held while opening, so that two openings of one file cannot both succeed.
        let mut open = lock(&OPEN);
        if let Some(inner) = key.as_ref().and_then(|key| open.get(key)).and_then(Weak::upgrade)
            && lock(&inner.commands).is_some()
        {
            return match () {
                () if *inner.account != *options.account => Err(Error::OtherAccount),
                () if inner.file_key != options.key => Err(Error::WrongKey),
                () => Ok(Self { inner }),
            };
        }
        let account = options.account.clone();
        let env = Arc::clone(&options.env);
        let resolvers = options.resolvers.clone();
        let db = Db::open(options)?;
        let shared = db.shared().clone();
        let hub = Arc::new(Hub::new(
            shared.collections.iter().map(|collection| collection.name().to_owned()),
        ));
        let readers = db
            .path()
            .map(|path| Arc::new(Readers::new(path.to_owned(), shared.clone())));
        let (ticks, salvaged) = (db.ticks(), db.salvaged().cloned());
        let owner = Owner::new(db.path());
        let throttled_until: Option<i64> = db.read(|read| read.meta("throttled_until"))?;
        let needs_first_sync = db.read(|read| Ok(!read.needs_first_sync()?.is_empty()))?;
        let writer = Writer::start(db, Arc::clone(&hub), readers.clone())?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (snapshot_out, snapshot) = latest::channel(Snapshot::default());
        let tokens = backend
            .as_ref()
            .and_then(|backend| backend.tokens.clone())
            .map(|provider| Arc::new(Tokens::new(provider, account)));
        let remote = backend.map(|backend| backend.remote);
        if let Some(remote) = &remote {
            let (settings, rules) = (Arc::clone(&shared.settings), Rules::from(&*shared.collections));
            let capabilities = remote.capabilities();
            let anew = move |throttled_until: Option<i64>| {
                let floor = throttled_until.and_then(|tick| u64::try_from(tick).ok()).unwrap_or(0);
                Drain::new((*settings).clone(), rules.clone(), capabilities, floor)
            };
            let drainer = Drainer {
                drain: anew(throttled_until),
                anew: Box::new(anew),
                owner,
                turn: Turn::default(),
                writer: Arc::clone(&writer),
                hub: Arc::clone(&hub),
                remote: Arc::clone(remote),
                tokens: tokens.clone(),
                resolvers,
                patience: Duration::from_millis(shared.settings.resolver_ms),
                env: Arc::clone(&env),
                ticks: ticks.clone(),
                snapshot: snapshot_out,
            };
            // The first commands of its life; its inbox is open.
            let _ = commands.send(Command::Event(Event::Active(true)));
            let _ = commands.send(Command::Event(Event::NeedsFirstSync(needs_first_sync)));
            let _ = commands.send(Command::Event(Event::Wake(Trigger::Foreground)));
            runtime.spawn(drainer.run(inbox));
        }
        let inner = Arc::new(Inner {
            writer,
            readers,
            hub,
            commands: Mutex::new(Some(commands)),
            remote,
            tokens,
            snapshot,
            runtime,
            env,
            ticks,
            account: Arc::clone(&shared.account),
            device_id: Arc::clone(&shared.device_id),
            salvaged,
            key: key.clone(),
            file_key: shared.key.clone(),
        });
        if let Some(key) = key {
            open.retain(|_, weak| weak.strong_count() > 0);
            open.insert(key, Arc::downgrade(&inner));
        }
        Ok(Self { inner })
    }

    /// Stops the drain, finishes what was accepted, closes the file. Further calls answer
    /// [`Error::Closed`]. Closing twice is closing once; unsent writes stay in the file.
    ///
    /// # Errors
    /// None today.
    pub async fn close(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let closing = self.inner.runtime.spawn_blocking(move || inner.shut());
        closing
            .await
            .map_err(|_| Error::Internal("closing panicked".to_owned()))
    }

    /// The store of this file, if it is open in this process.
    pub(crate) fn opened(options: &OpenOptions) -> Option<Self> {
        let options = OpenOptions {
            place: followed(options.place.clone()),
            ..options.clone()
        };
        let inner = lock(&OPEN).get(&options.file()?)?.upgrade()?;
        let store = Self { inner };
        store.is_open().then_some(store)
    }

    /// Whether it has not been closed.
    pub fn is_open(&self) -> bool {
        lock(&self.inner.commands).is_some()
    }

    /// Whose it is.
    pub fn account(&self) -> &str {
        &self.inner.account
    }

    /// The installation's id.
    pub fn device_id(&self) -> &str {
        &self.inner.device_id
    }

    /// What was saved if the file was found damaged while opening.
    pub fn salvaged(&self) -> Option<&Salvage> {
        self.inner.salvaged.as_ref()
    }

    // Reading and writing.

    /// Reads on a connection of its own. `f` may be run again if a checkpoint needed its place, so it
    /// must only look.
    ///
    /// # Errors
    /// What `f` gives; [`Error::Closed`].
    pub async fn read<T: Send + 'static>(&self, f: impl Fn(&Read<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        match &self.inner.readers {
            Some(readers) => {
                let readers = Arc::clone(readers);
                let (answer, answered) = oneshot::channel();
                // Of one type for every `f`: tokio's code for a task would be there once for each.
                let reading: Box<dyn FnOnce() + Send> = Box::new(move || {
                    // Nobody may wait for it any more.
                    let _ = answer.send(readers.read(f));
                });
                self.inner.runtime.spawn_blocking(reading);
                answered
                    .await
                    .map_err(|_| Error::Internal("a read panicked".to_owned()))?
            }
            // A file in memory has one connection, the writer's.
            None => self.inner.writer.write(move |write| f(&write.read())).await,
        }
    }

    /// Writes in one transaction, which may share its fsync with others. When this returns `Ok`, it is
    /// on the disk.
    ///
    /// # Errors
    /// What `f` gives; [`Error::StorageFull`] and its like; [`Error::Closed`]. Then nothing happened.
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl FnMut(&mut Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.inner.writer.write(f).await
    }

    // Syncing.

    /// Drains now, or joins the drain under way, and says what came of it. Waits for the network.
    /// Without a backend the report is empty.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn sync(&self) -> Result<Report> {
        self.drain(Trigger::User).await
    }

    /// Drains within a time budget, for the system's background task. Waits for the network, at most
    /// `budget_ms` milliseconds.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn background(&self, budget_ms: u64) -> Result<Report> {
        self.drain(Trigger::Background { budget_ms }).await
    }

    async fn drain(&self, trigger: Trigger) -> Result<Report> {
        let (caller, answered) = oneshot::channel();
        if !self.send(Command::Sync(trigger, caller))? {
            return Ok(Report::default());
        }
        answered.await.map_err(|_| Error::Closed)
    }

    /// Stops the drain under way. Unsent writes wait for the next.
    pub fn cancel(&self) {
        self.wake(Event::Cancel);
    }

    /// The platform says whether there is a network. A hint: only an answer of the backend is proof.
    pub fn network(&self, there: bool) {
        if !there {
            return self.wake(Event::NetworkLost);
        }
        if let Some(remote) = &self.inner.remote {
            remote.network_changed();
        }
        self.look();
        self.wake(Event::Wake(Trigger::NetworkBack));
    }

    /// The app came to the foreground, or left it.
    pub fn foreground(&self, there: bool) {
        self.wake(Event::Active(there));
        if there {
            self.look();
            self.wake(Event::Wake(Trigger::Foreground));
        }
    }

    /// Another process may have written to the file: if it did, everybody who follows something is told, and
    /// what it wrote goes out if this process is the one that drains.
    pub fn look(&self) {
        let writer = Arc::clone(&self.inner.writer);
        // Each transaction begins by looking. A store that was closed has nothing to see.
        self.inner
            .runtime
            .spawn(async move { drop(writer.write(|_| Ok(())).await) });
    }

    /// The user has signed in again: the account's queue goes on.
    pub fn signed_in(&self) {
        if let Some(tokens) = &self.inner.tokens {
            tokens.forget();
        }
        self.wake(Event::Wake(Trigger::SignedIn));
    }

    fn wake(&self, event: Event) {
        // Hints to a closed store, or to one without a backend, have nobody to reach.
        let _ = self.send(Command::Event(event));
    }

    /// False: there is no drain to tell.
    fn send(&self, command: Command) -> Result<bool> {
        let commands = lock(&self.inner.commands);
        let sender = commands.as_ref().ok_or(Error::Closed)?;
        Ok(sender.send(command).is_ok())
    }

    /// What is going on.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn status(&self) -> Result<Status> {
        if self.inner.remote.is_none() {
            return if lock(&self.inner.commands).is_some() {
                Ok(Status::LocalOnly)
            } else {
                Err(Error::Closed)
            };
        }
        let (counts, first) = self
            .read(|read| Ok((read.queue_counts()?, !read.needs_first_sync()?.is_empty())))
            .await?;
        let now = self.inner.ticks.now(&*self.inner.env);
        Ok(self.inner.snapshot.borrow().status(&counts, first, now))
    }

    /// What the drain by itself says, whatever is in the queue.
    fn drain_status(&self) -> Status {
        if self.inner.remote.is_none() {
            return Status::LocalOnly;
        }
        let now = self.inner.ticks.now(&*self.inner.env);
        self.inner.snapshot.borrow().status(&QueueCounts::default(), false, now)
    }

    /// When the last drain ended whose halves both worked: UTC milliseconds, in this process life.
    pub fn last_synced_at(&self) -> Option<i64> {
        self.inner.snapshot.borrow().last_synced_at()
    }

    // Diagnostics.

    /// Counters since the file was made.
    ///
    /// # Errors
    /// As [`Read::counters`].
    pub async fn counters(&self) -> Result<std::collections::BTreeMap<String, i64>> {
        self.read(|read| read.counters()).await
    }

    /// The last events, newest first.
    ///
    /// # Errors
    /// As [`Read::events`].
    pub async fn events(&self, limit: usize) -> Result<Vec<SyncEvent>> {
        self.read(move |read| read.events(limit)).await
    }

    /// Everything a bug report needs, without anything the user wrote.
    ///
    /// # Errors
    /// As [`Read::bundle`].
    pub async fn bundle(&self) -> Result<serde_json::Value> {
        let mut bundle = self.read(|read| read.bundle()).await?;
        bundle["status"] = self.status().await?.code().into();
        Ok(bundle)
    }

    // Subscriptions.

    /// Follows what `watch` names: the first value is the current one, then one for every change that
    /// matters, however many commits it took. Dropping the subscription ends it.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn subscribe<T>(&self, watch: Watch<T>) -> Result<Subscription<T>> {
        Subscription::new(self.clone(), watch)
    }
}

/// One file has one key, however its folder is named. A folder that cannot be made or followed is
/// explained by opening.
fn followed(place: Place) -> Place {
    let follow = |folder: &Path| {
        std::fs::create_dir_all(folder).ok()?;
        folder.canonicalize().ok()
    };
    match place {
        Place::Folder(folder) => Place::Folder(follow(&folder).unwrap_or(folder)),
        Place::File(file) => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = follow(folder.unwrap_or(Path::new(".")));
            let followed = folder.zip(file.file_name()).map(|(folder, name)| folder.join(name));
            Place::File(followed.unwrap_or(file))
        }
        Place::Memory => Place::Memory,
    }
}

impl Inner {
    fn shut(&self) {
        // The drain ends when its inbox closes; an open request is dropped with it.
        lock(&self.commands).take();
        self.writer.close();
        if let Some(readers) = &self.readers {
            readers.close();
        }
        self.writer.join();
        self.hub.touch_all();
        if let Some(key) = &self.key {
            let mut open = lock(&OPEN);
            if open.get(key).is_some_and(|weak| std::ptr::eq(weak.as_ptr(), self)) {
                open.remove(key);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Not joined: the last handle may be dropped on an async thread. The writer finishes what it
        // has accepted and closes the file by itself.
        lock(&self.commands).take();
        self.writer.close();
        if let Some(readers) = &self.readers {
            readers.close();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("device_id", &self.inner.device_id)
            .finish_non_exhaustive()
    }
}
