//! Liveness: from every state the world comes to rest when faults stop.
//!
//! Stateright's `eventually` cannot be trusted here: it looks only at paths that end, and takes a path that
//! joins another, or closes a circle, as not its business; this graph is full of circles (send, lose, send).
//! So the claim is made stronger and is checked in every state by itself: faults stop, what is on its way is
//! delivered (or lost), the devices run whole passes in turn, the user settles the conflicts that are left;
//! within a bounded number of passes the queues are empty, the cursors are at the head, and both devices show
//! what the server has. It is done in two ways, which differ in who goes first, in what becomes of the
//! messages, and in what the user decides. States from which it is known are remembered.

use crate::{
    holds::arrived,
    rules::Rules,
    state::{Base, NONE, Op, State},
    world::World,
};
use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{Mutex, PoisonError},
};

/// Passes of both devices until all is at rest, at most: each restore, conflict and refusal costs some.
const ROUNDS: usize = 16;
/// Requests in one half of a pass, at most.
const REQUESTS: usize = 12;
const SHARDS: usize = 64;

/// States from which the world comes to rest.
#[derive(Debug)]
pub(crate) struct Rested([Mutex<HashSet<u64>>; SHARDS]);

impl Default for Rested {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Rested {
    fn shard(&self, key: u64) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        let shard = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it does, in both ways.
pub(crate) fn comes(world: &World, state: &State) -> bool {
    [(true, 0, true), (false, 1, false)]
        .into_iter()
        .all(|(deliver, first, local)| {
            let mut at = state.clone();
            at.hush(&world.rules, deliver);
            let key = BuildHasherDefault::<DefaultHasher>::default().hash_one((&at, first, local));
            if world.rested.shard(key).contains(&key) {
                return true;
            }
            let rests = settle(&world.rules, &mut at, first, local);
            if rests {
                world.rested.shard(key).insert(key);
            }
            rests
        })
}

fn settle(rules: &Rules, state: &mut State, first: u8, local: bool) -> bool {
    for _ in 0..ROUNDS {
        let before = state.clone();
        for device in [first, 1 - first] {
            pass(rules, state, device);
        }
        if *state != before {
            continue;
        }
        let open = (0..2).flat_map(|device| (0..2).map(move |key| (device, key)));
        let asks =
            |(device, key): &(u8, u8)| state.devices[usize::from(*device)].disk.conflicts[usize::from(*key)].is_some();
        match open.clone().find(asks) {
            Some((device, key)) => state.commit(rules, device, true, |desk| desk.resolve(key, local)),
            None => return is_at_rest(state),
        }
    }
    false
}

/// Pull, then push, nothing lost.
fn pass(rules: &Rules, state: &mut State, device: u8) {
    for _ in 0..REQUESTS {
        let epoch = state.devices[usize::from(device)].disk.epoch;
        let page = state.pull(rules, device);
        if !page.has_more && (epoch == NONE || epoch == page.epoch) {
            break;
        }
    }
    for _ in 0..REQUESTS {
        let before = state.clone();
        let (epoch, items) = state.claim(rules, device, rules.writes);
        let flight: Vec<Op> = items.iter().map(|item| item.op).collect();
        let results = state.server.push(rules, &mut state.ghost, epoch, &items);
        let epoch = state.server.epoch;
        state.commit(rules, device, false, |desk| desk.settle(&flight, epoch, &results));
        if *state == before {
            break;
        }
    }
}

/// Nothing waits, everybody is at the head and shows what the server has, and each write has arrived
/// somewhere.
fn is_at_rest(state: &State) -> bool {
    let head = state.server.head();
    let shows = |device: &crate::state::Device| {
        let disk = &device.disk;
        let at_head = disk
            .cursor
            .is_some_and(|cursor| cursor.up == head && cursor.below == NONE);
        let same = (0..2).all(|key| {
            let visible = disk.record(key).map_or(NONE, |record| record.visible);
            let based = disk.record(key).is_none_or(|record| record.base == Base::Visible);
            visible == state.server.current(key).content && based
        });
        disk.entries.is_empty() && disk.epoch == state.server.epoch && disk.complete && at_head && same
    };
    state.devices.iter().all(shows)
        && (0..)
            .zip(&state.ghost.writes)
            .all(|(content, _)| arrived(state, content))
}
