//! Why a pass starts, when, and who stops it.

use super::*;

impl Drain {
    pub(super) fn wake(&mut self, trigger: Trigger, at: At, out: &mut Vec<Instruction>) {
        if matches!(trigger, Trigger::User | Trigger::SignedIn) {
            self.sign_in_needed = false;
            self.first_sync.begin_again(at.now.tick_ms);
        }
        let by_call = matches!(trigger, Trigger::User | Trigger::Background { .. } | Trigger::Confirm);
        if !self.settings.automatic && !by_call {
            return;
        }
        if self.is_busy() {
            match trigger {
                Trigger::Write | Trigger::Confirm => self.fresh_writes = true,
                // A tap also lets go what waits for its time, which this pass has not done.
                Trigger::User if self.pass.as_ref().is_some_and(|pass| pass.trigger != Trigger::User) => {
                    self.joined = Some(trigger);
                }
                // A pass that only pushes does not answer a question about the whole.
                _ if self.only_pushes() => self.joined = Some(trigger),
                _ => {}
            }
            return;
        }
        if trigger == Trigger::Write {
            let due = at.now.tick_ms + self.settings.write_delay_ms;
            self.write_due.get_or_insert(due);
            return;
        }
        if self.refuses(trigger, at, out) {
            return;
        }
        if self.link == Link::Offline {
            return self.probe(trigger, at, out);
        }
        self.release_or_begin(trigger, Vec::new(), at, out);
    }

    /// Whether what is under way will end without a pull.
    fn only_pushes(&self) -> bool {
        let trigger = match (&self.pass, &self.phase) {
            (Some(pass), _) => Some(pass.trigger),
            (None, Phase::Asking(_, Asking::Probe(trigger))) => Some(*trigger),
            _ => None,
        };
        trigger.is_some_and(Trigger::only_pushes)
    }

    /// Whether a drain cannot start now; whoever asked is told, and what is owed to him is kept in mind. Asked
    /// when somebody wants one, and again when a probe has found the backend: the floor may have come between.
    pub(super) fn refuses(&mut self, trigger: Trigger, at: At, out: &mut Vec<Instruction>) -> bool {
        let Some(refusal) = self.refusal(trigger, at) else {
            return false;
        };
        if self.throttled_until > at.now.tick_ms {
            self.owed = true;
            self.owed_to = match trigger {
                Trigger::User => Some(trigger),
                Trigger::NetworkBack | Trigger::Foreground => self.owed_to.or(Some(trigger)),
                _ => self.owed_to,
            };
        }
        out.push(Instruction::Finished(refusal));
        true
    }

    /// Why a drain cannot start now, whoever asks.
    pub(super) fn refusal(&self, trigger: Trigger, at: At) -> Option<Report> {
        let fault = if self.throttled_until > at.now.tick_ms {
            "throttled"
        } else if self.sign_in_needed {
            "sign_in"
        } else {
            return None;
        };
        let refused = HalfResult::Failed(fault);
        Some(Report {
            trigger: Some(trigger),
            pull: refused,
            push: refused,
            ..Report::default()
        })
    }

    /// `unanswered`: entries that are let go too, because the network is known to be back.
    pub(super) fn release_or_begin(
        &mut self,
        trigger: Trigger,
        unanswered: Vec<i64>,
        at: At,
        out: &mut Vec<Instruction>,
    ) {
        let release = match trigger {
            Trigger::User => Some(Release::Waiting),
            Trigger::NetworkBack | Trigger::Foreground if self.settings.after_last == AfterLast::Auto => {
                let due = self
                    .released_at
                    .is_none_or(|last| at.now.tick_ms >= last + self.settings.release_interval_ms);
                due.then_some(Release::Exhausted)
            }
            _ => None,
        };
        self.begin(trigger, at);
        if release.is_some() {
            self.released_at = Some(at.now.tick_ms);
        }
        let unanswered = (!unanswered.is_empty()).then_some(Release::Unanswered(unanswered));
        match (release, unanswered) {
            (Some(release), also) => {
                if let Some(pass) = &mut self.pass {
                    pass.release_too = also;
                }
                self.step(Step::Release(release), Storing::Release, out);
            }
            (None, Some(release)) => self.step(Step::Release(release), Storing::Release, out),
            (None, None) => self.next_half(at, out),
        }
    }

    pub(super) fn begin(&mut self, trigger: Trigger, at: At) {
        let wanted: &[Half] = match (trigger, self.settings.order) {
            (trigger, _) if trigger.only_pushes() => &[Half::Push],
            (_, Order::PullThenPush) => &[Half::Pull, Half::Push],
            (_, Order::PushThenPull) => &[Half::Push, Half::Pull],
        };
        let by_hand = matches!(trigger, Trigger::User | Trigger::SignedIn);
        let ready = |half: &Half| {
            let backoff = if *half == Half::Pull {
                self.pull_backoff
            } else {
                self.push_backoff
            };
            by_hand || backoff.until <= at.now.tick_ms
        };
        let halves: VecDeque<Half> = wanted.iter().copied().filter(ready).collect();
        let deadline = if let Trigger::Background { budget_ms } = trigger {
            Some(at.now.tick_ms + budget_ms)
        } else {
            None
        };
        self.cancelled = false;
        self.fresh_writes = false;
        self.owed = false;
        self.owed_to = None;
        self.write_due = None;
        self.pass = Some(Pass {
            trigger,
            half: Half::Pull,
            halves,
            report: Report {
                trigger: Some(trigger),
                ..Report::default()
            },
            schedule: Schedule::default(),
            skip: HashSet::new(),
            rebased: HashMap::new(),
            consulted: HashMap::new(),
            starved: false,
            empty_claims: 0,
            trouble: None,
            rejected: Vec::new(),
            answered: 0,
            refreshed: false,
            pulled_again: false,
            timeouts: 0,
            silences: 0,
            release_too: None,
            server_failures: 0,
            done: 0,
            total: 0,
            started: at.now.tick_ms,
            deadline,
            page: self.page,
        });
        if self.active {
            self.next_interval = Some(at.now.tick_ms + self.settings.active_interval_ms);
        }
    }

    // Timers.

    pub(super) fn next_timer(&self) -> Option<u64> {
        [self.next_pass_timer(), self.first_sync.due(), self.silence_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn next_pass_timer(&self) -> Option<u64> {
        if let Some(pass) = &self.pass {
            return pass.deadline;
        }
        if !matches!(self.phase, Phase::Idle) || self.sign_in_needed || !self.settings.automatic {
            return None;
        }
        if self.link == Link::Offline {
            return self.probe_at;
        }
        let push_gate = self.push_backoff.until.max(self.throttled_until);
        let pull_gate = self.pull_backoff.until.max(self.throttled_until);
        let after = |due: Option<u64>, gate: u64| due.map(|due| due.max(gate));
        let retry_pull = (self.pull_backoff.until > 0).then_some(pull_gate);
        let retry_push = (self.push_backoff.until > 0).then_some(push_gate);
        [
            after(self.write_due, push_gate),
            after(self.next_due, push_gate),
            after(self.next_interval, pull_gate),
            retry_pull,
            retry_push,
            self.owed.then_some(self.throttled_until),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn timer(&mut self, at: At, out: &mut Vec<Instruction>) {
        self.first_sync.look(at.now.tick_ms);
        if let Some(pass) = &self.pass {
            if pass.deadline.is_some_and(|deadline| at.now.tick_ms >= deadline) {
                self.cancel(Cancelled::Budget, at, out);
            }
            if !self.is_silent(at) {
                return;
            }
        }
        if self.is_silent(at) {
            return self.give_up(at, out);
        }
        if self.is_busy() || self.next_pass_timer().is_none_or(|due| at.now.tick_ms < due) {
            return;
        }
        if self.link == Link::Offline {
            return self.probe(Trigger::Timer, at, out);
        }
        let due = |tick: Option<u64>| tick.is_some_and(|tick| tick <= at.now.tick_ms);
        let only_writes = due(self.write_due) && !due(self.next_interval) && !self.owed && self.pull_backoff.until == 0;
        self.next_due = None;
        let trigger = match self.owed_to {
            _ if only_writes => Trigger::Write,
            Some(refused) => refused,
            None => Trigger::Timer,
        };
        self.release_or_begin(trigger, Vec::new(), at, out);
    }

    pub(super) fn cancel(&mut self, why: Cancelled, at: At, out: &mut Vec<Instruction>) {
        let Some(pass) = &mut self.pass else { return };
        pass.report.cancelled = Some(why);
        pass.halves.clear();
        match &self.phase {
            Phase::Asking(..) => {
                out.push(Instruction::Abandon);
                self.finish(at, out);
            }
            // A storage step is short and is not torn apart.
            _ => self.cancelled = true,
        }
    }
}
