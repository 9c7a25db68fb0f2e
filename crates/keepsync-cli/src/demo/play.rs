//! Plays the story: the workouts are logged on the phone, set by set, and everything the script holds
//! happens on the way.
//!
//! 1. The library: the tablet puts the exercises on the server, the phone pulls them.
//! 2. Every workout is a session: started, its sets logged, completed. Each step is one order that is
//!    answered once it is on the phone's disk.
//! 3. When the phone is killed before it answered, the app is opened again and looks into its own
//!    file: the step is there, or it is done again.
//! 4. The end: the network is good, and both devices drain until nothing is unsent.

use super::{
    backend::Backend,
    hand::Hand,
    order::{Order, Shown},
    paper::Workout,
    progress::Progress,
    script::{At, Blow, Event},
    tally::Tally,
};
use crate::{collections::WORKOUT, failure::Failure};
use keepsync_proxy::{Canned, Fault};
use keepsync_wire::{SYNC_PATH, TOKEN_PATH};
use std::time::Duration;

/// Records of the library in one write.
const SHELF: usize = 200;

pub(super) struct Play<'a> {
    pub(super) backend: Backend,
    pub(super) phone: Hand,
    pub(super) tablet: Hand,
    pub(super) workouts: &'a [Workout],
    pub(super) tally: Tally,
    pub(super) progress: Progress,
    /// The workout that is being edited on both devices, and the version the tablet made.
    pub(super) edited: Option<(usize, i64)>,
}

impl Play<'_> {
    /// The coach fills the library; the phone gets it.
    pub(super) async fn library(&mut self, exercises: &[(String, String)]) -> Result<(), Failure> {
        let collection = "exercise".to_owned();
        for shelf in exercises.chunks(SHELF) {
            let (collection, records) = (collection.clone(), shelf.to_vec());
            let _: usize = self.tablet.ask(&Order::PutAll { collection, records }).await?;
        }
        self.tablet.synced().await?;
        self.phone.synced().await?;
        let there: usize = self.phone.ask(&Order::Count { collection }).await?;
        if there == exercises.len() {
            Ok(())
        } else {
            let message = format!("the phone has {there} of {} exercises", exercises.len());
            Err(Failure::new("library", message))
        }
    }

    /// All workouts, and all that happens.
    pub(super) async fn act(&mut self, story: &[(At, Event)]) -> Result<(), Failure> {
        let mut story = story.iter().peekable();
        for (at, workout) in self.workouts.iter().enumerate() {
            for step in 0..workout.sets.len() + 2 {
                let mut done = false;
                while let Some(&&(_, event)) = story.peek().filter(|(when, _)| *when == (at, step)) {
                    story.next();
                    self.progress.event(event.told());
                    done |= self.happen(event, workout, step).await?;
                }
                if !done {
                    self.step(workout, step).await?;
                }
                if (1..=workout.sets.len()).contains(&step) {
                    self.progress.set();
                }
            }
        }
        Ok(())
    }

    /// Good weather, and everything arrives.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        self.land().await?;
        self.phone.synced().await?;
        self.tablet.synced().await?;
        // What the tablet may have sent just now.
        self.phone.synced().await
    }

    pub(super) fn order(&self, workout: &Workout, step: usize) -> Order {
        let id = workout.id.clone();
        match step.checked_sub(1) {
            None => Order::Start {
                id,
                body: workout.body.to_string(),
            },
            Some(set) => match workout.sets.get(set) {
                Some(set) => Order::Log {
                    id,
                    slot: set.slot.clone(),
                    body: set.body.to_string(),
                },
                None => Order::Complete { id },
            },
        }
    }

    pub(super) async fn step(&mut self, workout: &Workout, step: usize) -> Result<(), Failure> {
        let order = self.order(workout, step);
        let _: String = self.phone.ask(&order).await?;
        Ok(())
    }

    /// The app is opened again after a kill. Gives whether the step that was under way is in its file.
    async fn resume(&mut self, workout: &Workout, step: usize) -> Result<bool, Failure> {
        self.phone.start().await?;
        let state = self.phone.state().await?;
        let session = state.sessions.iter().find(|session| session.id == workout.id);
        let set = step.checked_sub(1).and_then(|set| workout.sets.get(set));
        Ok(match (session, set) {
            (Some(session), Some(set)) => session.slots.contains(&set.slot),
            // It was started; if it is still in progress, it was not completed.
            (Some(_), None) => step == 0,
            (None, None) => {
                let (collection, id) = (WORKOUT.to_owned(), workout.id.clone());
                let there: Option<Shown> = self.phone.ask(&Order::Get { collection, id }).await?;
                there.is_some_and(|shown| shown.body["state"] == "completed")
            }
            (None, Some(_)) => {
                let message = format!("the phone has forgotten that it is in workout {}", workout.id);
                return Err(Failure::new("lost", message));
            }
        })
    }

    /// Lets something happen at a step. Gives whether it did the step itself.
    async fn happen(&mut self, event: Event, workout: &Workout, step: usize) -> Result<bool, Failure> {
        match event {
            Event::TakeOff { gone, edit } => self.take_off(gone, edit).await.map(|()| false),
            Event::Land => self.land().await.map(|()| false),
            Event::Kill { after_us } => {
                let order = self.order(workout, step);
                self.phone.tell(&order).await?;
                // Chance, not waiting: the kill falls before, in or after the write.
                tokio::time::sleep(Duration::from_micros(after_us)).await;
                self.kill_phone().await?;
                let there = self.resume(workout, step).await?;
                self.tally.found_after_kill += u64::from(there);
                Ok(there)
            }
            Event::KillDrain { committed } => {
                let fault = if committed { Fault::HalfOpen } else { Fault::BlackHole };
                self.caught(workout, step, fault).await?;
                self.kill_phone().await?;
                self.resume(workout, step).await
            }
            Event::KillServer { in_request } => {
                if in_request {
                    self.caught(workout, step, Fault::HalfOpen).await?;
                }
                let addr = self.backend.restart().await?;
                self.tally.server_kills += 1;
                self.phone.air.upstream(addr);
                self.tablet.air.upstream(addr);
                Ok(in_request)
            }
            Event::Expire { lost } => self.expire(lost).await.map(|()| false),
            Event::Hit(blow) => {
                self.caught(workout, step, fault(blow)).await?;
                Ok(true)
            }
            Event::Mistype => self.mistype(workout, step).await,
        }
    }

    async fn kill_phone(&mut self) -> Result<(), Failure> {
        self.tally.phone_kills += 1;
        self.phone.kill().await
    }

    /// Does the step, and waits until the fault has met its push.
    async fn caught(&mut self, workout: &Workout, step: usize, fault: Fault) -> Result<(), Failure> {
        let before = self.phone.air.counts();
        let up = u64::from(fault == Fault::HalfOpen);
        self.phone.air.next(SYNC_PATH, fault.clone());
        self.step(workout, step).await?;
        let met = self
            .phone
            .air
            .until(move |counts| counts.met(&fault) > before.met(&fault) && counts.forwarded >= before.forwarded + up);
        self.phone.while_tapping("a push", met).await
    }

    /// The token has expired when the app is opened the next time.
    async fn expire(&mut self, lost: bool) -> Result<(), Failure> {
        self.phone.settled().await?;
        self.kill_phone().await?;
        self.tally.expired_tokens += 1;
        self.phone.expire(&self.backend)?;
        if !lost {
            return self.phone.start().await;
        }
        let before = self.phone.air.counts().met(&Fault::LostReply);
        self.phone.air.next(TOKEN_PATH, Fault::LostReply);
        self.phone.start().await?;
        let met = self
            .phone
            .air
            .until(move |counts| counts.met(&Fault::LostReply) > before);
        self.tally.lost_refreshes += 1;
        self.phone.while_tapping("a refresh", met).await
    }
}

fn fault(blow: Blow) -> Fault {
    match blow {
        Blow::LostReply => Fault::LostReply,
        // In the middle of the results.
        Blow::CutAnswer => Fault::CutAnswer(300),
        Blow::CutRequest => Fault::CutRequest,
        Blow::HalfOpen => Fault::HalfOpen,
        Blow::BlackHole => Fault::BlackHole,
        Blow::Slow => Fault::Slow {
            bytes: 64,
            tick: Duration::from_millis(2),
        },
        Blow::Unavailable => Fault::Instead(Canned::unavailable(1)),
        Blow::Throttled => Fault::Instead(Canned::throttled(1)),
    }
}
