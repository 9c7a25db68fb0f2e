//! Work for one thread: jobs that may be done together, and steps that are done alone, when no job waits.
//!
//! 1. Whoever has work leaves it and wakes the thread. After closing nothing is taken any more.
//! 2. The thread takes as many jobs as may go together, or one step, or sleeps.
//! 3. It ends when the inbox is closed and empty: what was accepted is done.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;

struct Pending<J, S> {
    jobs: VecDeque<J>,
    steps: VecDeque<S>,
    closed: bool,
}

/// What the thread is to do next.
pub(super) enum Work<J, S> {
    /// All of these.
    Jobs(Vec<J>),
    /// This.
    Step(S),
}

pub(super) struct Inbox<J, S> {
    pending: Mutex<Pending<J, S>>,
    wake: Condvar,
}

impl<J, S> Default for Inbox<J, S> {
    fn default() -> Self {
        Self {
            pending: Mutex::new(Pending {
                jobs: VecDeque::new(),
                steps: VecDeque::new(),
                closed: false,
            }),
            wake: Condvar::new(),
        }
    }
}

impl<J, S> Inbox<J, S> {
    fn pending(&self) -> MutexGuard<'_, Pending<J, S>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: it is closed.
    #[must_use]
    pub(super) fn job(&self, job: J) -> bool {
        self.leave(|pending| pending.jobs.push_back(job))
    }

    /// False: it is closed.
    #[must_use]
    pub(super) fn step(&self, step: S) -> bool {
        self.leave(|pending| pending.steps.push_back(step))
    }

    fn leave(&self, put: impl FnOnce(&mut Pending<J, S>)) -> bool {
        {
            let mut pending = self.pending();
            if pending.closed {
                return false;
            }
            put(&mut pending);
        }
        self.wake.notify_one();
        true
    }

    /// Takes no more work.
    pub(super) fn close(&self) {
        self.pending().closed = true;
        self.wake.notify_one();
    }

    /// Waits for work: at most so many jobs, or one step if there is no job. `None`: closed, and all is done.
    /// For one thread only.
    pub(super) fn take(&self, most: usize) -> Option<Work<J, S>> {
        let mut pending = self.pending();
        while pending.jobs.is_empty() && pending.steps.is_empty() && !pending.closed {
            pending = self.wake.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        let share = pending.jobs.len().min(most);
        if share > 0 {
            return Some(Work::Jobs(pending.jobs.drain(..share).collect()));
        }
        pending.steps.pop_front().map(Work::Step)
    }
}
