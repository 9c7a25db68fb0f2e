//! The network between a device's runner and the server, with everything it does to requests and
//! answers, and the server's own bad days.

use crate::{
    bug::Bug,
    oracle::{Violation, broken},
    server::Applied,
    world::{Happening, World},
};
use keepsync::{
    drain::{Answer, Request},
    remote::{Accepted, Fault, Outcome, PushAnswer, TokenFault, wire},
};
use keepsync_wire::{Branch, Operation, PullRequest, SyncRequest, SyncResponse, SyncResult, SyncStatus, code};
use std::collections::HashMap;
use uuid::Uuid;

/// How long a runner waits for an answer.
const DEADLINE_MS: u64 = 30_000;

/// A request on its way.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    device: usize,
    life: u64,
    request: u64,
    /// Whom the token names.
    user: &'static str,
    token_valid: bool,
    wire: Wire,
    /// Planted bug: operation ids that were changed on the way out.
    renamed: HashMap<Uuid, Uuid>,
    /// Whether anyone still waits for the answer.
    awaited: bool,
}

/// What is in it.
#[derive(Debug, Clone)]
enum Wire {
    Push(SyncRequest),
    Pull(PullRequest),
    Probe,
    Refresh,
    /// Not on the wire at all: no collection of the simulator has a resolver.
    Resolve,
}

impl Wire {
    fn kind(&self) -> &'static str {
        match self {
            Self::Push(_) => "push",
            Self::Pull(_) => "pull",
            Self::Probe => "probe",
            Self::Refresh => "refresh",
            Self::Resolve => "resolve",
        }
    }

    fn failed(&self, fault: Fault) -> Answer {
        match self {
            Self::Push(_) => Answer::Pushed(Err(fault)),
            Self::Pull(_) => Answer::Pulled(Err(fault)),
            Self::Probe => Answer::Probed(Err(fault)),
            Self::Refresh => Answer::Refreshed(Err(TokenFault::Offline)),
            Self::Resolve => Answer::Resolved(Err("no resolver here".to_owned())),
        }
    }
}

/// What the server is like just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Well.
    Good,
    /// Answers 503 to everything.
    Down,
    /// Refuses every operation, after a bad deployment.
    RefusesAll,
}

impl World {
    /// A request leaves the runner.
    pub(crate) fn send(&mut self, at: usize, request: u64, what: Request) -> Result<(), Violation> {
        self.stats.requests += 1;
        let wire = match what {
            Request::Push(batch) => Wire::Push(wire::sync_request(batch)),
            Request::Pull(asked) => Wire::Pull(wire::pull_request(&asked)),
            Request::Probe => Wire::Probe,
            Request::Refresh => Wire::Refresh,
            Request::Resolve(_) => Wire::Resolve,
        };
        let now = self.clock.now();
        let device = &mut self.devices[at];
        if let Some(app) = &mut device.app {
            app.open_request = Some((request, wire.kind()));
        }
        let mut envelope = Envelope {
            device: at,
            life: device.life,
            request,
            user: device.user(),
            token_valid: device.token_valid,
            wire,
            renamed: HashMap::new(),
            awaited: true,
        };
        let (online, kind) = (device.online, envelope.wire.kind());
        self.trace.line(
            now,
            format_args!("{at} sends {kind} {request}{}", shape(&envelope.wire)),
        );
        if !online {
            let delay = self.rng.between(1, 200);
            self.answer_later(&envelope, envelope.wire.failed(Fault::Offline), delay);
            return Ok(());
        }
        if self.bug == Some(Bug::NewIdsOnRetry) {
            self.rename(&mut envelope);
        }
        let trip = self.rng.between(5, 300);
        let faults = &self.faults;
        if self.rng.chance(faults.portal) {
            self.stats.faults += 1;
            let fault = if self.rng.chance(0.5) {
                Fault::Offline
            } else {
                Fault::Unrecognised { status: 200 }
            };
            self.answer_later(&envelope, envelope.wire.failed(fault), trip);
        } else if self.rng.chance(faults.lose_request) {
            self.stats.faults += 1;
            self.time_out(&envelope);
        } else if self.rng.chance(faults.late_request) {
            self.stats.faults += 1;
            self.time_out(&envelope);
            envelope.awaited = false;
            let delay = self.rng.between(DEADLINE_MS, 3 * 3_600_000);
            self.later(delay, Happening::Arrive(Box::new(envelope)));
        } else {
            if self.rng.chance(faults.duplicate) {
                self.stats.faults += 1;
                let copy = Envelope {
                    awaited: false,
                    ..envelope.clone()
                };
                let delay = trip + self.rng.exponential(600_000.0);
                self.later(delay, Happening::Arrive(Box::new(copy)));
            }
            self.later(trip, Happening::Arrive(Box::new(envelope)));
        }
        Ok(())
    }

    /// Planted bug: an operation that has been sent before goes under another id.
    fn rename(&mut self, envelope: &mut Envelope) {
        let Wire::Push(request) = &mut envelope.wire else {
            return;
        };
        for item in &mut request.items {
            if !self.sent.insert(item.op_id) {
                let mut bytes = self.rng.bytes();
                bytes[0] = 0xff;
                let new = Uuid::from_bytes(bytes);
                envelope.renamed.insert(new, item.op_id);
                item.op_id = new;
            }
        }
    }

    fn time_out(&mut self, envelope: &Envelope) {
        let answer = match &envelope.wire {
            Wire::Push(request) if self.bug == Some(Bug::SettlesOnTimeout) => Answer::Pushed(Ok(invented(request))),
            wire => wire.failed(Fault::Timeout),
        };
        self.answer_later(envelope, answer, DEADLINE_MS);
    }

    fn answer_later(&mut self, envelope: &Envelope, answer: Answer, delay: u64) {
        if envelope.awaited {
            self.later(
                delay,
                Happening::Answer {
                    device: envelope.device,
                    life: envelope.life,
                    request: envelope.request,
                    kind: envelope.wire.kind(),
                    answer: Box::new(answer),
                },
            );
        }
    }

    /// A request arrives at the server.
    pub(crate) fn arrive(&mut self, envelope: Envelope) -> Result<(), Violation> {
        let before_work = self.rng.chance(0.5);
        let fails = self.rng.chance(self.faults.server_error);
        let answer = if self.mood == Mood::Down || (fails && before_work) {
            self.stats.faults += 1;
            envelope.wire.failed(Fault::Server { status: 503 })
        } else if self.rng.chance(self.faults.throttle) && !matches!(envelope.wire, Wire::Probe | Wire::Refresh) {
            self.stats.faults += 1;
            let after_ms = self.rng.chance(0.7).then(|| self.rng.between(1_000, 600_000));
            envelope.wire.failed(Fault::Throttled { after_ms })
        } else {
            let answer = self.work(&envelope)?;
            if fails {
                self.stats.faults += 1;
                envelope.wire.failed(Fault::Server { status: 500 })
            } else {
                answer
            }
        };
        if self.rng.chance(self.faults.lose_answer) {
            self.stats.faults += 1;
            self.time_out(&envelope);
            return Ok(());
        }
        let delay = if self.rng.chance(self.faults.slow) {
            self.rng.between(1_000, DEADLINE_MS - 2_000)
        } else {
            self.rng.between(5, 300)
        };
        self.answer_later(&envelope, answer, delay);
        Ok(())
    }

    fn work(&mut self, envelope: &Envelope) -> Result<Answer, Violation> {
        if !envelope.token_valid && matches!(envelope.wire, Wire::Push(_) | Wire::Pull(_)) {
            return Ok(envelope.wire.failed(Fault::SignIn));
        }
        Ok(match &envelope.wire {
            Wire::Probe => Answer::Probed(Ok(())),
            Wire::Refresh => Answer::Refreshed(self.refresh(envelope.device)),
            Wire::Resolve => envelope.wire.failed(Fault::Offline),
            Wire::Pull(request) => match self.server.pull(envelope.user, request, self.clock.true_wall_ms()) {
                Some(mut response) => {
                    if self.bug == Some(Bug::IgnoresBranch) {
                        response.branch = request.epoch.clone().map(|parent| Branch {
                            parent,
                            change: i64::MAX,
                        });
                    }
                    Answer::Pulled(wire::pull_page(response).ok_or(Fault::Unrecognised { status: 200 }))
                }
                None => envelope.wire.failed(Fault::Unrecognised { status: 403 }),
            },
            Wire::Push(request) => match self.push(envelope, request)? {
                Ok(answer) => Answer::Pushed(Ok(answer)),
                Err(fault) => envelope.wire.failed(fault),
            },
        })
    }

    /// Half the time a refresh works; otherwise the user has to sign in, some time.
    fn refresh(&mut self, device: usize) -> Result<(), TokenFault> {
        if self.rng.chance(0.6) {
            self.devices[device].token_valid = true;
            Ok(())
        } else if self.rng.chance(0.3) {
            Err(TokenFault::Offline)
        } else {
            let delay = self.rng.between(60_000, 3 * 3_600_000);
            self.later(delay, Happening::SignIn(device));
            Err(TokenFault::SignInNeeded)
        }
    }

    fn push(&mut self, envelope: &Envelope, request: &SyncRequest) -> Result<Result<PushAnswer, Fault>, Violation> {
        let most = self.faults.most_items;
        if most > 0 && request.items.len() > most {
            return Ok(Err(Fault::TooLarge));
        }
        let mut request = request.clone();
        let mut results = Vec::new();
        if self.mood == Mood::RefusesAll {
            results.extend(
                request
                    .items
                    .drain(..)
                    .map(|item| error(item.op_id, item.entity_id, code::FORBIDDEN)),
            );
        }
        let (rng, chance) = (&mut self.rng, self.faults.try_later);
        request.items.retain(|item| {
            let later = rng.chance(chance);
            if later {
                results.push(error(item.op_id, item.entity_id.clone(), code::TRY_LATER));
            }
            !later
        });
        let now = self.clock.true_wall_ms();
        let known = self
            .server
            .account(envelope.user)
            .map_or(0, |account| account.log().len());
        let Some(mut response) = self.server.sync(envelope.user, &request, now) else {
            return Ok(Err(Fault::Unrecognised { status: 403 }));
        };
        self.trace.line(
            self.clock.now(),
            format_args!(
                "server answers {} of {}: {}",
                envelope.request,
                envelope.device,
                verdicts(&response)
            ),
        );
        if response
            .results
            .iter()
            .any(|result| result.code.as_deref() == Some(code::OP_REUSED))
        {
            return broken(
                "once",
                format!("device {} used an operation id for two contents", envelope.device),
            );
        }
        self.look_at_server(envelope.user, known)?;
        response.results.extend(results);
        if self.rng.chance(self.faults.shuffle) {
            self.rng.shuffle(&mut response.results);
        }
        if self.rng.chance(self.faults.partial) {
            let rng = &mut self.rng;
            response.results.retain(|_| rng.chance(0.6));
        }
        let mut answer = wire::push_answer(response);
        for (op, _) in &mut answer.results {
            *op = *envelope.renamed.get(op).unwrap_or(op);
        }
        if self.bug == Some(Bug::ResultsByPosition) {
            for (result, item) in answer.results.iter_mut().zip(&request.items) {
                result.0 = item.op_id;
            }
        }
        Ok(Ok(answer))
    }

    /// What has just been applied keeps the promises that can be seen from here.
    fn look_at_server(&mut self, user: &'static str, known: usize) -> Result<(), Violation> {
        let Some(account) = self.server.account(user) else {
            return Ok(());
        };
        self.oracle.read_server(user, account)?;
        for applied in account.log().get(known..).unwrap_or_default() {
            if matches!(applied.operation, Operation::Complete | Operation::Skip) {
                self.check_children(user, applied)?;
            }
        }
        Ok(())
    }

    /// A session's end never arrives before its children.
    fn check_children(&self, user: &'static str, applied: &Applied) -> Result<(), Violation> {
        let device = self.devices.iter().find(|device| device.id == applied.device);
        let Some((app, account)) = device
            .filter(|device| device.user() == user)
            .and_then(|device| Some((device.app.as_ref()?, self.server.account(user)?)))
        else {
            return Ok(());
        };
        let entries = app.inspect.entries()?;
        let Some(end) = entries.iter().find(|entry| entry.op == applied.op) else {
            return Ok(());
        };
        let early = entries.iter().find(|entry| {
            entry.lane == end.id && entry.id != end.id && entry.seq < end.seq && !account.has_applied(entry.op)
        });
        match early {
            Some(child) => broken(
                "in order",
                format!(
                    "{:?} ended before its {}/{} arrived",
                    applied.key, child.collection, child.id
                ),
            ),
            None => Ok(()),
        }
    }
}

fn error(op_id: Uuid, entity_id: String, code: &str) -> SyncResult {
    SyncResult {
        op_id,
        entity_id,
        status: SyncStatus::Error,
        code: Some(code.to_owned()),
        server: None,
        server_version: 0,
        change: 0,
        updated_at: None,
        server_id: None,
        error_message: None,
        retry_after_ms: None,
    }
}

/// Planted bug: success for everything.
fn invented(request: &SyncRequest) -> PushAnswer {
    let accepted = |version| {
        Outcome::Accepted(Accepted {
            version,
            ..Accepted::default()
        })
    };
    PushAnswer {
        results: request
            .items
            .iter()
            .map(|item| (item.op_id, accepted(item.version + 1)))
            .collect(),
        server_time: None,
        epoch: None,
    }
}

fn shape(wire: &Wire) -> String {
    match wire {
        Wire::Push(request) => request.items.iter().fold(String::new(), |mut text, item| {
            let op = item.op_id.simple().to_string();
            text.push_str(&format!(
                " [{:?} {}/{} v{} {}{}]",
                item.operation,
                item.entity_type,
                &item.entity_id[item.entity_id.len().saturating_sub(6)..],
                item.version,
                if item.base_op.is_some() { "chained " } else { "" },
                &op[26..],
            ));
            text
        }),
        _ => String::new(),
    }
}

fn verdicts(response: &SyncResponse) -> String {
    let one = |result: &SyncResult| match result.status {
        SyncStatus::Success => format!("v{} #{}", result.server_version, result.change),
        SyncStatus::Conflict => format!(
            "conflict v{}",
            result.server.as_ref().map_or(0, |server| server.version)
        ),
        SyncStatus::Error => result.code.clone().unwrap_or_default(),
    };
    response.results.iter().map(one).collect::<Vec<_>>().join(", ")
}
