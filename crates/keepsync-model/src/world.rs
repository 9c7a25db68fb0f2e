//! What can happen, step by step.

use crate::{
    device::Desk,
    rules::{Flaw, Rules},
    state::{CHILD, Device, Ghost, Item, Kind, List, NONE, Op, PARENT, Page, Push, Said, Server, State, origin},
    tidy::tidy,
};
use stateright::{Model, Property};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The user writes to a record.
    Write {
        /// On which device.
        device: u8,
        /// To which record.
        key: u8,
    },
    /// The user completes the parent.
    Complete {
        /// On which device.
        device: u8,
    },
    /// The user settles a conflict.
    Resolve {
        /// On which device.
        device: u8,
        /// Of which record.
        key: u8,
        /// Whether this device's version stands.
        local: bool,
    },
    /// A device pulls a page.
    Pull {
        /// Which.
        device: u8,
    },
    /// A device is given a page, commits the cursor, and dies. Only a flawed one has this moment.
    Tear {
        /// Which.
        device: u8,
    },
    /// A device claims a batch and sends it. What it sent before is not waited for any more.
    Push {
        /// Which.
        device: u8,
        /// One entry of it only.
        single: bool,
        /// The message that is lost to make room; [`NONE`] where there is room.
        lost: u8,
    },
    /// A batch arrives, and the answer too.
    Answer {
        /// Which.
        place: u8,
    },
    /// A batch arrives, and nobody gets the answer.
    Arrive {
        /// Which.
        place: u8,
    },
    /// A device dies, and starts again.
    Crash {
        /// Which.
        device: u8,
        /// What was not synced is lost.
        power: bool,
    },
    /// The server is restored from a backup of so many changes.
    Restore {
        /// How many.
        length: u8,
    },
}

fn at(index: u8) -> usize {
    usize::from(index)
}

impl State {
    /// A transaction of a device: with `full`, all before it is on the disk too.
    pub(crate) fn commit<T>(&mut self, rules: &Rules, device: u8, full: bool, f: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        let it = &mut self.devices[at(device)];
        if rules.power && !full && it.synced.is_none() {
            it.synced = Some(Box::new(it.disk.clone()));
        }
        let done = f(&mut Desk {
            me: device,
            disk: &mut it.disk,
            ghost: &mut self.ghost,
            rules,
        });
        if full || it.synced.as_deref() == Some(&it.disk) {
            it.synced = None;
        }
        done
    }

    /// The batch a device would send, claimed.
    pub(crate) fn claim(&mut self, rules: &Rules, device: u8, most: usize) -> (u8, List<Item>) {
        let full = !rules.has(Flaw::ClaimsNormal);
        let items = self.commit(rules, device, full, |desk| desk.claim(most));
        let disk = &mut self.devices[at(device)].disk;
        if rules.has(Flaw::SettleBeforeAnswer) {
            disk.entries
                .retain(|entry| !items.iter().any(|item| item.op == entry.op));
        }
        (disk.epoch, items)
    }

    /// A batch arrives, and stays, to arrive again. Gives what is said of it.
    fn arrive(&mut self, rules: &Rules, place: usize) -> (u8, List<(Op, Said)>) {
        let push = self.net[place].clone();
        let results = self.server.push(rules, &mut self.ghost, push.epoch, &push.items);
        (push.device, results)
    }

    /// What a device sent is not waited for any more. Gives what that was.
    fn close(&mut self, device: u8) -> Option<List<Op>> {
        for push in self.net.iter_mut().filter(|push| push.device == device) {
            push.live = false;
        }
        self.devices[at(device)].flight.take()
    }

    fn settle(&mut self, rules: &Rules, device: u8, results: &[(Op, Said)]) {
        let epoch = self.server.epoch;
        if let Some(flight) = self.close(device) {
            self.commit(rules, device, false, |desk| desk.settle(&flight, epoch, results));
        }
    }

    pub(crate) fn pull(&mut self, rules: &Rules, device: u8) -> Page {
        let disk = &self.devices[at(device)].disk;
        let page = self.server.page(rules.page, disk.epoch, disk.cursor);
        self.commit(rules, device, false, |desk| desk.apply(&page));
        page
    }

    /// All that is on its way arrives and is answered, or is lost, and nobody waits.
    pub(crate) fn hush(&mut self, rules: &Rules, deliver: bool) {
        for place in (0..self.net.len()).filter(|_| deliver) {
            let live = self.net[place].live;
            let (device, results) = self.arrive(rules, place);
            if live {
                self.settle(rules, device, &results);
            }
        }
        self.net.clear();
        self.close(0);
        self.close(1);
    }

    /// Whether a page asked for now could tell the device anything.
    fn has_page_for(&self, device: u8) -> bool {
        let disk = &self.devices[at(device)].disk;
        let at_head = disk
            .cursor
            .is_some_and(|cursor| cursor.up == self.server.head() && cursor.below == NONE);
        !(disk.complete && disk.epoch == self.server.epoch && at_head)
    }
}

/// The model: rules, and what the search for a way to rest has found.
#[derive(Debug)]
pub struct World {
    /// The rules.
    pub rules: Rules,
    pub(crate) rested: crate::rest::Rested,
}

impl World {
    /// A world under rules.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            rested: crate::rest::Rested::default(),
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            devices: [Device::default(), Device::default()],
            server: Server {
                epoch: 0,
                branch: 0,
                log: List::new(),
            },
            net: List::new(),
            must: NONE,
            ghost: Ghost {
                writes: List::new(),
                folded: 0,
                history: 0,
                overwrote: false,
                reused: false,
                went_back: false,
                crashes: self.rules.crashes,
                restores: self.rules.restores,
            },
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let rules = &self.rules;
        for device in 0..2 {
            let it = &state.devices[at(device)];
            // What a device does by itself and what happens elsewhere may be in either order: what the user
            // does there comes right before something that looks at it.
            if state.must != NONE && state.must != device {
                continue;
            }
            // Until somebody writes the devices are alike, so the first write is the first one's.
            if state.ghost.writes.len() < rules.writes && (device == 0 || !state.ghost.writes.is_empty()) {
                actions.push(Action::Write { device, key: PARENT });
                if it.disk.record(PARENT).is_some() {
                    actions.push(Action::Complete { device });
                }
                // A child is made below a parent that the user can see.
                if it.disk.record(PARENT).is_some() || it.disk.record(CHILD).is_some() {
                    actions.push(Action::Write { device, key: CHILD });
                }
            }
            for key in (0..2).filter(|key| it.disk.conflicts[at(*key)].is_some()) {
                for local in [true, false] {
                    actions.push(Action::Resolve { device, key, local });
                }
            }
            if state.has_page_for(device) {
                actions.push(Action::Pull { device });
                if rules.has(Flaw::CursorBeforeRows) && state.ghost.crashes > 0 {
                    actions.push(Action::Tear { device });
                }
            }
            let ready = it.disk.waiting();
            for single in [false, true] {
                if ready > usize::from(single) && (!single || rules.single) {
                    match state.net.len() < rules.messages {
                        true => actions.push(Action::Push {
                            device,
                            single,
                            lost: NONE,
                        }),
                        false => {
                            actions.extend(
                                (0..)
                                    .zip(&state.net)
                                    .map(|(lost, _)| Action::Push { device, single, lost }),
                            )
                        }
                    }
                }
            }
            if state.ghost.crashes > 0 && it.synced.is_some() {
                actions.push(Action::Crash { device, power: true });
            }
        }
        for (place, push) in (0..).zip(&state.net) {
            if push.live && (state.must == NONE || state.must == push.device) {
                actions.push(Action::Answer { place });
            }
            if state.must == NONE || push.live && state.must == push.device {
                actions.push(Action::Arrive { place });
            }
        }
        if state.ghost.restores > 0 && state.must == NONE {
            actions.extend((0..=state.server.head()).map(|length| Action::Restore { length }));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let rules = &self.rules;
        let mut state = last.clone();
        state.must = match action {
            Action::Write { device, .. }
            | Action::Complete { device }
            | Action::Resolve { device, .. }
            | Action::Push { device, .. } => device,
            _ => NONE,
        };
        match action {
            Action::Write { device, key } => {
                let full = !rules.has(Flaw::WritesNormal);
                state.commit(rules, device, full, |desk| desk.write(key, false));
            }
            Action::Complete { device } => {
                let full = !rules.has(Flaw::WritesNormal);
                state.commit(rules, device, full, |desk| desk.write(PARENT, true));
            }
            Action::Resolve { device, key, local } => {
                state.commit(rules, device, true, |desk| desk.resolve(key, local));
            }
            Action::Pull { device } => {
                state.close(device);
                state.pull(rules, device);
            }
            Action::Tear { device } => {
                state.ghost.crashes -= 1;
                let disk = &state.devices[at(device)].disk;
                let page = state.server.page(rules.page, disk.epoch, disk.cursor);
                if disk.epoch == page.epoch {
                    state.commit(rules, device, false, |desk| desk.store_cursor(&page));
                }
            }
            Action::Push { device, single, lost } => {
                if lost != NONE {
                    state.net.remove(at(lost));
                }
                state.close(device);
                let most = if single { 1 } else { rules.writes };
                let (epoch, items) = state.claim(rules, device, most);
                if items.is_empty() {
                    return None;
                }
                state.devices[at(device)].flight = Some(items.iter().map(|item| item.op).collect());
                let push = Push {
                    device,
                    live: true,
                    epoch,
                    items,
                };
                let _ = state.net.try_push(push);
            }
            Action::Answer { place } => {
                let (device, results) = state.arrive(rules, at(place));
                state.settle(rules, device, &results);
            }
            Action::Arrive { place } => {
                state.arrive(rules, at(place));
            }
            Action::Crash { device, power } => {
                state.ghost.crashes -= 1;
                state.close(device);
                let it = &mut state.devices[at(device)];
                if let Some(synced) = it.synced.take().filter(|_| power) {
                    it.disk = *synced;
                }
            }
            Action::Restore { length } => {
                state.ghost.restores -= 1;
                state.server.restore(rules, at(length));
            }
        }
        tidy(&mut state, rules);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::holds::all()
    }
}

/// Whether an entry of the log is a write of a device.
pub(crate) fn by(ghost: &Ghost, content: u8, device: u8) -> bool {
    ghost
        .writes
        .get(at(content))
        .is_some_and(|write| write.device == device)
}

/// What a write did when it was made, by an operation id of its.
pub(crate) fn made_as(ghost: &Ghost, op: Op) -> Option<Kind> {
    ghost.writes.get(at(origin(op))).map(|write| write.kind)
}
