//! What people do in the play: they fly, edit one workout on two devices, decide between the versions,
//! and mistype.
//!
//! # One workout, edited twice
//! 1. Before the take-off both devices have the workout.
//! 2. In the air, the phone's user edits it. On the ground, the coach edits it on the tablet; the
//!    server has that version.
//! 3. After the landing the phone meets it: a conflict that names the tablet's version.
//! 4. The user decides. What was seen when is noted, for the check: only such a version may take
//!    another device's place.

use super::{
    backend::{HEAVIEST, LONGEST_NAME},
    order::{How, Order, Shown, State},
    paper::Workout,
    play::Play,
    script::Gone,
    tally::Edit,
};
use crate::{
    collections::{SET_LOG, WORKOUT},
    failure::Failure,
};
use keepsync::session::set_id;
use keepsync_proxy::{Canned, Fault};
use serde_json::json;

impl Play<'_> {
    /// The flight begins; the workout to be edited is edited on both devices.
    pub(super) async fn take_off(&mut self, gone: Gone, edit: Option<usize>) -> Result<(), Failure> {
        self.tally.flights += 1;
        if edit.is_some() {
            // Both have seen the workout that both will edit.
            self.phone.settled().await?;
            self.tablet.synced().await?;
        }
        self.phone.air.always(Some(match gone {
            Gone::Airplane | Gone::Refused => Fault::Refuse,
            Gone::Silent => Fault::BlackHole,
            Gone::Portal => Fault::Instead(Canned::portal()),
        }));
        if gone == Gone::Airplane {
            let () = self.phone.ask(&Order::Network { there: false }).await?;
        }
        let Some(edited) = edit else { return Ok(()) };
        let id = &self.workouts[edited].id;
        let key = || (WORKOUT.to_owned(), id.clone());
        let patch = |notes: &str| {
            let (collection, id) = key();
            let patch = json!({ "notes": notes }).to_string();
            Order::Patch { collection, id, patch }
        };
        let _: String = self.phone.ask(&patch("knee is fine again")).await?;
        let (collection, at) = key();
        let seen: Option<Shown> = self.tablet.ask(&Order::Get { collection, id: at }).await?;
        let Some(seen) = seen else {
            let message = format!("the tablet does not have workout {id}");
            return Err(Failure::new("lost", message));
        };
        let _: String = self.tablet.ask(&patch("form check: knees out")).await?;
        self.tablet.synced().await?;
        self.tally.edits.push(Edit::new("tablet", WORKOUT, id, seen.version));
        self.edited = Some((edited, seen.version + 1));
        Ok(())
    }

    /// The network is back, and the conflict, if there is one, is decided.
    pub(super) async fn land(&mut self) -> Result<(), Failure> {
        self.phone.air.always(None);
        let () = self.phone.ask(&Order::Network { there: true }).await?;
        let Some((edited, version)) = self.edited.take() else {
            return Ok(());
        };
        let id = &self.workouts[edited].id;
        let met = |state: &State| state.conflicts.iter().any(|conflict| conflict.id == *id);
        let state = self.phone.until("the conflict shows", met).await?;
        let conflict = state.conflicts.into_iter().find(|conflict| conflict.id == *id);
        let Some(conflict) = conflict.filter(|conflict| conflict.version == version) else {
            let message = format!("the conflict of {id} does not show version {version}, which the tablet made");
            return Err(Failure::new("conflict", message));
        };
        let how = if self.tally.conflicts.is_multiple_of(2) {
            How::BothNotes
        } else {
            How::KeepLocal
        };
        let order = Order::Resolve {
            collection: WORKOUT.to_owned(),
            id: id.clone(),
            token: conflict.token,
            how,
        };
        let resolved: Shown = self.phone.ask(&order).await?;
        self.tally.conflicts += 1;
        self.tally.edits.push(Edit::new("phone", WORKOUT, id, version));
        let notes = match how {
            How::BothNotes => "form check: knees out / knee is fine again",
            How::KeepLocal => "knee is fine again",
        };
        self.tally.resolved.insert(id.clone(), notes.to_owned());
        if resolved.body["notes"] != notes {
            return Err(Failure::new(
                "conflict",
                format!("the resolution of {id} is not what was chosen"),
            ));
        }
        Ok(())
    }

    /// A name that is too long, or a weight that nobody lifts: it is parked, and corrected in the queue.
    pub(super) async fn mistype(&mut self, workout: &Workout, step: usize) -> Result<bool, Failure> {
        let set = step.checked_sub(1).and_then(|set| workout.sets.get(set));
        let mut order = self.order(workout, step);
        let (id, patch) = match (&mut order, set) {
            (Order::Log { body, .. }, Some(set)) => {
                let mut wrong = set.body.clone();
                wrong["weight"] = json!(HEAVIEST + 1);
                *body = wrong.to_string();
                (set_id(&workout.id, &set.slot), json!({ "weight": set.weight }))
            }
            (Order::Start { body, .. }, _) => {
                let mut wrong = workout.body.clone();
                wrong["name"] = json!("x".repeat(LONGEST_NAME + 1));
                *body = wrong.to_string();
                (workout.id.clone(), json!({ "name": workout.name }))
            }
            _ => return Ok(false),
        };
        let _: String = self.phone.ask(&order).await?;
        let refused = |state: &State| state.parked.iter().any(|parked| parked.id == id);
        let state = self.phone.until("the server refuses it", refused).await?;
        let parked = state.parked.into_iter().find(|parked| parked.id == id);
        let parked = parked.filter(|parked| parked.code == keepsync_wire::code::VALIDATION);
        let Some(parked) = parked else {
            return Err(Failure::new(
                "schema",
                format!("{SET_LOG} or {WORKOUT} is refused for another reason"),
            ));
        };
        let (op, patch) = (parked.op, patch.to_string());
        let _: String = self.phone.ask(&Order::Edit { op, patch }).await?;
        self.tally.refused += 1;
        Ok(true)
    }
}
