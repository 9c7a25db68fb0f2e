//! States that differ only in what can make no difference any more are one state.
//!
//! This is what makes the whole space small enough. Each rule says why nothing is lost by it; all are off where
//! the protocol is flawed, because a flawed one may have no right to them.

use crate::{
    rules::Rules,
    state::{Disk, Entry, Item, LOG, List, MOST, NONE, Op, Push, Server, State, has, id, only, origin},
};

/// Stands for all operations that the server neither has nor will ever have.
const NEVER: Op = 14 << 4;

/// Makes it one.
pub(crate) fn tidy(state: &mut State, rules: &Rules) {
    drop_inert(state, rules);
    // What a loss of power brings back may still know what is forgotten here.
    if rules.flaw.is_none() && !rules.power {
        forget_the_past(state);
        let used = forget_ids(state);
        rename(state, used);
    }
    state.net.sort_unstable();
    let mut kept: List<Push> = List::new();
    for push in state.net.drain(..) {
        if kept.last() != Some(&push) {
            let _ = kept.try_push(push);
        }
    }
    state.net = kept;
}

fn drop_inert(state: &mut State, rules: &Rules) {
    let State { server, net, ghost, .. } = state;
    net.retain(|push| push.live || !is_inert(rules, server, ghost.restores, push.epoch, &push.items));
}

/// Whether a batch that nobody waits for can change nothing, now or later: its epoch is over, or each of its
/// items was applied, or was made on what is no longer there. Within an epoch versions only grow, and a batch
/// that names its epoch does not outlive it.
fn is_inert(rules: &Rules, server: &Server, restores: u8, epoch: u8, items: &[Item]) -> bool {
    if server.is_of_another_life(rules, epoch) {
        return true;
    }
    if rules.flaw.is_some() || restores > 0 && epoch == NONE {
        return false;
    }
    let mut hopeless: List<Op> = List::new();
    for item in items {
        if server.find(item.op).is_some() {
            continue;
        }
        let current = server.current(item.key).version;
        let made_on = |op: Op| server.find(op).map(|at| server.log[at].version);
        let outdated = match item.base_op {
            NONE => item.version < current || item.version == current && server.is_another(rules, item),
            base_op => hopeless.contains(&base_op) || made_on(base_op).is_some_and(|version| version < current),
        };
        let blocked = items
            .iter()
            .enumerate()
            .any(|(at, other)| item.after >> at & 1 == 1 && hopeless.contains(&other.op));
        if !outdated && !blocked {
            return false;
        }
        let _ = hopeless.try_push(item.op);
    }
    items.iter().all(|item| server.is_as_applied(item))
}

/// When no restore can come any more: what was acknowledged below the branch is not given again; a device that
/// counts in another epoch will pull from the start; what is applied stays, so nobody asks where else it is or
/// what its writer had seen.
fn forget_the_past(state: &mut State) {
    let State {
        devices, server, ghost, ..
    } = state;
    if ghost.restores > 0 {
        return;
    }
    for device in devices.iter_mut() {
        let disk = &mut device.disk;
        if disk.epoch == server.epoch {
            disk.journal.clear();
        } else if disk.epoch != NONE {
            disk.journal
                .retain(|kept| kept.change == NONE || kept.change > server.branch);
            disk.cursor = None;
            disk.complete = false;
        }
    }
    let arrived = server.log.iter().fold(0, |set, applied| set | only(applied.content));
    for (content, write) in (0..).zip(&mut ghost.writes) {
        if has(arrived, content) {
            write.knows = only(content);
        }
    }
    ghost.folded &= !arrived;
    ghost.history &= !arrived;
}

/// The turns of each write's ids that matter.
type Used = [u16; MOST];

fn mark(used: &mut Used, op: Op) {
    if let Some(turns) = used.get_mut(usize::from(origin(op))) {
        *turns |= 1 << (op & 15);
    }
}

fn is_used(used: &Used, op: Op) -> bool {
    let turns = used.get(usize::from(origin(op)));
    turns.is_some_and(|turns| turns >> (op & 15) & 1 == 1)
}

fn entries(disk: &Disk) -> impl Iterator<Item = &Entry> {
    disk.entries.iter().chain(disk.journal.iter().map(|kept| &kept.entry))
}

fn entries_mut(disk: &mut Disk) -> impl Iterator<Item = &mut Entry> {
    disk.entries
        .iter_mut()
        .chain(disk.journal.iter_mut().map(|kept| &mut kept.entry))
}

/// An id that neither the server has nor anybody can send again will never be met: it is as good as any other
/// such id. An operation that nobody can send again will never be compared with what it said.
fn forget_ids(state: &mut State) -> Used {
    let State {
        devices, server, net, ..
    } = state;
    let mut sent = Used::default();
    for push in net.iter() {
        push.items.iter().for_each(|item| mark(&mut sent, item.op));
    }
    for device in devices.iter() {
        entries(&device.disk).for_each(|entry| mark(&mut sent, entry.op));
    }
    let mut used = sent;
    for applied in &mut server.log {
        mark(&mut used, applied.op);
        if !is_used(&sent, applied.op) {
            applied.kind = crate::state::Kind::Create;
            applied.base_version = 0;
            applied.base_op = NONE;
        }
    }
    let known = |op: &mut Op| {
        if *op != NONE && !is_used(&used, *op) {
            *op = NEVER;
        }
    };
    for device in devices.iter_mut() {
        for entry in entries_mut(&mut device.disk) {
            entry.earlier &= used[usize::from(origin(entry.op))];
            known(&mut entry.base_id);
        }
        for record in device.disk.records.iter_mut().flatten() {
            known(&mut record.base_id);
        }
        for conflict in device.disk.conflicts.iter_mut().flatten() {
            known(&mut conflict.op);
        }
    }
    for item in net.iter_mut().flat_map(|push| &mut push.items) {
        item.earlier &= used[usize::from(origin(item.op))];
        known(&mut item.base_id);
    }
    // What something was made on, or is waited for, is compared too.
    let mut all = used;
    let also = net.iter().flat_map(|push| &push.items).map(|item| item.base_op);
    let also = also.chain(
        devices
            .iter()
            .flat_map(|device| entries(&device.disk))
            .map(|entry| entry.base_op),
    );
    let also = also.chain(server.log.iter().map(|applied| applied.base_op));
    let flights = devices
        .iter()
        .flat_map(|device| device.flight.iter().flatten().copied());
    also.chain(flights)
        .filter(|op| *op != NONE)
        .for_each(|op| mark(&mut all, op));
    all
}

/// How often an id was given anew tells nothing: without gaps it is the same.
fn rename(state: &mut State, used: Used) {
    let dense = |turns: u16| (0..16).all(|turn| turns >> turn & 1 == 0 || turns & ((1 << turn) - 1) == (1 << turn) - 1);
    let counts = used.map(|turns| u8::try_from(turns.count_ones()).unwrap_or(NONE));
    for (write, count) in state.ghost.writes.iter_mut().zip(counts) {
        write.turns = count.max(1);
    }
    if used.iter().all(|turns| dense(*turns)) {
        return;
    }
    let rank = |place: u8, turn: u8| {
        let below = used[usize::from(place)] & ((1 << turn) - 1);
        u8::try_from(below.count_ones()).unwrap_or(NONE)
    };
    let new = |op: &mut Op| {
        if usize::from(origin(*op)) < MOST {
            *op = id(origin(*op), rank(origin(*op), *op & 15));
        }
    };
    let set = |op: Op, turns: &mut u16| {
        let old = (0..16).filter(|turn| *turns >> turn & 1 == 1);
        *turns = old.fold(0, |set, turn| set | 1 << rank(origin(op), turn));
    };
    for device in &mut state.devices {
        for entry in entries_mut(&mut device.disk) {
            set(entry.op, &mut entry.earlier);
            new(&mut entry.op);
            new(&mut entry.base_op);
            new(&mut entry.base_id);
        }
        device
            .disk
            .records
            .iter_mut()
            .flatten()
            .for_each(|record| new(&mut record.base_id));
        device
            .disk
            .conflicts
            .iter_mut()
            .flatten()
            .for_each(|conflict| new(&mut conflict.op));
        device.flight.iter_mut().flatten().for_each(new);
    }
    for item in state.net.iter_mut().flat_map(|push| &mut push.items) {
        set(item.op, &mut item.earlier);
        new(&mut item.op);
        new(&mut item.base_op);
        new(&mut item.base_id);
    }
    for applied in &mut state.server.log {
        new(&mut applied.op);
        new(&mut applied.base_op);
    }
    debug_assert!(state.server.log.len() <= LOG);
}
