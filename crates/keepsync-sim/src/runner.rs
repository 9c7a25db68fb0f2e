//! What a device's runner does: it brings events to the drain and carries its instructions out, on
//! the virtual clock, with the real parts: [`Drain::handle`](keepsync::drain::Drain::handle) decides,
//! [`carry_out`](keepsync::drain::carry_out) writes. Between an instruction and its completion the
//! process may die, the disk may fail, the user may do something else.

use crate::{
    bug::{Bug, Planted},
    chance::{Area, Series},
    device::App,
    oracle::{Violation, broken},
    world::{Happening, World},
};
use keepsync::{
    drain::{Answer, Event, Instruction, Report, Step, StepDone, carry_out},
    remote::{Fault, PullPage, TokenFault},
};
use keepsync_disk::Fault as DiskFault;
use std::collections::VecDeque;

impl World {
    pub(crate) fn deliver(
        &mut self,
        at: usize,
        life: u64,
        request: u64,
        kind: &'static str,
        answer: Answer,
    ) -> Result<(), Violation> {
        let device = &mut self.devices[at];
        let Some(app) = &mut device.app else { return Ok(()) };
        let mut request = request;
        if device.life != life {
            // The planted bug gives it to whoever asked for the same.
            match app.open_request {
                _ if self.bug != Some(Bug::AnswersCrossAccounts) || device.life > life + 4 => return Ok(()),
                Some((open, asked)) if asked == kind => request = open,
                _ => {
                    let answer = Box::new(answer);
                    self.later(
                        200,
                        Happening::Answer {
                            device: at,
                            life,
                            request,
                            kind,
                            answer,
                            tries: 0,
                        },
                    );
                    return Ok(());
                }
            }
        }
        // The network went away while the answer was on its way.
        let answer = if device.online || kind == "resolve" {
            answer
        } else {
            cut_off(kind)
        };
        let awaited = app.open_request.take_if(|(open, _)| *open == request).is_some();
        self.trace.line(
            self.clock.now(),
            format_args!("{at} receives {kind} {request}: {}", gist(&answer)),
        );
        // Who has given a request up has closed its connection.
        if awaited {
            self.note_answer(at, request, &answer);
        }
        if self.chance.of(Area::Steps, at).chance(self.faults.crash_at_request) {
            return self.crash(at);
        }
        let answer = match answer {
            Answer::Pulled(Ok(mut page)) => {
                if self.bug == Some(Bug::CursorWithoutPage) && self.chance.of(Area::Steps, at).chance(0.2) {
                    page.changes.pop();
                }
                Answer::Pulled(Ok(page))
            }
            other => other,
        };
        self.feed(at, vec![Event::Answered { request, answer }])
    }

    /// Brings events to a device's drain and does what it says, until it waits for something.
    pub(crate) fn feed(&mut self, at: usize, events: Vec<Event>) -> Result<(), Violation> {
        let mut events = VecDeque::from(events);
        while let Some(event) = events.pop_front() {
            let unit = self.chance.of(Area::Steps, at).unit();
            let Some(app) = &mut self.devices[at].app else {
                return Ok(());
            };
            let now = app.db.now();
            for instruction in app.drain.handle(event, now, unit) {
                match instruction {
                    Instruction::Step(step) => {
                        self.step(at, step, &mut events)?;
                    }
                    Instruction::Request { request, what } => {
                        if self.chance.of(Area::Steps, at).chance(self.faults.crash_at_request) {
                            return self.crash(at);
                        }
                        self.send(at, request, what)?;
                    }
                    Instruction::Timer(tick) => self.set_timer(at, tick, now.tick_ms),
                    Instruction::Abandon => {
                        if let Some(app) = &mut self.devices[at].app {
                            app.open_request = None;
                            app.connected = false;
                        }
                    }
                    Instruction::Finished(report) => {
                        self.trace
                            .line(self.clock.now(), format_args!("{at} {}", told(&report)));
                        self.reports[at] = Some(report);
                    }
                }
                if self.devices[at].app.is_none() {
                    return Ok(());
                }
            }
        }
        self.check_awake(at)
    }

    /// Liveness, at every step: a drain that is busy waits for something that will come. (A request that is
    /// open is given up at its deadline, so no pass stands still for longer than that and a tick.)
    fn check_awake(&self, at: usize) -> Result<(), Violation> {
        let asleep = |app: &App| app.drain.is_busy() && app.open_request.is_none();
        if !self.plot.oracle_only && self.devices[at].app.as_ref().is_some_and(asleep) {
            return broken(
                "never stuck",
                format!("device {at}: its drain is busy, and nothing that it waits for is under way"),
            );
        }
        Ok(())
    }

    fn set_timer(&mut self, at: usize, tick: Option<u64>, now_tick: u64) {
        if self.bug == Some(Bug::DropsTimers) && self.chance.of(Area::Steps, at).chance(0.97) {
            return;
        }
        let due = tick.map(|tick| self.clock.now() + tick.saturating_sub(now_tick));
        let device = &mut self.devices[at];
        let life = device.life;
        let Some(app) = &mut device.app else { return };
        if app.timer.0 == due {
            return;
        }
        app.timer = (due, app.timer.1 + 1);
        let number = app.timer.1;
        if let Some(due) = due {
            let delay = due - self.clock.now();
            self.later(
                delay,
                Happening::Timer {
                    device: at,
                    life,
                    number,
                },
            );
        }
    }

    /// One storage step, with what may come before and after it.
    fn step(&mut self, at: usize, step: Step, events: &mut VecDeque<Event>) -> Result<(), Violation> {
        self.stats.steps += 1;
        if self.chance.of(Area::Steps, at).chance(self.faults.crash_at_step) {
            return self.crash(at);
        }
        if self.chance.of(Area::Steps, at).chance(self.faults.act_at_step) && !self.healed {
            events.extend(self.act(at, Series::Between)?);
        }
        // It may have died by that, or in the step before.
        if self.devices[at].app.is_none() {
            return Ok(());
        }
        let rng = self.chance.of(Area::Steps, at);
        let fault = match (rng.chance(self.faults.disk), rng.chance(self.faults.crash_at_step)) {
            _ if self.healed => None,
            (true, _) => Some(DiskFault::IoError),
            (_, true) => Some(DiskFault::Stop),
            _ => None,
        };
        if let Some(fault) = fault {
            self.plan_fault(at, fault);
        }
        self.note_prunable(at)?;
        let line = name(&step);
        let now = self.clock.now();
        let device = &mut self.devices[at];
        let Some(app) = &mut device.app else { return Ok(()) };
        let postpones = matches!(step, Step::Postpone(_));
        let newer = match &step {
            Step::ApplyPage(page)
                if self.faults.old_page > 0.0 && self.oracle.restores == 0 && !self.plot.oracle_only =>
            {
                newer_here(app, page)?
            }
            _ => Vec::new(),
        };
        let (done, _) = carry_out(&mut app.db, step);
        if Planted::died() {
            return self.crash(at);
        }
        let full = device.full;
        if fault.is_some() && self.end_fault(at) {
            return self.crash(at);
        }
        if let StepDone::Failed { code } = &done {
            if fault.is_none() && !full {
                return broken("never stuck", format!("device {at}: {line} failed with {code}"));
            }
            self.trace.line(now, format_args!("{at} fails: {line}: {code}"));
            events.push_back(Event::Stepped(done));
            return Ok(());
        }
        if postpones && !self.plot.oracle_only && self.devices[at].is_cut(false, now) {
            return broken(
                "offline is free",
                format!("device {at} counted an attempt while nothing reached it"),
            );
        }
        let Some(app) = &mut self.devices[at].app else {
            return Ok(());
        };
        self.trace.line(now, format_args!("{at} {line}"));
        for (collection, id, version) in newer {
            if app.inspect.version(&collection, &id)?.is_some_and(|now| now < version) {
                return broken(
                    "never back",
                    format!("device {at} had version {version} of {collection}/{id}, and took an older one for it"),
                );
            }
        }
        if let Some(before) = app.attempts_offline {
            let attempts = app.inspect.attempts()?;
            if attempts > before && !self.plot.oracle_only {
                return broken(
                    "offline is free",
                    format!("device {at} counted an attempt while it had no network"),
                );
            }
            app.attempts_offline = Some(attempts);
        }
        events.push_back(Event::Stepped(done));
        if self.chance.of(Area::Steps, at).chance(self.checked) {
            self.check_device(at, false)?;
        }
        if self.chance.of(Area::Steps, at).chance(self.faults.act_at_step) && !self.healed {
            events.extend(self.act(at, Series::Between)?);
        }
        if self.chance.of(Area::Steps, at).chance(self.faults.crash_at_step) {
            return self.crash(at);
        }
        Ok(())
    }

    /// The promises that can be seen in one file.
    pub(crate) fn check_device(&mut self, at: usize, reopened: bool) -> Result<(), Violation> {
        if self.plot.oracle_only {
            return Ok(());
        }
        let device = &self.devices[at];
        let Some(app) = &device.app else { return Ok(()) };
        let named = |violation: Violation| Violation {
            what: format!("device {at}: {}", violation.what),
            ..violation
        };
        self.oracle
            .check_together(device.user(), at, &app.inspect)
            .map_err(named)?;
        self.oracle
            .check_kept(device.user(), at, &app.inspect, false)
            .map_err(named)?;
        if reopened && self.chance.of(Area::Steps, at).chance(0.1) && !app.inspect.is_sound()? {
            return broken("kept", format!("device {at}: SQLite finds the file damaged"));
        }
        Ok(())
    }
}

/// Records of which a page has an older version than the device.
fn newer_here(app: &App, page: &PullPage) -> Result<Vec<(String, String, i64)>, Violation> {
    let mut newer = Vec::new();
    for change in &page.changes {
        let here = app.inspect.version(&change.collection, &change.id)?;
        if let Some(here) = here.filter(|here| *here > change.version.version) {
            newer.push((change.collection.clone(), change.id.clone(), here));
        }
    }
    Ok(newer)
}

fn cut_off(kind: &str) -> Answer {
    match kind {
        "push" => Answer::Pushed(Err(Fault::Offline)),
        "pull" => Answer::Pulled(Err(Fault::Offline)),
        "probe" => Answer::Probed(Err(Fault::Offline)),
        _ => Answer::Refreshed(Err(TokenFault::Offline)),
    }
}

fn name(step: &Step) -> String {
    match step {
        Step::Release(release) => format!("releases {release:?}"),
        Step::PreparePull { limit } => format!("prepares a pull of {limit}"),
        Step::ApplyPage(page) => {
            let mut text = format!("applies a page of {}:", page.changes.len());
            for change in &page.changes {
                let id = &change.id[change.id.len().saturating_sub(6)..];
                text.push_str(&format!(" {}/{id} v{}", change.collection, change.version.version));
            }
            text
        }
        Step::Unresolved => "looks for what a resolver is to decide".to_owned(),
        Step::Resolve { asked, .. } => format!("applies what {} said", asked.resolver),
        Step::Schedule => "schedules".to_owned(),
        Step::Claim(seqs) => format!("claims {seqs:?}"),
        Step::Settle { flight, .. } => format!(
            "settles {:?}",
            flight.items.iter().map(|(seq, _)| seq).collect::<Vec<_>>()
        ),
        Step::Postpone(flight) => format!("postpones {}", flight.items.len()),
        Step::Finish(_) => "finishes".to_owned(),
    }
}

fn gist(answer: &Answer) -> String {
    match answer {
        Answer::Pulled(Ok(page)) => format!(
            "{} changes{}",
            page.changes.len(),
            if page.has_more { ", more" } else { "" }
        ),
        Answer::Pushed(Ok(answer)) => format!("{} results", answer.results.len()),
        Answer::Probed(Ok(())) | Answer::Refreshed(Ok(())) => "well".to_owned(),
        Answer::Pulled(Err(fault)) | Answer::Pushed(Err(fault)) | Answer::Probed(Err(fault)) => fault.code().to_owned(),
        Answer::Refreshed(Err(fault)) => fault.to_string(),
        Answer::Resolved(Ok(_)) => "decided".to_owned(),
        Answer::Resolved(Err(_)) => "not decided".to_owned(),
    }
}

fn told(report: &Report) -> String {
    format!(
        "ends a pass ({:?}): pull {:?}, push {:?}, +{} -{} waiting {}",
        report.trigger, report.pull, report.push, report.pulled, report.accepted, report.waiting
    )
}
