//! The end of a story: the faults stop, and everything must come to rest.
//!
//! 1. All faults stop, every app runs, every device has its network. Nobody touches anything.
//! 2. Within a bounded time nothing is under way, and what is unsent is parked, in conflict, held for
//!    a session, or waits for one of those (*never stuck*).
//! 3. The users settle what waits for them: conflicts, refusals, sessions. After some rounds the
//!    queues are empty.
//! 4. Every device shows what the server has, and a further sync is one request that brings nothing
//!    (*converging*). Every write that returned is somewhere (*kept*), every version that was
//!    overwritten unseen is in a history (*nothing silently overwritten*).

use crate::{
    app::{self, COUNTED, NEW},
    chance::Area,
    device::ACCOUNTS,
    faults::Faults,
    net::Mood,
    oracle::{Violation, broken},
    world::World,
};
use keepsync::{
    conflict::Conflict,
    drain::{Event, HalfResult, Status, Trigger},
    queue::{Entry, EntryState, WriteOutcome},
    session::Session,
};
use std::collections::{BTreeMap, HashSet};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// The longest wait of a schedule is an hour and a fifth; then the entry goes, and its followers.
const PATIENCE: u64 = 3 * HOUR + 7 * MINUTE;
/// A settled conflict may open another, and the children of a session come after it.
const ROUNDS: usize = 12;

impl World {
    pub(crate) fn finish(&mut self) -> Result<(), Violation> {
        for account in (0..self.accounts()).rev() {
            self.heal(account)?;
            self.run_until(self.clock.now() + PATIENCE)?;
            if !self.plot.oracle_only {
                self.each(Self::check_rest)?;
            }
            let tidied = self.tidy();
            if !self.plot.oracle_only {
                tidied?;
            }
            self.settle_down()?;
            if !self.plot.oracle_only {
                self.check_converged(account)?;
                self.check_quiet()?;
                self.check_histories(account)?;
                self.each(|world, at| world.check_told(at))?;
            }
            self.write_down(account)?;
        }
        Ok(())
    }

    /// For the second oracle: how it ended for an account.
    fn write_down(&mut self, account: usize) -> Result<(), Violation> {
        for device in &self.devices {
            if let Some(app) = &device.app {
                self.oracle.witness.device(device, app)?;
            }
        }
        if let Some(there) = self.server.account(ACCOUNTS[account]) {
            self.oracle.witness.server(ACCOUNTS[account], there);
        }
        Ok(())
    }

    fn each(&mut self, mut check: impl FnMut(&mut Self, usize) -> Result<(), Violation>) -> Result<(), Violation> {
        (0..self.devices.len()).try_for_each(|at| check(self, at))
    }

    pub(crate) fn heal(&mut self, account: usize) -> Result<(), Violation> {
        self.healed = true;
        self.faults = Faults::default();
        self.mood = Mood::Good;
        self.server_down_until = 0;
        self.trace.line(
            self.clock.now(),
            format_args!("all faults stop; {} is signed in", ACCOUNTS[account]),
        );
        self.each(|world, at| {
            if world.devices[at].asleep {
                return Ok(());
            }
            world.note_prunable(at)?;
            let stays_old = world.chance.of(Area::End, at).chance(0.3);
            let device = &mut world.devices[at];
            device.token_valid = true;
            (device.cut_out_until, device.cut_in_until) = (0, 0);
            device.full = false;
            device.disk.heal();
            if device.account != account {
                device.close();
                device.account = account;
            }
            world.open(at)?;
            let device = &mut world.devices[at];
            if let Some(app) = &device.app {
                // Who has written to what only the later version knows goes back to it some time.
                let knows_new = app.inspect.records()?.iter().any(|record| record.collection == NEW);
                if device.version < app::LATEST && (knows_new || !stays_old) {
                    device.close();
                    device.version = app::LATEST;
                    world.open(at)?;
                }
            }
            world.go_online(at)?;
            let now = |world: &Self| world.status(at);
            if now(world)? == Some(Status::NeedsSignIn) {
                world.feed(at, vec![Event::Wake(Trigger::SignedIn)])?;
            }
            world.feed(at, vec![Event::Wake(Trigger::NetworkBack)])
        })?;
        self.run_until(self.clock.now() + 2 * MINUTE)?;
        self.each(|world, at| world.feed(at, vec![Event::Wake(Trigger::Foreground)]))
    }

    pub(crate) fn status(&self, at: usize) -> Result<Option<Status>, Violation> {
        let Some(app) = &self.devices[at].app else {
            return Ok(None);
        };
        let counts = app.db.read(|read| read.queue_counts())?;
        let first = !app.db.read(|read| read.needs_first_sync())?.is_empty();
        Ok(Some(app.drain.snapshot().status(&counts, first, app.db.now())))
    }

    fn entries(&self, at: usize) -> Result<Vec<Entry>, Violation> {
        match &self.devices[at].app {
            Some(app) => Ok(app.db.read(|read| read.entries(i64::MIN, 10_000))?),
            None => Ok(Vec::new()),
        }
    }

    /// Nothing is under way, and what is unsent waits for the user, and says so.
    fn check_rest(&mut self, at: usize) -> Result<(), Violation> {
        let entries = self.entries(at)?;
        let status = self.status(at)?;
        let Some(app) = &self.devices[at].app else {
            return broken("never stuck", format!("device {at} does not run"));
        };
        if app.drain.is_busy() {
            return broken("never stuck", format!("device {at} is still busy: {status:?}"));
        }
        let mut excused: HashSet<_> = HashSet::new();
        let mut waiting: Vec<&Entry> = Vec::new();
        for entry in &entries {
            if entry.state == EntryState::Waiting {
                waiting.push(entry);
            } else {
                excused.insert(entry.op);
            }
        }
        let user_needed = entries
            .iter()
            .any(|e| matches!(e.state, EntryState::Parked | EntryState::Conflict));
        // In rounds: an entry that waits for an excused one is excused.
        loop {
            let mut rest = Vec::new();
            for entry in &waiting {
                let after = app.db.read(|read| read.entry(entry.op))?.after;
                if after.iter().any(|op| excused.contains(op)) {
                    excused.insert(entry.op);
                } else {
                    rest.push(*entry);
                }
            }
            if rest.len() == waiting.len() {
                break;
            }
            waiting = rest;
        }
        if let Some(stuck) = waiting.first() {
            return broken(
                "never stuck",
                format!(
                    "device {at}: {:?} of {}/{} ({}) still waits, {} attempts, {:?}; status {status:?}",
                    stuck.kind, stuck.collection, stuck.id, stuck.op, stuck.attempts, stuck.reason
                ),
            );
        }
        match status {
            Some(Status::Idle) if !user_needed => Ok(()),
            Some(Status::NeedsAttention { .. }) if user_needed => Ok(()),
            status => broken(
                "never stuck",
                format!("device {at}: the status is {status:?}; something needs the user: {user_needed}"),
            ),
        }
    }

    /// The users settle what waits for them, until nothing does.
    fn tidy(&mut self) -> Result<(), Violation> {
        for round in 0..ROUNDS {
            let mut clean = true;
            for at in 0..self.devices.len() {
                clean &= self.tidy_one(at, round > 2)?;
                self.feed(at, vec![Event::Wake(Trigger::User)])?;
                self.run_until(self.clock.now() + MINUTE)?;
            }
            if clean {
                return Ok(());
            }
        }
        for at in 0..self.devices.len() {
            if let Some(entry) = self.entries(at)?.first() {
                return broken(
                    "never stuck",
                    format!(
                        "device {at}: {entry:?} is still unsent after {ROUNDS} rounds of users settling everything"
                    ),
                );
            }
        }
        broken("never stuck", "the users never get done".to_owned())
    }

    /// True if there was nothing to do. Who is impatient throws away what is refused again and again.
    fn tidy_one(&mut self, at: usize, impatient: bool) -> Result<bool, Violation> {
        let Some(app) = &self.devices[at].app else {
            return Ok(true);
        };
        let sessions: Vec<Session> = app.db.read(|read| read.active_sessions())?;
        let conflicts: Vec<Conflict> = app.db.read(|read| read.conflicts())?;
        let mut clean = sessions.is_empty() && conflicts.is_empty();
        let mut events = Vec::new();
        for session in sessions {
            let deed = self.hands(at).end(&session, true)?;
            let ended = !deed.events.is_empty();
            events.extend(self.done(at, deed));
            if !ended {
                // Its record may be gone; then it can still be thrown away.
                let deed = self.hands(at).discard_session(&session)?;
                events.extend(self.done(at, deed));
            }
        }
        for conflict in conflicts {
            let deed = self.hands(at).resolve(&conflict)?;
            events.extend(self.done(at, deed));
        }
        let entries = self.entries(at)?;
        clean &= entries.is_empty();
        for entry in entries.iter().filter(|entry| entry.state == EntryState::Parked) {
            // An earlier one may have taken it along.
            let now = self.entries(at)?;
            if now.iter().any(|left| left.op == entry.op) {
                let mut hands = self.hands(at);
                let deed = if impatient && entry.collection != COUNTED {
                    hands.discard(entry.op)?
                } else {
                    hands.tend(entry, &now)?
                };
                events.extend(self.done(at, deed));
            }
        }
        self.feed(at, events)?;
        Ok(clean)
    }

    /// Everyone syncs, often enough for everyone to have seen everything.
    pub(crate) fn settle_down(&mut self) -> Result<(), Violation> {
        for _ in 0..2 {
            for at in 0..self.devices.len() {
                self.feed(at, vec![Event::Wake(Trigger::User)])?;
                self.run_until(self.clock.now() + MINUTE)?;
            }
        }
        self.each(|world, at| world.check_device(at, false))
    }

    pub(crate) fn check_converged(&mut self, account: usize) -> Result<(), Violation> {
        let user = ACCOUNTS[account];
        self.each(|world, at| {
            let Some(app) = &world.devices[at].app else {
                return Ok(());
            };
            if let Some(entry) = world.entries(at)?.first() {
                return broken("converging", format!("device {at}: {entry:?} is still unsent"));
            }
            let mut here = BTreeMap::new();
            for record in app.inspect.records()? {
                here.insert((record.collection.clone(), record.id.clone()), record);
            }
            if let Some(server) = world.server.account(user) {
                let version = world.devices[at].version;
                let known = |key: &str| key != "stat" && (key != NEW || version >= app::LATEST);
                for (key, stored) in server.records().filter(|(key, _)| known(&key.0)) {
                    if let Some(body) = &stored.version.data {
                        world.oracle.check_merged(user, key, body.get(), world.sane_clocks)?;
                    }
                    let there = (
                        stored.version.version,
                        stored.version.data.as_ref().map(|data| data.get()),
                    );
                    let base = here
                        .remove(key)
                        .map(|record| (record.version, record.base_body().map(str::to_owned)));
                    let agrees = match &base {
                        Some((version, body)) => (*version, body.as_deref()) == there,
                        None => there.1.is_none(),
                    };
                    if !agrees {
                        return broken(
                            "converging",
                            format!("device {at}: the base of {key:?} is {base:?}, the server has {there:?}"),
                        );
                    }
                }
            }
            // The server may have forgotten a tombstone that a device still has.
            let is_gone = |record: &crate::inspect::RecordRow| record.body.is_none() && record.state == 0;
            here.retain(|key, record| !matches!(key.0.as_str(), "stat" | "draft") && !is_gone(record));
            match here.first_key_value() {
                Some((key, record)) => broken(
                    "converging",
                    format!("device {at}: the server has no {key:?}: {record:?}"),
                ),
                None => Ok(()),
            }
        })
    }

    /// A further sync is one request that brings nothing.
    pub(crate) fn check_quiet(&mut self) -> Result<(), Violation> {
        for at in 0..self.devices.len() {
            self.reports[at] = None;
            self.feed(at, vec![Event::Wake(Trigger::User)])?;
            self.run_until(self.clock.now() + MINUTE)?;
            match &self.reports[at] {
                Some(report) if report.requests == 1 && report.pulled == 0 && report.pull == HalfResult::Worked => {}
                report => return broken("converging", format!("device {at}: a further sync was {report:?}")),
            }
            if self.status(at)? != Some(Status::Idle) {
                return broken(
                    "never stuck",
                    format!("device {at}: at rest, the status is {:?}", self.status(at)?),
                );
            }
        }
        Ok(())
    }

    /// Whoever asks what became of a write is told.
    fn check_told(&mut self, at: usize) -> Result<(), Violation> {
        let device = &self.devices[at];
        let Some(app) = &device.app else { return Ok(()) };
        for op in self.oracle.remembered(device.user(), at) {
            let outcome = app.db.read(|read| read.outcome(op))?;
            let is_told = outcome.is_settled() && outcome != WriteOutcome::Unknown;
            if !is_told {
                return broken(
                    "never stuck in silence",
                    format!(
                        "device {at}: everything has arrived, and of {op} is told: {}",
                        outcome.code()
                    ),
                );
            }
        }
        Ok(())
    }

    pub(crate) fn check_histories(&mut self, account: usize) -> Result<(), Violation> {
        let user = ACCOUNTS[account];
        let mut lost = HashSet::new();
        for device in &self.devices {
            let Some(app) = &device.app else { continue };
            self.oracle
                .check_kept(user, device.index, &app.inspect, true)
                .map_err(|violation| Violation {
                    what: format!("device {}: {}", device.index, violation.what),
                    ..violation
                })?;
            for (_, _, body) in app.inspect.history()? {
                lost.extend(body.as_deref().and_then(crate::oracle::marker).map(str::to_owned));
            }
        }
        self.oracle.check_overwritten(user, &lost)
    }
}
