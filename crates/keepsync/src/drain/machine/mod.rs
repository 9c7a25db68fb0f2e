//! The drain as a machine: `(state, event) -> (state, instructions)`. Pure: time comes with each
//! event, randomness with each event, storage and network are instructions.
//!
//! At most one [`Instruction::Step`] or [`Instruction::Request`] is open at a time; its answer comes
//! back as an event. Late answers of requests that were given up carry an old number and are thrown
//! away.

mod answers;
mod pass;
mod patience;
mod silence;
mod wake;

use pass::Pass;
use patience::Patience;
use silence::Silence;

use super::{
    Backoff, Cancelled, Half, HalfResult, Report, Snapshot, Trigger,
    schedule::{Limits, Rules, Schedule},
    step::{PassEnd, Release, Step, StepDone},
};
use crate::{
    conflict::{self, Unresolved},
    env::Now,
    planted::{self, Bug},
    queue::{Flight, Rejection, SettleReport},
    remote::{Capabilities, Fault, PullPage, PullRequest, PushAnswer, PushBatch, TokenFault},
    settings::{AfterLast, Order, Settings},
};
use std::collections::{HashMap, HashSet, VecDeque};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A reason to drain.
    Wake(Trigger),
    /// The platform says there is no network. A hint: it does not stop a request under way.
    NetworkLost,
    /// The app came to the foreground, or left it: the interval timer runs while it is active.
    Active(bool),
    /// Whether the app needs a collection that has never been pulled whole: on opening, and when the user
    /// goes on without it.
    NeedsFirstSync(bool),
    /// The timer that was asked for fired.
    Timer,
    /// Whoever drains wants it to stop.
    Cancel,
    /// The storage step is done.
    Stepped(StepDone),
    /// A request was answered. `request` is its number.
    Answered {
        /// The number of the request.
        request: u64,
        /// The answer.
        answer: Answer,
    },
}

/// What came back from the network.
#[derive(Debug)]
pub enum Answer {
    /// To [`Request::Pull`].
    Pulled(Result<PullPage, Fault>),
    /// To [`Request::Push`].
    Pushed(Result<PushAnswer, Fault>),
    /// To [`Request::Probe`].
    Probed(Result<(), Fault>),
    /// To [`Request::Refresh`].
    Refreshed(Result<(), TokenFault>),
    /// To [`Request::Resolve`]; a message for a person if it failed.
    Resolved(conflict::Answer),
}

/// What the runner has to do.
#[derive(Debug)]
pub enum Instruction {
    /// Carry out a storage step and bring [`Event::Stepped`].
    Step(Step),
    /// Send a request and bring [`Event::Answered`] with its number.
    Request {
        /// Its number.
        request: u64,
        /// What to send.
        what: Request,
    },
    /// Give up the open request. Its answer, should it still come, is thrown away.
    Abandon,
    /// Bring [`Event::Timer`] at this tick; replaces the timer before. `None`: no timer.
    Timer(Option<u64>),
    /// A pass is over: tell everyone who asked for it.
    Finished(Report),
}

/// A request over the network.
#[derive(Debug)]
pub enum Request {
    /// Fetch a page.
    Pull(PullRequest),
    /// Send a batch.
    Push(PushBatch),
    /// Is the backend there?
    Probe,
    /// The token was refused: get another.
    Refresh,
    /// Not over the network: let the app's resolver decide a conflict
    /// ([`consult`](crate::conflict::consult)), outside of the storage, within
    /// [`Settings::resolver_ms`].
    Resolve(Box<Unresolved>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Unknown,
    Online,
    Offline,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// A storage step is open.
    Storing(Storing),
    /// A request is open.
    Asking(u64, Asking),
}

#[derive(Debug)]
enum Storing {
    Release,
    PreparePull,
    ApplyPage,
    Unresolved,
    Resolve,
    Schedule,
    Claim,
    Settle(Flight),
    Postpone(Vec<i64>),
    Finish,
}

#[derive(Debug)]
enum Asking {
    Pull,
    Push(Flight),
    /// While offline: is the backend there again?
    Probe(Trigger),
    /// After a timeout: was it the network, or the request?
    ProbeAfterTimeout(Half, Option<Flight>),
    /// A request was given up because nothing was heard of it: is the backend there?
    ProbeAfterSilence(Half),
    Refresh(Half),
    /// The app's resolver.
    Resolve(Box<Unresolved>),
}

/// The drain of one account. See the [module](super).
#[derive(Debug)]
pub struct Drain {
    settings: Settings,
    rules: Rules,
    capabilities: Capabilities,
    phase: Phase,
    pass: Option<Pass>,
    link: Link,
    active: bool,
    cancelled: bool,
    sign_in_needed: bool,
    storage_failed: Option<&'static str>,
    backend_suspect: bool,
    throttled_until: u64,
    /// A pass was ended or refused by that floor, and is made up for once the floor has passed: what it
    /// left has no time of its own.
    owed: bool,
    /// Who was refused meanwhile, if what they let go has not been let go yet.
    owed_to: Option<Trigger>,
    pull_backoff: Backoff,
    push_backoff: Backoff,
    batch_count: usize,
    /// The disk was full in this pass: batches do not grow in it.
    tight: bool,
    page: u32,
    requests: u64,
    fresh_writes: bool,
    write_due: Option<u64>,
    next_due: Option<u64>,
    next_interval: Option<u64>,
    probe_at: Option<u64>,
    released_at: Option<u64>,
    joined: Option<Trigger>,
    last_synced_at: Option<i64>,
    first_sync: Patience,
    silence: Silence,
    /// Entries that were put off because their request was not answered, until a probe tells that the network
    /// is back.
    unanswered: Vec<i64>,
}

impl Drain {
    /// A drain that has done nothing yet. `throttled_until` is the stored floor of an earlier life.
    pub fn new(settings: Settings, rules: Rules, capabilities: Capabilities, throttled_until: u64) -> Self {
        Self {
            batch_count: settings.batch_count.max(1),
            tight: false,
            page: settings.pull_page.max(1),
            rules,
            capabilities,
            phase: Phase::Idle,
            pass: None,
            link: Link::Unknown,
            active: false,
            cancelled: false,
            sign_in_needed: false,
            storage_failed: None,
            backend_suspect: false,
            throttled_until,
            owed: false,
            owed_to: None,
            pull_backoff: Backoff::default(),
            push_backoff: Backoff::default(),
            requests: 0,
            fresh_writes: false,
            write_due: None,
            next_due: None,
            next_interval: None,
            probe_at: None,
            released_at: None,
            joined: None,
            last_synced_at: None,
            first_sync: Patience::new(settings.first_sync_limit_ms),
            silence: Silence::default(),
            unanswered: Vec::new(),
            settings,
        }
    }

    /// Takes an event in, gives instructions out. `unit` is a uniform number in `0..1`, for jitter.
    pub fn handle(&mut self, event: Event, now: Now, unit: f64) -> Vec<Instruction> {
        let mut out = Vec::new();
        let at = At { now, unit };
        match event {
            Event::Wake(trigger) => self.wake(trigger, at, &mut out),
            Event::NetworkLost => {
                if matches!(self.phase, Phase::Idle) {
                    self.go_offline(at);
                }
            }
            Event::Active(active) => {
                self.active = active;
                self.next_interval = active.then(|| now.tick_ms + self.settings.active_interval_ms);
            }
            Event::NeedsFirstSync(needed) => self.first_sync.page_came(needed, now.tick_ms),
            Event::Timer => self.timer(at, &mut out),
            Event::Cancel => self.cancel(Cancelled::Caller, at, &mut out),
            Event::Stepped(done) => self.stepped(done, at, &mut out),
            Event::Answered { request, answer } => self.answered(request, answer, at, &mut out),
        }
        out.push(Instruction::Timer(self.next_timer()));
        out
    }

    /// What there is to tell of it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            storage_full: self.storage_failed == Some("storage_full"),
            sign_in_needed: self.sign_in_needed,
            progress: self.pass.as_ref().map(|pass| (pass.done, pass.total.max(pass.done))),
            offline: self.link == Link::Offline,
            backend_suspect: self.backend_suspect,
            nothing_before: self
                .throttled_until
                .max(self.pull_backoff.until)
                .max(self.push_backoff.until),
            next_due: self.next_due,
            stalled: self.first_sync.is_stalled(),
            last_synced_at: self.last_synced_at,
            elsewhere: false,
        }
    }

    /// Whether passes start by themselves.
    pub fn is_automatic(&self) -> bool {
        self.settings.automatic
    }

    /// Whether a pass is under way.
    pub fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }
}

#[derive(Debug, Clone, Copy)]
struct At {
    now: Now,
    unit: f64,
}

#[cfg(test)]
mod tests;
