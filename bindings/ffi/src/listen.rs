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
        let task = runtime()?.spawn(tell(self.states(), listener));
        Ok(self.listeners().add(task.abort_handle()))
    }

    /// Tells the listener of this number nothing more. One that is not there is no error.
    pub fn unlisten(&self, listener: i64) -> Result<()> {
        self.listeners().remove(listener);
        Ok(())
    }
}

async fn tell(mut states: Receiver<State>, listener: Arc<dyn Listener>) {
    let mut told: Option<Status> = None;
    // Once per life of the file: after a suspension there is another core.
    loop {
        let Some(core) = next_core(&mut states).await else {
            let closed = Changes {
                closed: true,
                ..Changes::default()
            };
            call(&listener, closed).await;
            return;
        };
        let Ok(mut feed) = core.feed() else {
            return;
        };
        let mut changed = if told.is_none() { None } else { Some(feed.everything()) };
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
