//! A store, as the app holds it: the core's, which may be away while the app is suspended.
//!
//! # Suspending
//! 1. The drain under way is cancelled, calls that have begun come to their end, the file is closed: no lock of it is
//!    held while the system may stop the process.
//! 2. [`Store::resume`], or any call, opens it again. Nothing fails for having come in between.
//!
//! Stopped anywhere: what was written is on the disk, as ever.
//!
//! # Closing
//! For good: further calls answer `closed`, listeners are told. Letting go of the handle closes nothing: a garbage
//! collector's whim must not end a store that a newer handle of the same store still uses.

use crate::{
    error::{KeepsyncError, Result},
    installation::Installation,
    listen::Listeners,
    mirror::{Out, record},
    runtime::{Work, aside, run, run_here, run_while_asked, runtime},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, watch};

record! {
    /// What was saved from a file that was found damaged.
    Salvage from keepsync::db::Salvage {
        /// Where the damaged file is now.
        set_aside: String,
        /// Unsent writes carried over.
        entries: i64,
        /// Key-value pairs carried over.
        pairs: i64,
        /// Records carried over that no pull brings.
        records: i64,
        /// Whether all of these and all sessions could be read.
        whole: bool,
    }
}

type Entered<'a> = (keepsync::Store, Option<RwLockReadGuard<'a, ()>>);

type Ask<T> = Box<dyn FnOnce(keepsync::Store) -> Work<keepsync::Result<T>> + Send>;

fn boxed<T, F>(ask: impl FnOnce(keepsync::Store) -> F + Send + 'static) -> Ask<T>
where
    F: Future<Output = keepsync::Result<T>> + Send + 'static,
{
    Box::new(move |core| Box::pin(ask(core)))
}

// Functions of their own, so that their code is there once for each answer and not once for each call.

fn asked<T, U>(store: Result<Arc<Store>>, ask: Ask<T>) -> Work<Result<U>>
where
    T: Out<U> + Send + 'static,
    U: Send + 'static,
{
    Box::pin(async move {
        let store = store?;
        let (core, _under_way) = store.enter().await?;
        Ok(ask(core).await?.out())
    })
}

fn awaited<T, U>(store: Result<Arc<Store>>, ask: Ask<T>) -> Work<Result<U>>
where
    T: Out<U> + Send + 'static,
    U: Send + 'static,
{
    run_while_asked(async move { Ok(ask(store?.core().await?).await?.out()) })
}

#[derive(Clone)]
pub(crate) enum State {
    Open(keepsync::Store),
    Suspended,
    Closed,
}

/// An account's store. Reads and writes never wait for the network; what does says so.
#[derive(uniffi::Object)]
pub struct Store {
    itself: Weak<Self>,
    account: String,
    device_id: String,
    installation: Arc<Installation>,
    state: watch::Sender<State>,
    /// Held while the file is opened or closed.
    turn: Mutex<()>,
    /// Held by calls that are to come to their end before the file is closed.
    under_way: RwLock<()>,
    listeners: Listeners,
}

impl Store {
    pub(crate) fn new(installation: Arc<Installation>, core: keepsync::Store) -> Result<Arc<Self>> {
        let store = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            account: core.account().to_owned(),
            device_id: core.device_id().to_owned(),
            installation,
            state: watch::Sender::new(State::Open(core)),
            turn: Mutex::default(),
            under_way: RwLock::default(),
            listeners: Listeners::default(),
        });
        runtime()?.spawn(watch_network(
            Arc::downgrade(&store),
            store.states(),
            store.installation.host().follow(),
        ));
        Ok(store)
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Whether the core's store is open, as far as the core knows.
    pub(crate) fn is_core_open(&self) -> bool {
        self.open_now().is_some_and(|core| core.is_open())
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(&*self.state.borrow(), State::Closed)
    }

    /// The core's store, opened again if it was away.
    pub(crate) async fn core(&self) -> Result<keepsync::Store> {
        if let State::Open(core) = &*self.state.borrow() {
            return Ok(core.clone());
        }
        let _turn = self.turn.lock().await;
        match &*self.state.borrow() {
            State::Open(core) => return Ok(core.clone()),
            State::Closed => return Err(KeepsyncError::closed()),
            State::Suspended => {}
        }
        let core = self.installation.open_core(&self.account).await?;
        self.state.send_replace(State::Open(core.clone()));
        Ok(core)
    }

    /// Closes the core's store, and says why it is away.
    async fn leave(&self, next: State) -> Result<()> {
        let _turn = self.turn.lock().await;
        let before = self.state.borrow().clone();
        if matches!(before, State::Closed) {
            return Ok(());
        }
        if let State::Open(core) = &before {
            core.cancel();
        }
        let _all_done = self.under_way.write().await;
        self.state.send_replace(next);
        match before {
            State::Open(core) => Ok(core.close().await?),
            _ => Ok(()),
        }
    }

    fn shared(&self) -> Result<Arc<Self>> {
        self.itself.upgrade().ok_or_else(KeepsyncError::closed)
    }

    /// Asks the core, to the end: whoever gives up on this side changes nothing.
    pub(crate) fn call<T, U, F>(&self, ask: impl FnOnce(keepsync::Store) -> F + Send + 'static) -> Work<Result<U>>
    where
        T: Out<U> + Send + 'static,
        U: Send + 'static,
        F: Future<Output = keepsync::Result<T>> + Send + 'static,
    {
        run(asked(self.shared(), boxed(ask)))
    }

    /// The same, while the caller's thread waits.
    pub(crate) fn call_here<T, U, F>(&self, ask: impl FnOnce(keepsync::Store) -> F + Send + 'static) -> Result<U>
    where
        T: Out<U> + Send + 'static,
        U: Send + 'static,
        F: Future<Output = keepsync::Result<T>> + Send + 'static,
    {
        run_here(asked(self.shared(), boxed(ask)))
    }

    /// The core's store, and what keeps it from being closed meanwhile.
    fn enter(&self) -> Pin<Box<dyn Future<Output = Result<Entered<'_>>> + Send + '_>> {
        Box::pin(async {
            let under_way = self.under_way.read().await;
            if let Some(core) = self.open_now() {
                return Ok((core, Some(under_way)));
            }
            // Opening again waits for whoever closes, and that one for what is under way.
            drop(under_way);
            Ok((self.core().await?, None))
        })
    }

    /// Asks what may take for ever: who gives up on this side ends it, and so does closing the file.
    pub(crate) fn wait<T, U, F>(&self, ask: impl FnOnce(keepsync::Store) -> F + Send + 'static) -> Work<Result<U>>
    where
        T: Out<U> + Send + 'static,
        U: Send + 'static,
        F: Future<Output = keepsync::Result<T>> + Send + 'static,
    {
        awaited(self.shared(), boxed(ask))
    }

    /// Tells the core something that it need not hear while it is away.
    pub(crate) fn tell(&self, tell: impl FnOnce(&keepsync::Store)) -> Result<()> {
        match &*self.state.borrow() {
            State::Open(core) => tell(core),
            State::Suspended => {}
            State::Closed => return Err(KeepsyncError::closed()),
        }
        Ok(())
    }

    pub(crate) fn open_now(&self) -> Option<keepsync::Store> {
        match &*self.state.borrow() {
            State::Open(core) => Some(core.clone()),
            _ => None,
        }
    }

    pub(crate) async fn close_for_good(&self) -> Result<()> {
        self.leave(State::Closed).await?;
        self.installation.forget(self);
        Ok(())
    }

    /// The core has closed the file by itself.
    pub(crate) fn was_closed(&self, for_good: bool) {
        self.state
            .send_replace(if for_good { State::Closed } else { State::Suspended });
        if for_good {
            self.installation.forget(self);
        }
    }
}

/// Keeps the host's connectivity watching while the file is open, and no longer.
async fn watch_network(store: Weak<Store>, mut states: watch::Receiver<State>, mut host: watch::Receiver<crate::Host>) {
    let mut watching: Option<Arc<dyn crate::Connectivity>> = None;
    loop {
        let state = states.borrow_and_update().clone();
        let wanted = match &state {
            State::Open(_) => host.borrow_and_update().connectivity.clone(),
            _ => None,
        };
        let same = match (&watching, &wanted) {
            (Some(watching), Some(wanted)) => Arc::ptr_eq(watching, wanted),
            (None, None) => true,
            _ => false,
        };
        if !same {
            if let Some(before) = watching.take() {
                // What it throws is its own affair.
                let _ = aside(move || before.stop()).await;
            }
            if let Some(next) = &wanted
                && let Some(store) = store.upgrade()
            {
                let next = Arc::clone(next);
                let _ = aside(move || next.start(store)).await;
            }
            watching = wanted;
        }
        if matches!(state, State::Closed) {
            return;
        }
        drop(state);
        let news = tokio::select! {
            news = states.changed() => news,
            news = host.changed() => news,
        };
        if news.is_err() {
            return;
        }
    }
}

#[uniffi::export]
impl Store {
    /// Whose it is.
    pub fn account(&self) -> Result<String> {
        Ok(self.account.clone())
    }

    /// The installation's id.
    pub fn device_id(&self) -> Result<String> {
        Ok(self.device_id.clone())
    }

    /// What was saved if the file was found damaged while opening.
    pub async fn salvaged(&self) -> Result<Option<Salvage>> {
        self.call(|store| async move { Ok(store.salvaged().cloned()) }).await
    }

    /// Stops the drain, finishes what was accepted, closes the file. Further calls answer `closed`; unsent writes stay
    /// in the file. Closing twice is closing once.
    pub async fn close(&self) -> Result<()> {
        let store = self.shared()?;
        run(async move { store.close_for_good().await }).await
    }

    /// Stops the drain, finishes what was accepted, and lets go of the file until it is needed again: before the system
    /// stops the process. Suspending twice is suspending once.
    pub async fn suspend(&self) -> Result<()> {
        let store = self.shared()?;
        run(async move { store.leave(State::Suspended).await }).await
    }

    /// Opens the file again after a suspension, which any call does too. A drain starts.
    pub async fn resume(&self) -> Result<()> {
        let store = self.shared()?;
        run(async move { store.core().await.map(drop) }).await
    }
}
