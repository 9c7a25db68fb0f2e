//! The network between a device's runner and the server, with everything it does to requests and
//! answers, and the server's own bad days.

use crate::{
    app::PARKS_ENTRIES,
    backend::Account,
    bug::Bug,
    chance::Area,
    device::App,
    faults::Sleep,
    inspect::PARKED,
    oracle::{Violation, broken},
    server::Applied,
    world::{Happening, World},
};
use keepsync::{
    conflict::{self, Unresolved, Verdict},
    drain::{Answer, Request},
    remote::{Accepted, Fault, Outcome, PushAnswer, TokenFault, wire},
};
use keepsync_server::{check::Unfit, storage::TokenHash};
use keepsync_wire::{
    Branch, Operation, PullRequest, PullResponse, SyncRequest, SyncResponse, SyncResult, SyncStatus, code,
};
use uuid::Uuid;

/// How long the real runner waits for the head of an answer: to connect in, and for the first bytes.
pub(crate) const DEADLINE_MS: u64 = 30_000;

/// How long the real runner tries to connect.
const CONNECT_MS: u64 = 10_000;

/// The real runner gives a large request a millisecond more for each so many bytes.
const SLOWEST_UPLINK: u64 = 8;

/// When TCP sends again what was not acknowledged, in milliseconds since it last did: twice the time each time.
const RESEND_MS: u64 = 200;

/// An answer that no cut between device and server can hold up.
const NOT_FROM_AFAR: u32 = u32::MAX;

/// The same for the first packet of a connection.
const RECONNECT_MS: u64 = 1_000;

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
    /// Whether anyone still waits for the answer.
    awaited: bool,
    /// The life of the server it was sent to; `None` if there was no connection yet.
    server_life: Option<u64>,
    /// How often the network below has sent it.
    tries: u32,
}

/// What is in it.
#[derive(Debug, Clone)]
enum Wire {
    Push(SyncRequest),
    Pull(PullRequest),
    Probe,
    Refresh(TokenHash),
    /// Not on the wire at all: a question to the app's own resolver.
    Resolve(Box<Unresolved>),
}

impl Wire {
    /// Bytes of bodies on their way out.
    fn size(&self) -> u64 {
        match self {
            Self::Push(request) => request
                .items
                .iter()
                .map(|item| item.data.as_ref().map_or(0, |data| data.get().len() as u64))
                .sum(),
            _ => 0,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Push(_) => "push",
            Self::Pull(_) => "pull",
            Self::Probe => "probe",
            Self::Refresh(_) => "refresh",
            Self::Resolve(_) => "resolve",
        }
    }

    fn failed(&self, fault: Fault) -> Answer {
        match self {
            Self::Push(_) => Answer::Pushed(Err(fault)),
            Self::Pull(_) => Answer::Pulled(Err(fault)),
            Self::Probe => Answer::Probed(Err(fault)),
            Self::Refresh(_) => Answer::Refreshed(Err(TokenFault::Offline)),
            Self::Resolve(_) => Answer::Resolved(Err("nobody was asked".to_owned())),
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
            Request::Refresh => Wire::Refresh(self.refresh_token(at)?),
            Request::Resolve(asked) => Wire::Resolve(asked),
        };
        if matches!(wire, Wire::Push(_) | Wire::Pull(_)) {
            self.check_patience(at)?;
        }
        let now = self.clock.now();
        if self.rng.chance(self.faults.token_expires) {
            self.devices[at].token_valid = false;
        }
        let device = &mut self.devices[at];
        let mut connected = false;
        if let Some(app) = &mut device.app {
            app.open_request = Some((request, wire.kind()));
            connected = app.connected;
        }
        let mut envelope = Envelope {
            device: at,
            life: device.life,
            request,
            user: device.user(),
            token_valid: device.token_valid,
            wire,
            awaited: true,
            server_life: connected.then_some(self.server_life),
            tries: 0,
        };
        let (online, kind) = (device.online, envelope.wire.kind());
        self.trace.line(
            now,
            format_args!("{at} sends {kind} {request}{}", shape(&envelope.wire)),
        );
        if let Wire::Resolve(asked) = &envelope.wire {
            let (answer, delay) = self.consult(at, asked);
            self.answer_here(&envelope, answer, delay);
            return Ok(());
        }
        if !online {
            let delay = self.rng.between(1, 200);
            self.answer_here(&envelope, envelope.wire.failed(Fault::Offline), delay);
            return Ok(());
        }
        if self.bug == Some(Bug::RefreshesTwice) && matches!(envelope.wire, Wire::Refresh(_)) {
            let delay = self.rng.between(5, 300);
            self.later(delay, Happening::Arrive(Box::new(envelope.clone())));
        }
        self.give_up_later(&envelope, connected);
        let trip = self.rng.between(self.delays.0, self.delays.1);
        let faults = &self.faults;
        if self.rng.chance(faults.portal) {
            self.stats.faults += 1;
            let fault = if self.rng.chance(0.5) {
                Fault::Offline
            } else {
                Fault::Unrecognised { status: 200 }
            };
            self.answer_here(&envelope, envelope.wire.failed(fault), trip);
        } else if self.rng.chance(faults.lose_request) {
            self.stats.faults += 1;
        } else if self.rng.chance(faults.late_request) {
            self.stats.faults += 1;
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

    /// The app's resolver decides, on the device, in its own time.
    fn consult(&mut self, at: usize, asked: &Unresolved) -> (Answer, u64) {
        let patience = self.devices[at].settings().resolver_ms;
        if self.rng.chance(self.faults.resolver_slow) {
            self.stats.faults += 1;
            return (Answer::Resolved(Err("the resolver took too long".to_owned())), patience);
        }
        let says = if self.rng.chance(self.faults.resolver_fails) {
            self.stats.faults += 1;
            Err("the resolver does not know".to_owned())
        } else {
            Ok(match self.rng.below(5) {
                0 | 1 => Verdict::KeepLocal,
                2 => Verdict::KeepRemote,
                3 => Verdict::Ask,
                _ => match asked.conflict.local.clone().or(asked.conflict.remote.clone()) {
                    Some(body) => Verdict::Merge(body),
                    None => Verdict::KeepLocal,
                },
            })
        };
        let judge = &self.devices[at].judge;
        judge.says(says);
        let answer = conflict::consult(&judge.resolvers(), asked);
        (Answer::Resolved(answer), self.rng.between(1, patience - 1))
    }

    /// The runner's deadlines: to connect in, and for the first bytes of an answer.
    fn give_up_later(&mut self, envelope: &Envelope, connected: bool) {
        let mut give_up = |delay: u64, connecting: bool| {
            let answer = match &envelope.wire {
                Wire::Push(request) if self.bug == Some(Bug::SettlesOnTimeout) => Answer::Pushed(Ok(invented(request))),
                wire => wire.failed(Fault::Timeout),
            };
            self.later(
                delay,
                Happening::GiveUp {
                    device: envelope.device,
                    life: envelope.life,
                    request: envelope.request,
                    kind: envelope.wire.kind(),
                    answer: Box::new(answer),
                    connecting,
                },
            );
        };
        if !connected {
            give_up(CONNECT_MS, true);
        }
        give_up(DEADLINE_MS + envelope.wire.size() / SLOWEST_UPLINK, false);
    }

    /// The server's answer sets out.
    fn answer_later(&mut self, envelope: &Envelope, answer: Answer, delay: u64) {
        self.answer_by(envelope, answer, delay, 0);
    }

    /// The device itself answers, or somebody beside it.
    fn answer_here(&mut self, envelope: &Envelope, answer: Answer, delay: u64) {
        self.answer_by(envelope, answer, delay, NOT_FROM_AFAR);
    }

    fn answer_by(&mut self, envelope: &Envelope, answer: Answer, delay: u64, tries: u32) {
        if envelope.awaited {
            self.later(
                delay,
                Happening::Answer {
                    device: envelope.device,
                    life: envelope.life,
                    request: envelope.request,
                    kind: envelope.wire.kind(),
                    answer: Box::new(answer),
                    tries,
                },
            );
        }
    }

    /// An answer comes to a device, if the network lets it.
    pub(crate) fn come_in(
        &mut self,
        at: usize,
        life: u64,
        request: u64,
        kind: &'static str,
        answer: Box<Answer>,
        tries: u32,
    ) -> Result<(), Violation> {
        let from_afar = tries != NOT_FROM_AFAR && self.devices[at].online;
        if from_afar && self.devices[at].is_cut(false, self.clock.now()) {
            if self.faults.half_open == 0.0 && tries < 8 {
                self.later(
                    RESEND_MS << tries,
                    Happening::Answer {
                        device: at,
                        life,
                        request,
                        kind,
                        answer,
                        tries: tries + 1,
                    },
                );
            }
            return Ok(());
        }
        let device = &mut self.devices[at];
        if let Some(app) = &mut device.app
            && app.open_request.is_some_and(|(open, _)| open == request)
            && device.life == life
        {
            app.connected = from_afar && !is_broken(&answer);
        }
        self.deliver(at, life, request, kind, *answer)
    }

    /// A request arrives at the server.
    pub(crate) fn arrive(&mut self, mut envelope: Envelope) -> Result<(), Violation> {
        let now = self.clock.now();
        let at = envelope.device;
        let fresh = envelope.server_life.is_none();
        let cut = self.devices[at].is_cut(true, now) || (fresh && self.devices[at].is_cut(false, now));
        if envelope.awaited && cut {
            // What opens a connection is sent again in any case.
            if (fresh || self.faults.half_open == 0.0) && envelope.tries < 8 {
                let after = (if fresh { RECONNECT_MS } else { RESEND_MS }) << envelope.tries;
                envelope.tries += 1;
                self.later(after, Happening::Arrive(Box::new(envelope)));
            }
            return Ok(());
        }
        if now < self.server_down_until {
            self.answer_later(&envelope, envelope.wire.failed(Fault::Offline), 5);
            return Ok(());
        }
        if envelope.server_life.is_some_and(|life| life != self.server_life) {
            self.answer_later(&envelope, envelope.wire.failed(Fault::Timeout), 5);
            return Ok(());
        }
        if let Some(app) = &mut self.devices[at].app
            && app.open_request.is_some_and(|(open, _)| open == envelope.request)
        {
            app.connected = true;
        }
        let before_work = self.rng.chance(0.5);
        let restarts = self.rng.chance(self.faults.restart_at_request);
        if restarts && before_work {
            self.restart();
            self.answer_later(&envelope, envelope.wire.failed(Fault::Timeout), 5);
            return Ok(());
        }
        let fails = self.rng.chance(self.faults.server_error);
        let answer = if self.mood == Mood::Down || (fails && before_work) {
            self.stats.faults += 1;
            envelope.wire.failed(Fault::Server { status: 503 })
        } else if self.rng.chance(self.faults.throttle) && !matches!(envelope.wire, Wire::Probe | Wire::Refresh(_)) {
            self.stats.faults += 1;
            let after_ms = self.rng.chance(0.7).then(|| self.rng.between(1_000, 600_000));
            envelope.wire.failed(Fault::Throttled { after_ms })
        } else {
            self.look_ahead(&envelope)?;
            let answer = self.work(&envelope)?;
            if self.dozes(&envelope)? {
                return self.drop_off(at);
            }
            if fails {
                self.stats.faults += 1;
                envelope.wire.failed(Fault::Server { status: 500 })
            } else {
                answer
            }
        };
        if restarts {
            self.restart();
            self.answer_later(&envelope, envelope.wire.failed(Fault::Timeout), 5);
            return Ok(());
        }
        if self.rng.chance(self.faults.lose_answer) {
            self.stats.faults += 1;
            return Ok(());
        }
        let answer = if self.rng.chance(self.faults.truncate) {
            self.stats.faults += 1;
            // Bytes are missing: the connection broke off, or somebody in between closed it in good order.
            let broke_off = self.rng.chance(0.7);
            let unreadable = Fault::Unrecognised { status: 200 };
            envelope
                .wire
                .failed(if broke_off { Fault::Timeout } else { unreadable })
        } else {
            answer
        };
        let delay = if self.rng.chance(self.faults.late_answer) {
            self.stats.faults += 1;
            self.rng.between(DEADLINE_MS, 4 * DEADLINE_MS)
        } else if self.rng.chance(self.faults.slow) {
            self.rng.between(1_000, DEADLINE_MS - 2_000)
        } else {
            self.rng.between(self.delays.0, self.delays.1)
        };
        self.answer_later(&envelope, answer, delay);
        Ok(())
    }

    fn work(&mut self, envelope: &Envelope) -> Result<Answer, Violation> {
        if matches!(envelope.wire, Wire::Push(_) | Wire::Pull(_)) && !envelope.token_valid {
            return Ok(envelope.wire.failed(Fault::SignIn));
        }
        Ok(match &envelope.wire {
            Wire::Probe => Answer::Probed(Ok(())),
            Wire::Refresh(token) => Answer::Refreshed(self.refresh(envelope, token)?),
            Wire::Resolve(_) => envelope.wire.failed(Fault::Offline),
            Wire::Pull(request) => match self.pull(envelope, request)? {
                Ok(mut response) => {
                    if self.bug == Some(Bug::IgnoresBranch) {
                        response.branch = request.epoch.clone().map(|parent| Branch {
                            parent,
                            change: i64::MAX,
                        });
                    }
                    Answer::Pulled(wire::pull_page(response).ok_or(Fault::Unrecognised { status: 200 }))
                }
                Err(why) => envelope.wire.failed(refused(why)),
            },
            Wire::Push(request) => match self.push(envelope, request)? {
                Ok(answer) => Answer::Pushed(Ok(answer)),
                Err(fault) => envelope.wire.failed(fault),
            },
        })
    }

    /// Mostly a refresh works; sometimes the user was signed out elsewhere, and has to sign in, some time.
    fn refresh(&mut self, envelope: &Envelope, token: &TokenHash) -> Result<Result<(), TokenFault>, Violation> {
        let (device, owner) = (envelope.device, (envelope.device, envelope.user));
        let asks = |app: &App| app.open_request.is_some_and(|(open, _)| open == envelope.request);
        let waits = self.devices[device].life == envelope.life && self.devices[device].app.as_ref().is_some_and(asks);
        let waits = waits || self.bug == Some(Bug::RefreshesTwice);
        let asker = (envelope.awaited && waits).then_some((device, envelope.life, envelope.request));
        let answer = if asker.is_none() || self.rng.chance(0.6) {
            self.trade(owner, token, asker)?
        } else if self.rng.chance(0.3) {
            Err(TokenFault::Offline)
        } else {
            self.sign_out(owner);
            Err(TokenFault::SignInNeeded)
        };
        if answer == Err(TokenFault::SignInNeeded) {
            let delay = self.rng.between(60_000, 3 * 3_600_000);
            self.later(delay, Happening::SignIn(device));
        }
        Ok(answer)
    }

    fn push(&mut self, envelope: &Envelope, request: &SyncRequest) -> Result<Result<PushAnswer, Fault>, Violation> {
        let most = match self.faults.most_items {
            0 => usize::MAX,
            most => most,
        };
        if request.items.len() > most {
            return Ok(Err(refused(Unfit::TooMany("items"))));
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
        let current = self.is_current(envelope.user, &request);
        let mut response = match self.server.push(envelope.user, &request, most, now)? {
            Ok(response) => response,
            Err(why) => return Ok(Err(refused(why))),
        };
        answers_again(&current, &response)?;
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
        Ok(Ok(wire::push_answer(response)))
    }

    /// The operations of a request that made the version their record has, with that version.
    fn is_current(&self, user: &str, request: &SyncRequest) -> Vec<(Uuid, i64)> {
        let Some(account) = self.server.account(user).filter(|_| !self.plot.oracle_only) else {
            return Vec::new();
        };
        let sent = request.items.iter().filter(|item| account.has_applied(item.op_id));
        let current = sent.filter_map(|item| {
            let key = (item.entity_type.clone(), item.entity_id.clone());
            let stored = account.record(&key)?;
            (stored.version.op_id == Some(item.op_id)).then_some((item.op_id, stored.version.version))
        });
        current.collect()
    }

    /// Before a push is applied, a copy of the server's data is made, for the next pull.
    fn look_ahead(&mut self, envelope: &Envelope) -> Result<(), Violation> {
        let (at, user) = (envelope.device, envelope.user);
        let is_push = matches!(envelope.wire, Wire::Push(_)) && self.faults.old_page > 0.0;
        if is_push
            && self.chance.of(Area::Copy, at).chance(self.faults.old_page)
            && let Some(next) = self.copies.next(at, user)
            && let Some(page) = self.server.page(user, next, self.clock.true_wall_ms())?
        {
            self.copies.keep(at, user, page);
        }
        Ok(())
    }

    fn pull(&mut self, envelope: &Envelope, request: &PullRequest) -> Result<Result<PullResponse, Unfit>, Violation> {
        let (at, user, now) = (envelope.device, envelope.user, self.clock.true_wall_ms());
        if self.faults.old_page == 0.0 {
            return self.server.pull(user, request, now);
        }
        if let Some(mut page) = self.copies.take(at, user, request) {
            self.stats.faults += 1;
            self.trace
                .line(self.clock.now(), format_args!("server: a copy that is behind answers"));
            page.server_time = now;
            self.copies.pulled(at, user, request, &page);
            return Ok(Ok(page));
        }
        let answer = self.server.pull(user, request, now)?;
        if let Ok(page) = &answer {
            self.copies.pulled(at, user, request, page);
        }
        Ok(answer)
    }

    /// Whether a device goes off just now for long, and is not told what became of what it sent.
    fn dozes(&self, envelope: &Envelope) -> Result<bool, Violation> {
        let asks = |app: &App| app.open_request.is_some_and(|(open, _)| open == envelope.request);
        let device = &self.devices[envelope.device];
        let waits = device.life == envelope.life && device.app.as_ref().is_some_and(asks);
        let drowsy =
            waits && matches!(envelope.wire, Wire::Push(_)) && self.is_drowsy(envelope.device, Sleep::Unanswered);
        // Of a deletion that arrived nothing may be left at all, and the creation before it would be applied again.
        let deletes = |app: &App| Ok::<_, Violation>(app.inspect.entries()?.iter().any(|entry| entry.kind == "delete"));
        Ok(drowsy && !device.app.as_ref().map_or(Ok(false), deletes)?)
    }

    /// What has just been applied keeps the promises that can be seen from here.
    fn look_at_server(&mut self, user: &'static str, known: usize) -> Result<(), Violation> {
        let Some(account) = self.server.account(user).filter(|_| !self.plot.oracle_only) else {
            return Ok(());
        };
        self.oracle.read_server(user, account)?;
        self.check_followed(user, account, account.log().get(known..).unwrap_or_default())
    }

    /// Of what one request has brought: a session's end never arrives before its children, and nothing before a refused
    /// write of its record, unless its collection parks entries alone.
    fn check_followed(&self, user: &'static str, account: &Account, news: &[Applied]) -> Result<(), Violation> {
        let sender = news.first().map(|applied| &applied.device);
        let device = self.devices.iter().find(|device| Some(&device.id) == sender);
        let Some(app) = device
            .filter(|device| device.user() == user)
            .and_then(|device| device.app.as_ref())
        else {
            return Ok(());
        };
        let entries = app.inspect.entries()?;
        for applied in news {
            let Some(sent) = entries.iter().find(|entry| entry.op == applied.op) else {
                continue;
            };
            let ends = matches!(applied.operation, Operation::Complete | Operation::Skip);
            // A restored server is given again what it had, and may refuse it now.
            let in_lane = applied.key.0 != PARKS_ENTRIES && self.oracle.restores == 0;
            let missing = entries.iter().find(|entry| {
                let is_child = ends && entry.lane == sent.id && entry.id != sent.id;
                let same = (&entry.collection, &entry.id) == (&sent.collection, &sent.id);
                let is_refused = in_lane && same && entry.state == PARKED;
                (is_child || is_refused) && entry.seq < sent.seq && !account.has_applied(entry.op)
            });
            if let Some(before) = missing {
                let (how, what) = (applied.operation, &applied.key);
                let record = (&before.collection, &before.id);
                return broken(
                    "in order",
                    format!("{how:?} of {what:?} arrived before {} of {record:?}", before.op),
                );
            }
        }
        Ok(())
    }
}

/// An operation that comes again is answered as at first; one that made its record's version always, however long
/// ago that was.
fn answers_again(current: &[(Uuid, i64)], response: &SyncResponse) -> Result<(), Violation> {
    for (op, version) in current {
        let result = response.results.iter().find(|result| result.op_id == *op);
        if result.is_some_and(|result| result.status != SyncStatus::Success || result.server_version != *version) {
            return broken(
                "once",
                format!("{op} made version {version}, which is current; when it came again the answer was {result:?}"),
            );
        }
    }
    Ok(())
}

/// What the device's remote makes of the server's answer.
fn refused(why: Unfit) -> Fault {
    match why {
        Unfit::OtherUser => Fault::Unrecognised { status: 403 },
        Unfit::Device => Fault::Unrecognised { status: 400 },
        Unfit::TooMany(_) => Fault::TooLarge,
    }
}

/// Whether the connection it would have come over is gone.
fn is_broken(answer: &Answer) -> bool {
    matches!(
        answer,
        Answer::Pushed(Err(Fault::Timeout | Fault::Offline))
            | Answer::Pulled(Err(Fault::Timeout | Fault::Offline))
            | Answer::Probed(Err(_))
            | Answer::Refreshed(Err(TokenFault::Offline))
    )
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
