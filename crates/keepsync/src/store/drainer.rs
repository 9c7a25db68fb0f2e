//! Carries the drain's instructions out on tokio: storage steps on the writer's thread, requests on
//! the network, one timer. It holds nothing of the store but the writer and what is told to it, so a
//! store that is dropped is gone.
//!
//! Where several processes have the file open, only the owner of the drain lets passes start
//! ([`owner`](super::owner)). What would have started one elsewhere is kept, and starts it here when
//! ownership comes.

use super::{
    hub::{Hub, Subject},
    owner::{Owner, SECOND},
    writer::Writer,
};
use crate::{
    conflict::{self, Resolvers, Unresolved},
    drain::{Answer, Drain, Event, HalfResult, Instruction, Report, Request, Snapshot, StepDone, Trigger},
    env::{self, Env, Ticks},
    error::{Error, Result as Outcome},
    remote::{Fault, Remote, Token, TokenFault, Tokens},
};
use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// How long the app's sign-in may take to give a token.
const TOKEN_PATIENCE: Duration = Duration::from_secs(30);

/// How long somebody who asks for a drain waits for another process to be done with its own.
const TURN_PATIENCE: Duration = Duration::from_secs(3);

/// What is asked of the drain.
pub(super) enum Command {
    Event(Event),
    /// Answered with the report of the pass this starts or joins.
    Sync(Trigger, oneshot::Sender<Report>),
}

pub(super) struct Drainer {
    pub(super) drain: Drain,
    pub(super) writer: Arc<Writer>,
    pub(super) hub: Arc<Hub>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) tokens: Option<Arc<Tokens>>,
    pub(super) resolvers: Resolvers,
    /// How long one of them may take.
    pub(super) patience: Duration,
    pub(super) env: Arc<dyn Env>,
    pub(super) ticks: Ticks,
    pub(super) snapshot: watch::Sender<Snapshot>,
    pub(super) owner: Owner,
    /// Makes a drain that has done nothing yet, with the stored floor of a throttled backend.
    pub(super) anew: Box<dyn Fn(Option<i64>) -> Drain + Send + Sync>,
    pub(super) turn: Turn,
}

/// What the drainer knows beside its drain.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Whether the app is active: ownership is kept between passes then.
    active: bool,
    /// What would have started a pass, had another process not been the owner.
    missed: Option<Trigger>,
    /// How often others had written when this process last had the drain.
    elsewhere: u64,
    /// When to look at the lock, or at what others wrote, again.
    look: Option<Instant>,
}

/// Who waits for a pass, and since when.
struct Caller {
    trigger: Trigger,
    asked: Instant,
    answer: oneshot::Sender<Report>,
}

/// What another process may have changed.
struct Found {
    elsewhere: u64,
    throttled_until: Option<i64>,
    needs_first_sync: bool,
}

type Open = Pin<Box<dyn Future<Output = Answered> + Send>>;

struct Answered {
    request: u64,
    answer: Answer,
    /// The token it went out with: a refresh names it.
    token: Option<Token>,
}

impl Drainer {
    /// Runs until every sender of commands is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut waiting: Vec<Caller> = Vec::new();
        let mut open: Option<Open> = None;
        let mut timer: Option<u64> = None;
        let mut used: Option<Token> = None;
        let mut sendable = self.hub.subject(Subject::Sendable);
        let mut events: VecDeque<Event> = VecDeque::new();
        loop {
            while let Some(event) = events.pop_front() {
                if let Event::Active(active) = event {
                    self.turn.active = active;
                }
                let Some(event) = self.admit(event, &mut events).await else {
                    self.tell_refused(&mut waiting);
                    continue;
                };
                let now = self.ticks.now(&*self.env);
                let instructions = self.drain.handle(event, now, env::unit(self.env.random()));
                // Before anybody is told that a pass is over: who asks then gets the status after it.
                self.show();
                for instruction in instructions {
                    match instruction {
                        Instruction::Step(step) => match self.writer.step(step).await {
                            // Whoever waits is told by the end of this.
                            StepDone::Failed { code } if code == Error::Closed.code() => return,
                            done => events.push_back(Event::Stepped(done)),
                        },
                        Instruction::Request { request, what } => open = Some(self.ask(request, what, used.clone())),
                        Instruction::Abandon => {
                            open = None;
                            // Nothing was heard on its connection, or it is cut in the middle: not used again.
                            self.remote.network_changed();
                        }
                        Instruction::Timer(at) => timer = at,
                        Instruction::Finished(report) => {
                            // A pass that only sent what was just written is not what was asked for.
                            let only_pushed = report.trigger.is_some_and(Trigger::only_pushes);
                            let asked = |caller: &mut Caller| !only_pushed || caller.trigger.only_pushes();
                            for caller in waiting.extract_if(.., asked) {
                                // A caller that has gone away needs no answer.
                                let _ = caller.answer.send(report.clone());
                            }
                        }
                    }
                }
            }
            self.let_go();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Event(event)) => events.push_back(event),
                    Some(Command::Sync(trigger, caller)) => {
                        waiting.push(Caller { trigger, asked: Instant::now(), answer: caller });
                        events.push_back(Event::Wake(trigger));
                    }
                },
                answered = answer(&mut open) => {
                    open = None;
                    if answered.token.is_some() {
                        used = answered.token;
                    }
                    events.push_back(Event::Answered { request: answered.request, answer: answered.answer });
                }
                () = written(&mut sendable) => events.push_back(Event::Wake(Trigger::Write)),
                () = until(timer.filter(|_| self.turn.missed.is_none()), &self.ticks, &*self.env) => {
                    timer = None;
                    events.push_back(Event::Timer);
                }
                () = moment(self.turn.look) => {
                    self.turn.look = None;
                    match self.turn.missed {
                        Some(trigger) => events.push_back(Event::Wake(trigger)),
                        None => drop(self.look().await),
                    }
                }
            }
        }
    }

    /// Lets an event through to the drain. `None`: not now, because another process is the owner; or the
    /// drain begins anew, and the event stands in `events` again.
    async fn admit(&mut self, event: Event, events: &mut VecDeque<Event>) -> Option<Event> {
        let trigger = match &event {
            // It only sets a timer.
            Event::Wake(Trigger::Write) => return Some(event),
            Event::Wake(trigger) => *trigger,
            Event::Timer => Trigger::Timer,
            _ => return Some(event),
        };
        if self.drain.is_busy() || self.owner.is_owner() {
            return Some(event);
        }
        if !self.owner.take() {
            let missed = self.turn.missed.get_or_insert(trigger);
            if trigger == Trigger::User {
                *missed = trigger;
            }
            self.turn.look = Some(Instant::now() + self.owner.again_in());
            // What the owner has done meanwhile is shown here too.
            let _ = self.look().await;
            self.show();
            return None;
        }
        let was_refused = self.turn.missed.take().is_some();
        self.turn.look = None;
        let found = match self.look().await {
            Ok(found) if was_refused || found.elsewhere != self.turn.elsewhere => found,
            // A file that cannot be looked at now is the next step's business.
            _ => return Some(event),
        };
        self.turn.elsewhere = found.elsewhere;
        self.drain = (self.anew)(found.throttled_until);
        for first in [
            Event::Wake(trigger),
            Event::NeedsFirstSync(found.needs_first_sync),
            Event::Active(self.turn.active),
        ] {
            events.push_front(first);
        }
        None
    }

    /// Looks at what others wrote; whoever follows it is told.
    async fn look(&self) -> Outcome<Found> {
        let look = self.writer.write(|write| {
            let read = write.read();
            Ok(Found {
                elsewhere: write.elsewhere,
                throttled_until: read.meta("throttled_until")?,
                needs_first_sync: !read.needs_first_sync()?.is_empty(),
            })
        });
        look.await
    }

    /// Ownership is kept while a pass runs or the app is active. What others write meanwhile is looked for,
    /// once it is known that there are others.
    fn let_go(&mut self) {
        if !self.owner.is_owner() || self.drain.is_busy() {
            return;
        }
        if !(self.turn.active && self.drain.is_automatic()) {
            self.owner.let_go();
            self.turn.look = None;
        } else if self.hub.has_others() && self.turn.look.is_none() {
            self.turn.look = Some(Instant::now() + SECOND);
        }
    }

    /// Who has waited long enough for another process is told that it is the one that drains.
    fn tell_refused(&mut self, waiting: &mut Vec<Caller>) {
        if !self.owner.was_refused() {
            return;
        }
        let has_waited = |caller: &mut Caller| {
            let patience = match caller.trigger {
                _ if caller.answer.is_closed() => Duration::ZERO,
                Trigger::Background { budget_ms } => TURN_PATIENCE.min(Duration::from_millis(budget_ms)),
                _ => TURN_PATIENCE,
            };
            caller.asked.elapsed() >= patience
        };
        for caller in waiting.extract_if(.., has_waited) {
            let elsewhere = HalfResult::Failed(Snapshot::ELSEWHERE);
            let _ = caller.answer.send(Report {
                trigger: Some(caller.trigger),
                pull: elsewhere,
                push: elsewhere,
                ..Report::default()
            });
        }
        if waiting.is_empty() && !self.drain.is_automatic() {
            // Nobody wants a pass any more, and none starts by itself.
            self.turn.missed = None;
            self.turn.look = None;
        }
    }

    fn show(&self) {
        let shown = self.drain.snapshot().elsewhere(self.owner.was_refused());
        self.snapshot.send_if_modified(|snapshot| {
            let changed = *snapshot != shown;
            *snapshot = shown;
            changed
        });
        self.hub.touch(Subject::Status);
    }

    fn ask(&self, request: u64, what: Request, used: Option<Token>) -> Open {
        let remote = Arc::clone(&self.remote);
        let tokens = self.tokens.clone();
        let resolvers = self.resolvers.clone();
        let patience = self.patience;
        Box::pin(async move {
            let (answer, token) = match what {
                Request::Probe => (Answer::Probed(remote.probe().await), None),
                Request::Resolve(unresolved) => {
                    (Answer::Resolved(resolve(resolvers, *unresolved, patience).await), None)
                }
                Request::Refresh => (Answer::Refreshed(refresh(tokens, used).await), None),
                Request::Pull(pull) => match current(tokens).await {
                    Err(fault) => (Answer::Pulled(Err(fault)), None),
                    Ok(token) => (Answer::Pulled(remote.pull(token.as_ref(), pull).await), token),
                },
                Request::Push(batch) => match current(tokens).await {
                    Err(fault) => (Answer::Pushed(Err(fault)), None),
                    Ok(token) => (Answer::Pushed(remote.push(token.as_ref(), batch).await), token),
                },
            };
            Answered { request, answer, token }
        })
    }
}

/// On a thread of its own, which may hang for all that the runtime or its end care.
async fn resolve(resolvers: Resolvers, unresolved: Unresolved, patience: Duration) -> conflict::Answer {
    let name = unresolved.resolver.clone();
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("keepsync-resolver".to_owned());
    let asked = thread.spawn(move || {
        // Who asked may have given up.
        let _ = answer.send(conflict::consult(&resolvers, &unresolved));
    });
    if asked.is_err() {
        return Err(format!("no thread for the resolver {name:?}"));
    }
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(format!("the resolver {name:?} ended without an answer")),
        Err(_) => Err(format!(
            "the resolver {name:?} took longer than {} ms",
            patience.as_millis()
        )),
    }
}

async fn current(tokens: Option<Arc<Tokens>>) -> Result<Option<Token>, Fault> {
    let Some(tokens) = tokens else { return Ok(None) };
    match tokio::time::timeout(TOKEN_PATIENCE, tokens.current()).await {
        Ok(Ok(token)) => Ok(token),
        Ok(Err(TokenFault::SignInNeeded)) => Err(Fault::SignIn),
        Ok(Err(TokenFault::Offline)) | Err(_) => Err(Fault::Offline),
    }
}

async fn refresh(tokens: Option<Arc<Tokens>>, used: Option<Token>) -> Result<(), TokenFault> {
    let (Some(tokens), Some(used)) = (tokens, used) else {
        return Err(TokenFault::SignInNeeded);
    };
    match tokio::time::timeout(TOKEN_PATIENCE, tokens.refresh(&used)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(TokenFault::Offline),
    }
}

async fn answer(open: &mut Option<Open>) -> Answered {
    match open {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn written(sendable: &mut Option<watch::Receiver<u64>>) {
    let gone = match sendable {
        Some(receiver) => receiver.changed().await.is_err(),
        None => true,
    };
    if gone {
        std::future::pending::<()>().await;
    }
}

/// Sleeps until a tick. A phone's sleep stops the runtime's clock, so long waits are looked at again
/// every minute.
async fn until(timer: Option<u64>, ticks: &Ticks, env: &dyn Env) {
    let Some(at) = timer else {
        return std::future::pending().await;
    };
    loop {
        let left = at.saturating_sub(ticks.now(env).tick_ms);
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left.min(60_000))).await;
    }
}
