//! Carries the drain's instructions out on tokio: storage steps on the writer's thread, requests on
//! the network, one timer. It holds nothing of the store but the writer and what is told to it, so a
//! store that is dropped is gone.

use super::{
    hub::{Hub, Subject},
    writer::Writer,
};
use crate::{
    conflict::{self, Resolvers, Unresolved},
    drain::{Answer, Drain, Event, Instruction, Report, Request, Snapshot, StepDone, Trigger},
    env::{self, Env, Ticks},
    error::Error,
    remote::{Fault, Remote, Token, TokenFault, Tokens},
};
use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// How long the app's sign-in may take to give a token.
const TOKEN_PATIENCE: Duration = Duration::from_secs(30);

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
        let mut waiting: Vec<(Trigger, oneshot::Sender<Report>)> = Vec::new();
        let mut open: Option<Open> = None;
        let mut timer: Option<u64> = None;
        let mut used: Option<Token> = None;
        let mut sendable = self.hub.subject(Subject::Sendable);
        let mut events: VecDeque<Event> = VecDeque::new();
        loop {
            while let Some(event) = events.pop_front() {
                let now = self.ticks.now(&*self.env);
                let instructions = self.drain.handle(event, now, env::unit(self.env.random()));
                // Before anybody is told that a pass is over: who asks then gets the status after it.
                self.snapshot.send_if_modified(|snapshot| {
                    let changed = *snapshot != self.drain.snapshot();
                    *snapshot = self.drain.snapshot();
                    changed
                });
                self.hub.touch(Subject::Status);
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
                            let asked = |(trigger, _): &mut (Trigger, _)| !only_pushed || trigger.only_pushes();
                            for (_, caller) in waiting.extract_if(.., asked) {
                                // A caller that has gone away needs no answer.
                                let _ = caller.send(report.clone());
                            }
                        }
                    }
                }
            }
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Event(event)) => events.push_back(event),
                    Some(Command::Sync(trigger, caller)) => {
                        waiting.push((trigger, caller));
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
                () = until(timer, &self.ticks, &*self.env) => {
                    timer = None;
                    events.push_back(Event::Timer);
                }
            }
        }
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
