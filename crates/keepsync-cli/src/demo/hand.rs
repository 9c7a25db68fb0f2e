//! A device in somebody's hand: its process, its file, and the air between it and the server.

use super::{
    backend::Backend,
    order::{Identity, Order, Reply, State},
    process::{PATIENCE, Process},
};
use crate::failure::Failure;
use keepsync_proxy::Proxy;
use serde::de::DeserializeOwned;
use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// Whose workouts these are.
pub(super) const USER: &str = "lifter";

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Hand {
    name: &'static str,
    pub(super) file: PathBuf,
    log: PathBuf,
    pub(super) air: Proxy,
    refresh_token: String,
    access_token: String,
    /// Each expired token is older than the one before, so that no two are the same.
    hours_old: u32,
    process: Option<Process>,
}

impl Hand {
    /// Signs in and starts the app.
    pub(super) async fn take(
        name: &'static str,
        folder: &Path,
        backend: &Backend,
        server: SocketAddr,
    ) -> Result<Self, Failure> {
        let air = Proxy::start(server).await;
        let air = air.map_err(|problem| Failure::new("network", format!("no socket on loopback: {problem}")))?;
        let mut hand = Self {
            name,
            file: folder.join(format!("{name}.keepsync")),
            log: folder.join(format!("{name}.log")),
            air,
            refresh_token: backend.refresh_token(USER)?,
            access_token: backend.access_token(USER, 0)?,
            hours_old: 1,
            process: None,
        };
        hand.start().await?;
        Ok(hand)
    }

    /// Starts the app on its file.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        let process = Process::start(self.name, &["demo-device".as_ref()], &self.log)?;
        let process = self.process.insert(process);
        let identity = Identity {
            file: self.file.clone(),
            user: USER.to_owned(),
            label: self.name.to_owned(),
            server: self.air.url(),
            access_token: self.access_token.clone(),
            refresh_token: self.refresh_token.clone(),
        };
        process.say(&identity).await?;
        let ready: String = process.hear().await?;
        if ready == "ready" {
            Ok(())
        } else {
            Err(Failure::new("process", format!("the {} says {ready:?}", self.name)))
        }
    }

    /// The access token the app starts with the next time has expired.
    pub(super) fn expire(&mut self, backend: &Backend) -> Result<(), Failure> {
        self.hours_old += 1;
        self.access_token = backend.access_token(USER, self.hours_old)?;
        Ok(())
    }

    fn process(&mut self) -> Result<&mut Process, Failure> {
        let off = || Failure::new("process", format!("the {} is off", self.name));
        self.process.as_mut().ok_or_else(off)
    }

    /// Tells the app something, and does not wait.
    pub(super) async fn tell(&mut self, order: &Order) -> Result<(), Failure> {
        self.process()?.say(order).await
    }

    /// Asks the app and gives what it says once the call has returned.
    pub(super) async fn ask<T: DeserializeOwned>(&mut self, order: &Order) -> Result<T, Failure> {
        let name = self.name;
        let process = self.process()?;
        process.say(order).await?;
        match process.hear().await? {
            Reply::Ok(value) => serde_json::from_value(value)
                .map_err(|problem| Failure::new("process", format!("the {name} says something else: {problem}"))),
            Reply::Error { code, message } => Err(Failure::new(code, format!("the {name} refuses: {message}"))),
        }
    }

    pub(super) async fn state(&mut self) -> Result<State, Failure> {
        self.ask(&Order::State).await
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Puts the app away in good order.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        match self.process.take() {
            Some(process) => process.end().await,
            None => Ok(()),
        }
    }

    /// Waits until the app's state is so, and gives it. Without patience it would hang where a
    /// promise is broken.
    pub(super) async fn until(&mut self, what: &str, mut so: impl FnMut(&State) -> bool) -> Result<State, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.state().await?;
            if so(&state) {
                return Ok(state);
            }
            if Instant::now() > deadline {
                let (status, unsent) = (&state.status, state.unsent);
                let stuck = format!("the {} is stuck before {what}: {status}, {unsent} unsent", self.name);
                return Err(Failure::new("stuck", stuck));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until nothing is unsent.
    pub(super) async fn settled(&mut self) -> Result<(), Failure> {
        self.until("its queue is empty", |state| state.unsent == 0)
            .await
            .map(drop)
    }

    /// Drains until a whole drain worked, nothing is unsent, and what others wrote is here.
    pub(super) async fn synced(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let worked: bool = self.ask(&Order::Sync).await?;
            if worked && self.state().await?.unsent == 0 {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        self.settled().await
    }

    /// Waits for something to happen in the air; a tap on the screen now and then, as an impatient
    /// person does.
    pub(super) async fn while_tapping(&mut self, what: &str, seen: impl Future<Output = ()>) -> Result<(), Failure> {
        let mut seen = std::pin::pin!(seen);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if tokio::time::timeout(LOOK * 20, &mut seen).await.is_ok() {
                return Ok(());
            }
            let () = self.ask(&Order::Network { there: true }).await?;
        }
        Err(Failure::new("stuck", format!("the {} never came to {what}", self.name)))
    }
}
