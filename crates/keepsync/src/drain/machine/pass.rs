//! One pass, half by half, step by step.

use super::*;

/// An entry whose conflict a policy settles is sent again at most this often in one pass.
pub(super) const MOST_REBASES: u32 = 3;

/// A pass that claims nothing this often disagrees with its own schedule; it ends rather than spins.
const MOST_EMPTY_CLAIMS: u32 = 20;

/// One pass.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) trigger: Trigger,
    pub(super) halves: VecDeque<Half>,
    pub(super) half: Half,
    pub(super) report: Report,
    pub(super) schedule: Schedule,
    pub(super) skip: HashSet<i64>,
    pub(super) rebased: HashMap<i64, u32>,
    /// How often the app's resolver was asked, by collection and id.
    pub(super) consulted: HashMap<(String, String), u32>,
    pub(super) starved: bool,
    pub(super) empty_claims: u32,
    /// What went wrong with some of the push, while the rest went on.
    pub(super) trouble: Option<&'static str>,
    pub(super) rejected: Vec<Rejection>,
    pub(super) answered: u64,
    pub(super) refreshed: bool,
    pub(super) pulled_again: bool,
    pub(super) timeouts: u32,
    /// Requests that were given up without an answer, in a row, although the backend was there.
    pub(super) silences: u32,
    /// What is let go after what is being let go.
    pub(super) release_too: Option<Release>,
    pub(super) server_failures: u32,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) started: u64,
    pub(super) deadline: Option<u64>,
    pub(super) page: u32,
}

impl Drain {
    pub(super) fn step(&mut self, step: Step, storing: Storing, out: &mut Vec<Instruction>) {
        self.phase = Phase::Storing(storing);
        out.push(Instruction::Step(step));
    }

    pub(super) fn ask(&mut self, what: Request, asking: Asking, at: At, out: &mut Vec<Instruction>) {
        self.requests += 1;
        let silences = self.pass.as_ref().map_or(0, |pass| pass.silences);
        self.silence = Silence::begins(&what, silences, &self.settings, at.now.tick_ms);
        if let (Some(pass), Request::Pull(_) | Request::Push(_)) = (&mut self.pass, &what) {
            pass.report.requests += 1;
        }
        self.phase = Phase::Asking(self.requests, asking);
        out.push(Instruction::Request {
            request: self.requests,
            what,
        });
    }

    pub(super) fn probe(&mut self, trigger: Trigger, at: At, out: &mut Vec<Instruction>) {
        self.probe_at = None;
        self.ask(Request::Probe, Asking::Probe(trigger), at, out);
    }

    pub(super) fn next_half(&mut self, at: At, out: &mut Vec<Instruction>) {
        let half = self.pass.as_mut().and_then(|pass| {
            let half = pass.halves.pop_front()?;
            pass.half = half;
            Some(half)
        });
        match half {
            Some(Half::Pull) if self.capabilities.pull => self.prepare_pull(out),
            Some(Half::Pull) => {
                self.half_worked(Half::Pull);
                self.next_half(at, out);
            }
            Some(Half::Push) => self.order(out),
            None => self.finish(at, out),
        }
    }

    /// Puts the queue in order. What the app's resolvers are to decide comes before, so that it goes out
    /// with the rest.
    pub(super) fn order(&mut self, out: &mut Vec<Instruction>) {
        if self.rules.resolves {
            self.step(Step::Unresolved, Storing::Unresolved, out);
        } else {
            self.step(Step::Schedule, Storing::Schedule, out);
        }
    }

    /// Asks for the first conflict that was not asked for too often in this pass: whoever writes to it
    /// while the resolver thinks makes it think again, but not for ever.
    fn consult(&mut self, unresolved: Vec<Unresolved>, at: At, out: &mut Vec<Instruction>) {
        let next = self.pass.as_mut().and_then(|pass| {
            unresolved.into_iter().find(|one| {
                let key = (one.conflict.collection.clone(), one.conflict.id.clone());
                let times = pass.consulted.entry(key).or_insert(0);
                *times += 1;
                *times <= MOST_REBASES
            })
        });
        match next.map(Box::new) {
            Some(next) => self.ask(Request::Resolve(next.clone()), Asking::Resolve(next), at, out),
            None => self.step(Step::Schedule, Storing::Schedule, out),
        }
    }

    pub(super) fn prepare_pull(&mut self, out: &mut Vec<Instruction>) {
        let limit = self.pass.as_ref().map_or(self.page, |pass| pass.page);
        self.step(Step::PreparePull { limit }, Storing::PreparePull, out);
    }

    pub(super) fn half_worked(&mut self, half: Half) {
        if let Some(pass) = &mut self.pass {
            let result = if half == Half::Pull {
                &mut pass.report.pull
            } else {
                &mut pass.report.push
            };
            if *result != HalfResult::NotRun {
                return;
            }
            if let Some(trouble) = pass.trouble.filter(|_| half == Half::Push) {
                *result = HalfResult::Failed(trouble);
                return;
            }
            *result = HalfResult::Worked;
            let backoff = if half == Half::Pull {
                &mut self.pull_backoff
            } else {
                &mut self.push_backoff
            };
            backoff.reset();
        }
    }

    pub(super) fn half_failed(&mut self, half: Half, code: &'static str) {
        if let Some(pass) = &mut self.pass {
            let result = if half == Half::Pull {
                &mut pass.report.pull
            } else {
                &mut pass.report.push
            };
            *result = HalfResult::Failed(code);
        }
    }

    pub(super) fn finish(&mut self, at: At, out: &mut Vec<Instruction>) {
        let Some(pass) = &mut self.pass else {
            self.phase = Phase::Idle;
            return;
        };
        let rejected = std::mem::take(&mut pass.rejected);
        let suspect = mass_rejection(&rejected, pass.answered, self.settings.mass_rejection);
        if suspect {
            self.backend_suspect = true;
            self.push_backoff.fail(
                &self.settings.backoff_schedule_ms,
                self.settings.jitter,
                at.unit,
                at.now.tick_ms,
            );
            pass.report.push = HalfResult::Failed("mass_rejection");
        } else if pass.report.accepted > 0 || !rejected.is_empty() {
            self.backend_suspect = false;
        }
        let end = PassEnd {
            report: pass.report.clone(),
            park: if suspect { Vec::new() } else { rejected },
            started: pass.started,
            duration_ms: at.now.tick_ms.saturating_sub(pass.started),
            throttled_until: (self.throttled_until > at.now.tick_ms).then_some(self.throttled_until),
        };
        self.step(Step::Finish(Box::new(end)), Storing::Finish, out);
    }

    pub(super) fn stepped(&mut self, done: StepDone, at: At, out: &mut Vec<Instruction>) {
        let Phase::Storing(storing) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        if let StepDone::Failed { code } = done {
            return self.storage_fault(code, matches!(storing, Storing::Finish), at, out);
        }
        self.storage_failed = None;
        if self.cancelled && !matches!(storing, Storing::Finish | Storing::Settle(_)) {
            self.cancelled = false;
            return self.finish(at, out);
        }
        match (storing, done) {
            (Storing::Release, _) => match self.pass.as_mut().and_then(|pass| pass.release_too.take()) {
                Some(release) => self.step(Step::Release(release), Storing::Release, out),
                None => self.next_half(at, out),
            },
            (Storing::PreparePull, StepDone::PullPrepared(Some(request))) => {
                self.ask(Request::Pull(request), Asking::Pull, at, out)
            }
            (Storing::PreparePull, StepDone::PullPrepared(None)) => {
                self.half_worked(Half::Pull);
                self.next_half(at, out);
            }
            (
                Storing::ApplyPage,
                StepDone::PageApplied {
                    changes,
                    has_more,
                    took_ms,
                    remaining,
                    needs_first_sync,
                },
            ) => {
                self.first_sync.page_came(needs_first_sync, at.now.tick_ms);
                self.page_applied(changes, has_more, took_ms, remaining, at, out);
            }
            (Storing::Unresolved, StepDone::Unresolved(unresolved)) => self.consult(unresolved, at, out),
            (Storing::Resolve, _) => self.order(out),
            (Storing::Schedule, StepDone::Scheduled(items)) => {
                self.fresh_writes = false;
                if let Some(pass) = &mut self.pass {
                    pass.schedule = Schedule::new(items, self.rules.clone(), at.now.tick_ms, &pass.skip);
                    pass.total = pass.done + pass.schedule.left() as u64;
                }
                self.next_batch(at, out);
            }
            (Storing::Claim, StepDone::Claimed(batch, _)) if batch.items.is_empty() => self.look_again(at, out),
            (Storing::Claim, StepDone::Claimed(batch, flight)) => {
                self.ask(Request::Push(batch), Asking::Push(flight), at, out);
            }
            (Storing::Settle(flight), StepDone::Settled(report)) => self.settled(&flight, report, at, out),
            (Storing::Postpone(seqs), done) => {
                if let Some(pass) = &mut self.pass {
                    if let StepDone::Postponed { gave_up } = done {
                        pass.report.gave_up += gave_up;
                    }
                    for seq in seqs {
                        pass.skip.insert(seq);
                        pass.schedule.stuck(seq);
                    }
                }
                self.next_batch(at, out);
            }
            (
                Storing::Finish,
                StepDone::Finished {
                    next_due,
                    parked,
                    waiting,
                },
            ) => {
                self.finished(next_due, parked, waiting, at, out);
            }
            // A runner that answers another question than was asked: end the pass rather than stall.
            _ => self.storage_fault("internal", false, at, out),
        }
    }

    pub(super) fn storage_fault(&mut self, code: &'static str, finishing: bool, at: At, out: &mut Vec<Instruction>) {
        self.storage_failed = Some(code);
        if code == "storage_full" {
            // Fewer entries at once are fewer pages at once, for which there may be room.
            self.batch_count = (self.batch_count / 2).max(1);
            self.tight = true;
        }
        self.cancelled = false;
        self.push_backoff.fail(
            &self.settings.backoff_schedule_ms,
            self.settings.jitter,
            at.unit,
            at.now.tick_ms,
        );
        self.pull_backoff = self.push_backoff;
        self.phase = Phase::Idle;
        let Some(mut pass) = self.pass.take() else { return };
        for result in [&mut pass.report.pull, &mut pass.report.push] {
            if *result == HalfResult::NotRun || finishing {
                *result = HalfResult::Failed(code);
            }
        }
        out.push(Instruction::Finished(pass.report));
        self.after_pass(at, out);
    }

    pub(super) fn page_applied(
        &mut self,
        changes: u64,
        has_more: bool,
        took_ms: u64,
        remaining: Option<u64>,
        at: At,
        out: &mut Vec<Instruction>,
    ) {
        // A page may not hold the writer long: pages shrink at once and grow back slowly.
        let held_too_long = took_ms > self.settings.page_hold_ms;
        let page = if held_too_long {
            self.page / 2
        } else {
            self.page.saturating_add(self.page / 8 + 1)
        };
        self.page = page.clamp(10.min(self.settings.pull_page), self.settings.pull_page.max(1));
        if let Some(pass) = &mut self.pass {
            pass.page = self.page;
            pass.report.pulled += changes;
            pass.done += changes;
            pass.total = pass.done + remaining.unwrap_or(0);
        }
        if has_more {
            self.prepare_pull(out);
        } else {
            if let Some(pass) = &mut self.pass
                && self.rules.resolves
                && pass.report.push == HalfResult::Worked
            {
                // Pushed first: what came in may be for the app's resolvers, and goes out in this pass.
                pass.halves.push_back(Half::Push);
            }
            self.half_worked(Half::Pull);
            self.next_half(at, out);
        }
    }

    pub(super) fn limits(&self) -> Limits {
        let count = if self.capabilities.batches { self.batch_count } else { 1 };
        Limits {
            count,
            bytes: self.settings.batch_bytes,
            together: self.capabilities.after && count > 1,
        }
    }

    pub(super) fn next_batch(&mut self, at: At, out: &mut Vec<Instruction>) {
        let limits = self.limits();
        let Some(pass) = &mut self.pass else { return };
        if pass.report.cancelled.is_some() || pass.report.push.failed() {
            return self.next_half(at, out);
        }
        let batch = pass.schedule.next_batch(limits);
        if !batch.is_empty() {
            return self.step(Step::Claim(batch), Storing::Claim, out);
        }
        if std::mem::take(&mut self.fresh_writes) {
            return self.step(Step::Schedule, Storing::Schedule, out);
        }
        self.half_worked(Half::Push);
        self.next_half(at, out);
    }

    /// Everything in the batch changed under the schedule.
    pub(super) fn look_again(&mut self, at: At, out: &mut Vec<Instruction>) {
        let Some(pass) = &mut self.pass else { return };
        pass.empty_claims += 1;
        if pass.empty_claims < MOST_EMPTY_CLAIMS {
            return self.step(Step::Schedule, Storing::Schedule, out);
        }
        self.back_off(Half::Push, at);
        self.half_failed(Half::Push, "internal");
        self.next_half(at, out);
    }

    pub(super) fn settled(&mut self, flight: &Flight, settled: SettleReport, at: At, out: &mut Vec<Instruction>) {
        let Some(pass) = &mut self.pass else { return };
        pass.report.accepted += settled.accepted;
        pass.report.conflicts += settled.conflicts;
        pass.report.gave_up += settled.gave_up;
        pass.answered += flight.items.len() as u64;
        pass.done += settled.accepted;
        let stays: HashSet<i64> = settled
            .rejected
            .iter()
            .map(|rejection| rejection.seq)
            .chain(settled.postponed.iter().copied())
            .collect();
        for &(seq, _) in &flight.items {
            if stays.contains(&seq) {
                pass.skip.insert(seq);
                pass.schedule.stuck(seq);
            } else {
                pass.schedule.gone(seq);
            }
        }
        // What a policy settled goes again in this pass, but not for ever: another device may be
        // doing the same to us.
        for seq in settled.rebased {
            let times = pass.rebased.entry(seq).or_insert(0);
            *times += 1;
            pass.report.rebased += 1;
            if *times >= MOST_REBASES {
                pass.skip.insert(seq);
                pass.starved = true;
            }
        }
        pass.rejected.extend(settled.rejected);
        if !self.tight {
            self.batch_count = (self.batch_count * 2).min(self.settings.batch_count.max(1));
        }
        if std::mem::take(&mut self.cancelled) {
            return self.finish(at, out);
        }
        if settled.sign_in {
            return self.sign_in(Half::Push, at, out);
        }
        if settled.other_epoch {
            return self.other_epoch(at, out);
        }
        if settled.conflicts > 0 {
            self.order(out);
        } else {
            self.next_batch(at, out);
        }
    }

    /// The backend's data began another life: nothing goes before a pull has told what it has.
    fn other_epoch(&mut self, at: At, out: &mut Vec<Instruction>) {
        match &mut self.pass {
            Some(pass) if !pass.pulled_again => {
                pass.pulled_again = true;
                pass.halves = VecDeque::from([Half::Pull, Half::Push]);
            }
            _ => {
                self.back_off(Half::Push, at);
                self.half_failed(Half::Push, "other_epoch");
            }
        }
        self.next_half(at, out);
    }

    pub(super) fn finished(
        &mut self,
        next_due: Option<u64>,
        parked: u64,
        waiting: u64,
        at: At,
        out: &mut Vec<Instruction>,
    ) {
        self.tight = false;
        let Some(mut pass) = self.pass.take() else { return };
        pass.report.parked = parked;
        pass.report.waiting = waiting;
        self.next_due = next_due;
        if pass.starved {
            self.write_due = Some(at.now.tick_ms + self.settings.backoff_schedule_ms.first().copied().unwrap_or(1_000));
        }
        if pass.report.pull == HalfResult::Worked && pass.report.push == HalfResult::Worked {
            self.last_synced_at = Some(at.now.wall_ms);
        }
        out.push(Instruction::Finished(pass.report));
        self.after_pass(at, out);
    }

    pub(super) fn after_pass(&mut self, at: At, out: &mut Vec<Instruction>) {
        if std::mem::take(&mut self.fresh_writes) {
            let due = at.now.tick_ms + self.settings.write_delay_ms;
            self.write_due.get_or_insert(due);
        }
        if let Some(trigger) = self.joined.take() {
            self.wake(trigger, at, out);
        }
    }
}

/// Whether the refusals of a pass look like a fault of the backend: the same one, many times, for
/// most of what it answered.
pub(super) fn mass_rejection(rejected: &[Rejection], answered: u64, threshold: usize) -> bool {
    let mut codes: Vec<&str> = rejected.iter().map(|rejection| rejection.code.as_str()).collect();
    codes.sort_unstable();
    let most = codes.chunk_by(|a, b| a == b).map(<[&str]>::len).max().unwrap_or(0);
    most >= threshold.max(1) && most as u64 * 2 > answered
}
