//! What comes back from the network, and what each fault leads to.

use super::*;

impl Drain {
    pub(super) fn answered(&mut self, request: u64, answer: Answer, at: At, out: &mut Vec<Instruction>) {
        match &self.phase {
            Phase::Asking(open, _) if *open == request => {}
            _ => return,
        }
        let Phase::Asking(_, asking) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        match (asking, answer) {
            (Asking::Pull, Answer::Pulled(Ok(page))) => {
                self.link = Link::Online;
                self.pull_backoff.reset();
                if let Some(pass) = &mut self.pass {
                    pass.silences = 0;
                }
                self.step(Step::ApplyPage(page), Storing::ApplyPage, out);
            }
            (Asking::Pull, Answer::Pulled(Err(fault))) => self.fault(Half::Pull, None, &fault, at, out),
            (Asking::Push(flight), Answer::Pushed(Ok(answer))) => {
                self.link = Link::Online;
                self.push_backoff.reset();
                if let Some(pass) = &mut self.pass {
                    pass.timeouts = 0;
                    pass.silences = 0;
                    pass.server_failures = 0;
                }
                self.step(
                    Step::Settle {
                        flight: flight.clone(),
                        answer,
                    },
                    Storing::Settle(flight),
                    out,
                );
            }
            (Asking::Push(flight), Answer::Pushed(Err(fault))) => self.fault(Half::Push, Some(flight), &fault, at, out),
            (Asking::Probe(trigger), Answer::Probed(Ok(()))) => {
                self.link = Link::Online;
                // It is known by this answer that the network is back: what was not answered goes again.
                let trigger = match trigger {
                    Trigger::Timer | Trigger::Confirm => Trigger::NetworkBack,
                    other => other,
                };
                if self.refuses(trigger, at, out) {
                    return self.after_pass(at, out);
                }
                let unanswered = std::mem::take(&mut self.unanswered);
                self.release_or_begin(trigger, unanswered, at, out);
            }
            (Asking::Probe(trigger), Answer::Probed(Err(_))) => {
                self.still_offline(at);
                let offline = HalfResult::Failed("offline");
                let report = Report {
                    trigger: Some(trigger),
                    pull: offline,
                    push: offline,
                    ..Report::default()
                };
                out.push(Instruction::Finished(report));
                self.after_pass(at, out);
            }
            (Asking::ProbeAfterTimeout(half, flight), Answer::Probed(Ok(()))) => {
                self.link = Link::Online;
                self.slow_request(half, flight, at, out);
            }
            (Asking::ProbeAfterTimeout(half, _), Answer::Probed(Err(_))) => {
                self.still_offline(at);
                self.end_pass(half, "offline", at, out);
            }
            (Asking::ProbeAfterSilence(half), Answer::Probed(Ok(()))) => {
                self.link = Link::Online;
                self.ask_again(half, at, out);
            }
            (Asking::ProbeAfterSilence(half), Answer::Probed(Err(_))) => {
                self.still_offline(at);
                self.end_pass(half, "offline", at, out);
            }
            (Asking::Refresh(half), Answer::Refreshed(result)) => self.refreshed(half, result, at, out),
            (Asking::Resolve(asked), Answer::Resolved(answer)) => {
                self.step(Step::Resolve { asked, answer }, Storing::Resolve, out);
            }
            // A runner that answers another question than was asked.
            _ => self.storage_fault("internal", false, at, out),
        }
    }

    pub(super) fn go_offline(&mut self, at: At) {
        self.link = Link::Offline;
        self.probe_at = Some(at.now.tick_ms + self.settings.probe_interval_ms);
    }

    /// A probe failed. The next follows one interval after it was sent, so that one that was itself lost does
    /// not make the wait longer.
    pub(super) fn still_offline(&mut self, at: At) {
        self.go_offline(at);
        let next = self.silence.asked_at.saturating_add(self.settings.probe_interval_ms);
        self.probe_at = Some(next.max(at.now.tick_ms));
    }

    pub(super) fn lost_network(&mut self, half: Half, at: At, out: &mut Vec<Instruction>) {
        self.go_offline(at);
        self.end_pass(half, "offline", at, out);
    }

    /// Neither half can go on.
    pub(super) fn end_pass(&mut self, half: Half, code: &'static str, at: At, out: &mut Vec<Instruction>) {
        self.half_failed(half, code);
        if let Some(pass) = &mut self.pass {
            let left: Vec<Half> = pass.halves.drain(..).collect();
            for half in left {
                self.half_failed(half, code);
            }
        }
        self.finish(at, out);
    }

    /// An answer that settles nothing.
    pub(super) fn fault(
        &mut self,
        half: Half,
        flight: Option<Flight>,
        fault: &Fault,
        at: At,
        out: &mut Vec<Instruction>,
    ) {
        let code = fault.code();
        match fault {
            Fault::Offline if planted::is(Bug::CountOfflineAttempts) => self.slow_request(half, flight, at, out),
            Fault::Offline => self.lost_network(half, at, out),
            Fault::Timeout => self.ask(Request::Probe, Asking::ProbeAfterTimeout(half, flight), at, out),
            Fault::Throttled { .. } if planted::is(Bug::IgnoresRetryAfter) => self.end_pass(half, code, at, out),
            Fault::Throttled { after_ms } => {
                let wait = after_ms
                    .unwrap_or(self.settings.throttle_default_ms)
                    .min(self.settings.throttle_cap_ms);
                self.throttled_until = at.now.tick_ms.saturating_add(wait);
                self.owed = true;
                self.end_pass(half, code, at, out);
            }
            #[cfg(feature = "planted")]
            Fault::SignIn if planted::is(Bug::DropOn401) && flight.is_some() => {
                let flight = flight.unwrap_or_default();
                let answer = planted::unauthorized(&flight);
                self.step(
                    Step::Settle {
                        flight: flight.clone(),
                        answer,
                    },
                    Storing::Settle(flight),
                    out,
                );
            }
            Fault::SignIn => self.sign_in(half, at, out),
            Fault::TooLarge | Fault::Server { .. } if flight.is_some() => {
                let flight = flight.unwrap_or_default();
                self.too_much(flight, matches!(fault, Fault::TooLarge), code, at, out);
            }
            Fault::TooLarge | Fault::Server { .. } | Fault::Untrusted | Fault::Unrecognised { .. } => {
                self.back_off(half, at);
                self.half_failed(half, code);
                self.next_half(at, out);
            }
        }
    }

    pub(super) fn back_off(&mut self, half: Half, at: At) {
        let backoff = if half == Half::Pull {
            &mut self.pull_backoff
        } else {
            &mut self.push_backoff
        };
        backoff.fail(
            &self.settings.backoff_schedule_ms,
            self.settings.jitter,
            at.unit,
            at.now.tick_ms,
        );
    }

    /// The batch as a whole was too large, or made the backend fail: halves until it is one entry,
    /// which then waits for its schedule while the others go on.
    pub(super) fn too_much(
        &mut self,
        flight: Flight,
        too_large: bool,
        code: &'static str,
        at: At,
        out: &mut Vec<Instruction>,
    ) {
        let Some(pass) = &mut self.pass else { return };
        if flight.items.len() > 1 {
            self.batch_count = flight.items.len() / 2;
            for &(seq, _) in &flight.items {
                pass.schedule.ready(seq);
            }
            if too_large {
                // Nothing is wrong with the backend: the smaller batch goes at once.
                return self.next_batch(at, out);
            }
        } else {
            pass.server_failures += 1;
            pass.trouble = Some(code);
            // A backend that fails on three single entries in a row fails on all of them.
            if too_large || pass.server_failures < 3 {
                let seqs: Vec<i64> = flight.items.iter().map(|(seq, _)| *seq).collect();
                return self.step(Step::Postpone(flight), Storing::Postpone(seqs), out);
            }
        }
        self.back_off(Half::Push, at);
        self.half_failed(Half::Push, code);
        self.next_half(at, out);
    }

    /// The request timed out although the backend answers probes.
    pub(super) fn slow_request(&mut self, half: Half, flight: Option<Flight>, at: At, out: &mut Vec<Instruction>) {
        let Some(pass) = &mut self.pass else {
            return self.finish(at, out);
        };
        pass.timeouts += 1;
        let again = pass.timeouts < 3;
        match flight {
            Some(flight) => {
                self.batch_count = (flight.items.len() / 2).max(1);
                pass.trouble = Some("timeout");
                if !again {
                    self.back_off(half, at);
                    self.half_failed(half, "timeout");
                }
                let seqs: Vec<i64> = flight.items.iter().map(|(seq, _)| *seq).collect();
                self.unanswered.extend(&seqs);
                self.step(Step::Postpone(flight), Storing::Postpone(seqs), out);
            }
            None => {
                self.page = (self.page / 2).max(10.min(self.settings.pull_page));
                self.back_off(half, at);
                self.half_failed(half, "timeout");
                self.next_half(at, out);
            }
        }
    }

    pub(super) fn sign_in(&mut self, half: Half, at: At, out: &mut Vec<Instruction>) {
        match &mut self.pass {
            Some(pass) if !pass.refreshed => {
                pass.refreshed = true;
                self.ask(Request::Refresh, Asking::Refresh(half), at, out);
            }
            _ => {
                self.sign_in_needed = true;
                self.end_pass(half, "sign_in", at, out);
            }
        }
    }

    pub(super) fn refreshed(&mut self, half: Half, result: Result<(), TokenFault>, at: At, out: &mut Vec<Instruction>) {
        match result {
            Ok(()) => {
                // The half starts again; what was on its way goes under the same operation ids.
                if let Some(pass) = &mut self.pass {
                    pass.halves.push_front(half);
                }
                self.next_half(at, out);
            }
            Err(TokenFault::SignInNeeded) => {
                self.sign_in_needed = true;
                self.end_pass(half, "sign_in", at, out);
            }
            Err(TokenFault::Offline) => {
                self.back_off(half, at);
                self.end_pass(half, "token_service_offline", at, out);
            }
        }
    }
}
