//! The writer's thread: the only place where an account's file is written.
//!
//! 1. Writes of the app queue up while the disk works; all that are there go into one transaction
//!    and share its fsync.
//! 2. Then one storage step of the drain, if one waits: the user's writes go before a pulled page.
//! 3. After the commit, what changed is published; then the callers are answered.
//! 4. When the write-ahead log has grown beyond its bound, readers are asked to step aside for a
//!    moment, so that not even a long one can keep it from being moved into the file.

use super::{
    hub::Hub,
    inbox::{Inbox, Work},
    readers::Readers,
};
use crate::{
    change::Changes,
    db::{Db, Job, Write},
    drain::{Step, StepDone, carry_out},
    error::{Error, Result},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Writes that share a commit, at most: a burst must not keep its first caller waiting for long.
const GROUP: usize = 512;

/// Writes of the app between two looks at the size of the write-ahead log, some hundred KiB: a look after
/// each would cost a set a seventh of its CPU time.
const LOOK: usize = 16;

type UserJob = Box<dyn Job + Send>;

type DrainStep = (Step, oneshot::Sender<StepDone>);

/// Where work for the writer is left.
pub(super) struct Writer {
    inbox: Inbox<UserJob, DrainStep>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(super) fn start(db: Db, hub: Arc<Hub>, readers: Option<Arc<Readers>>) -> Result<Arc<Self>> {
        let writer = Arc::new(Self {
            inbox: Inbox::default(),
            thread: Mutex::default(),
        });
        let worker = Arc::clone(&writer);
        let thread = std::thread::Builder::new()
            .name("keepsync-writer".to_owned())
            .spawn(move || worker.run(db, &hub, readers.as_deref()))
            .map_err(|_| Error::Internal("the writer's thread cannot be started".to_owned()))?;
        *lock(&writer.thread) = Some(thread);
        Ok(writer)
    }

    /// Runs `f` in a transaction that others may share.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        f: impl FnMut(&mut Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job = Closure {
            f,
            result: None,
            answer: Some(answer),
        };
        if !self.inbox.job(Box::new(job)) {
            return Err(Error::Closed);
        }
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Carries a storage step of the drain out.
    pub(super) async fn step(&self, step: Step) -> StepDone {
        let (answer, answered) = oneshot::channel();
        if !self.inbox.step((step, answer)) {
            return StepDone::Failed {
                code: Error::Closed.code(),
            };
        }
        answered.await.unwrap_or(StepDone::Failed {
            code: Error::Closed.code(),
        })
    }

    /// Takes no more work. What was accepted before is still done.
    pub(super) fn close(&self) {
        self.inbox.close();
    }

    /// Waits until the file is closed. Not on an async thread.
    pub(super) fn join(&self) {
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // A writer that panicked has closed its file too.
            let _ = thread.join();
        }
    }

    fn run(&self, mut db: Db, hub: &Hub, readers: Option<&Readers>) {
        let bound = db.settings().wal_bytes;
        let mut since_look = 0;
        while let Some(work) = self.inbox.take(GROUP) {
            let (jobs, step) = match work {
                Work::Jobs(jobs) => (jobs, None),
                Work::Step(step) => (Vec::new(), Some(step)),
            };
            let written = jobs.len();
            if written > 0 {
                db.write_group(jobs, |changes| hub.publish(changes));
            }
            let stepped = step.is_some();
            if let Some((step, answer)) = step {
                // What it had begun is rolled back by the next transaction.
                let (done, changes) = catch_unwind(AssertUnwindSafe(|| carry_out(&mut db, step)))
                    .unwrap_or_else(|_| (StepDone::Failed { code: "internal" }, Changes::default()));
                hub.publish(&changes);
                // Nobody waits for a step of a drain that was closed.
                let _ = answer.send(done);
            }
            since_look += written;
            if let Some(readers) = readers
                && (since_look >= LOOK || stepped)
                && {
                    since_look = 0;
                    db.wal_bytes() > bound
                }
            {
                readers.while_aside(|| {
                    // It is tried again after the next commit.
                    let _ = db.checkpoint();
                });
            }
        }
        // Without it an earlier time is told; nothing else depends on it.
        let _ = db.keep_synced_at();
        // Before the writer's own connection: the last one moves the log into the file, and a reader
        // cannot.
        if let Some(readers) = readers {
            readers.close();
        }
    }
}

struct Closure<F, T> {
    f: F,
    result: Option<Result<T>>,
    answer: Option<oneshot::Sender<Result<T>>>,
}

impl<F, T> Job for Closure<F, T>
where
    F: FnMut(&mut Write<'_>) -> Result<T>,
{
    fn run(&mut self, write: &mut Write<'_>) -> Result<()> {
        let f = &mut self.f;
        // The transaction is rolled back to before the job, so nothing half-done is seen.
        let result = catch_unwind(AssertUnwindSafe(|| f(write)))
            .unwrap_or_else(|_| Err(Error::Internal("a write panicked; nothing of it happened".to_owned())));
        let ran = result.as_ref().map(|_| ()).map_err(Error::clone);
        self.result = Some(result);
        ran
    }

    fn finish(mut self: Box<Self>, commit: Result<()>) {
        let result = match (commit, self.result.take()) {
            // What failed by itself keeps its own reason.
            (_, Some(Err(error))) => Err(error),
            (Err(error), _) => Err(error),
            (Ok(()), Some(done)) => done,
            (Ok(()), None) => Err(Error::Internal("the write was not run".to_owned())),
        };
        if let Some(answer) = self.answer.take() {
            // A caller that has gone away does not take its write with it.
            let _ = answer.send(result);
        }
    }
}
