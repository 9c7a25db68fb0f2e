//! Who is told what changed.
//!
//! 1. After a commit the core marks what it changed; a task of each listener's wakes.
//! 2. It gathers everything that was marked since the last time, and calls the listener once, on a thread where it
//!    may take its time. Never more than once in 16 ms, and never while a call is under way: what changes meanwhile
//!    is one more call.
//! 3. The app reads what it wants to show.
//!
//! A listener that throws is called the next time as ever. One that hangs hears nothing more, and holds up nobody.
//! When the store is closed for good it is told so, and let go. Suspended in between, the store tells it on resuming
//! that anything may have changed.

use crate::{
    Store,
    error::Result,
    host::HostError,
    mirror::Out,
    runtime::{aside, runtime},
    store::State,
    sync::Status,
};
use keepsync::store::Feed;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch::Receiver, task::AbortHandle, time::sleep};

/// What changed since the last call. Never the content.
#[derive(Debug, Clone, Default, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Changes {
    /// Collections with changed records.
    pub collections: Vec<String>,
    /// Whether the queue changed.
    pub queue: bool,
    /// Whether a conflict was opened, refreshed or settled.
    pub conflicts: bool,
    /// Whether there is something to tell the user, or less.
    pub notices: bool,
    /// Whether a session was started, changed or ended.
    pub sessions: bool,
    /// What is going on, if it is something else than before. With the first call: as it is.
    pub status: Option<Status>,
    /// The store was closed: nothing more will come.
    pub closed: bool,
}

/// Is told what changed.
#[uniffi::export(foreign)]
pub trait Listener: Send + Sync {
    /// Something changed.
    fn changed(&self, changes: Changes) -> std::result::Result<(), HostError>;
}

/// The tasks of a store's listeners.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<(i64, HashMap<i64, AbortHandle>)>);

impl Listeners {
    fn add(&self, task: AbortHandle) -> i64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.1.retain(|_, task| !task.is_finished());
        all.0 += 1;
        let number = all.0;
        all.1.insert(number, task);
        number
    }

    fn remove(&self, number: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = all.1.remove(&number) {
            task.abort();
        }
    }
}

const FRAME: Duration = Duration::from_millis(16);

#[uniffi::export]
impl Store {
    /// Tells `listener` from now on what changes; at first what the status is. Gives a number for `unlisten`.
    pub async fn listen(&self, listener: Arc<dyn Listener>) -> Result<i64> {
        // Here, not in the task: what is committed once this has returned is told, however late the task begins.
        let first = self.open_now().and_then(|core| Some((core.feed().ok()?, core)));
        let task = runtime()?.spawn(tell(self.states(), listener, first));
        Ok(self.listeners().add(task.abort_handle()))
    }

    /// Tells the listener of this number nothing more. One that is not there is no error.
    pub fn unlisten(&self, listener: i64) -> Result<()> {
        self.listeners().remove(listener);
        Ok(())
    }
}

async fn tell(mut states: Receiver<State>, listener: Arc<dyn Listener>, mut first: Option<(Feed, keepsync::Store)>) {
    let mut told: Option<Status> = None;
    // Once per life of the file: after a suspension there is another core.
    loop {
        let (core, mut feed, mut changed) = match first.take() {
            Some((feed, core)) => (core, feed, None),
            None => {
                let Some(core) = next_core(&mut states).await else {
                    let closed = Changes {
                        closed: true,
                        ..Changes::default()
                    };
                    call(&listener, closed).await;
                    return;
                };
                let Ok(feed) = core.feed() else {
                    return;
                };
                let everything = feed.everything();
                (core, feed, Some(everything))
            }
        };
        loop {
            let status: Option<Status> = core.status().await.ok().map(Out::out);
            let news = status.clone().filter(|status| told.as_ref() != Some(status));
            if changed.as_ref().is_some_and(|changes| !changes.is_empty()) || news.is_some() {
                told = status.or(told);
                call(&listener, changes(changed.take().unwrap_or_default(), news)).await;
                sleep(FRAME).await;
            }
            match feed.next().await {
                Ok(next) => changed = Some(next),
                // Not at once again, should the core have been closed behind our back.
                Err(_) => break sleep(FRAME).await,
            }
        }
    }
}

/// The store's core, once it has one. `None`: closed for good.
async fn next_core(states: &mut Receiver<State>) -> Option<keepsync::Store> {
    loop {
        match &*states.borrow_and_update() {
            State::Open(core) => return Some(core.clone()),
            State::Suspended => {}
            State::Closed => return None,
        }
        states.changed().await.ok()?;
    }
}

fn changes(core: keepsync::change::Changes, status: Option<Status>) -> Changes {
    Changes {
        collections: core.collections.into_iter().collect(),
        queue: core.queue,
        conflicts: core.conflicts,
        notices: core.notices,
        sessions: core.sessions,
        status,
        closed: false,
    }
}

async fn call(listener: &Arc<dyn Listener>, changes: Changes) {
    let listener = Arc::clone(listener);
    // What it throws is its own affair.
    let _ = aside(move || listener.changed(changes)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accounts, CollectionOptions, Direction, Host, Options, Policy};
    use std::sync::Barrier;
    use tokio::time::{Instant, timeout};

    struct Told(Mutex<Vec<Changes>>);

    impl Listener for Told {
        fn changed(&self, changes: Changes) -> std::result::Result<(), HostError> {
            self.0.lock().unwrap().push(changes);
            Ok(())
        }
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < end, "{what}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// One at a time: they take the threads of the one runtime.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    async fn opened(folder: &tempfile::TempDir) -> Arc<Store> {
        let notes = CollectionOptions {
            name: "note".to_owned(),
            policy: Policy::LastWriteWins,
            parent: None,
            indexes: Vec::new(),
            priority: 0,
            direction: Some(Direction::Local),
            sending: None,
            first_sync: None,
            on_rejected: None,
            groups: Vec::new(),
            same_when: Vec::new(),
            without_deletes: false,
            settles_itself: false,
            announce_changes: false,
        };
        let options = Options {
            folder: folder.path().to_string_lossy().into_owned(),
            collections: vec![notes],
            backend: None,
            settings: None,
            device_id: None,
        };
        let accounts = Accounts::new(options, Host::default()).unwrap();
        accounts.open("ada".to_owned()).await.unwrap()
    }

    /// Keeps both of the runtime's threads busy until somebody waits at the gate.
    async fn busy_workers() -> Arc<Barrier> {
        let gate = Arc::new(Barrier::new(3));
        let busy = Arc::new(Mutex::new(0));
        for _ in 0..2 {
            let (gate, busy) = (Arc::clone(&gate), Arc::clone(&busy));
            runtime().unwrap().spawn(async move {
                *busy.lock().unwrap() += 1;
                gate.wait();
            });
        }
        until("the workers are busy", || *busy.lock().unwrap() == 2).await;
        gate
    }

    #[tokio::test]
    async fn what_is_written_right_after_listening_is_told() {
        let _alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder).await;
        let core = store.core().await.unwrap();
        // So that the listener's task begins late.
        let gate = busy_workers().await;
        let told = Arc::new(Told(Mutex::default()));
        let listener: Arc<dyn Listener> = told.clone();
        store.listen(listener).await.unwrap();
        let written = timeout(Duration::from_secs(20), core.put("note", "n1", "{}")).await;
        gate.wait();
        written.unwrap().unwrap();

        until("it is told", || {
            let told = told.0.lock().unwrap();
            told.iter().any(|changes| changes.collections == ["note"])
        })
        .await;
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_blocking_call_needs_no_thread_of_the_runtime() {
        let _alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder).await;
        let gate = busy_workers().await;
        let (done, is_done) = tokio::sync::oneshot::channel();
        let calls = Arc::clone(&store);
        std::thread::spawn(move || {
            let name = || ("note".to_owned(), "n1".to_owned());
            let ((note, id), (also, same)) = (name(), name());
            let written = calls.put_blocking(note, id, "{}".to_owned());
            let _ = done.send(written.and_then(|_| calls.get_blocking(also, same)));
        });
        let read = timeout(Duration::from_secs(20), is_done).await;
        gate.wait();
        assert!(read.unwrap().unwrap().unwrap().is_some());
        store.close().await.unwrap();
    }
}
