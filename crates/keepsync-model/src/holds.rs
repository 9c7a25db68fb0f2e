//! What must hold in every state. The names are those of `reliability.md`.

use crate::{
    rest,
    state::{Base, CHILD, Kind, LOG, MOST, NONE, PARENT, State, has, origin},
    world::{World, by, made_as},
};
use stateright::Property;

/// All of it.
pub(crate) fn all() -> Vec<Property<World>> {
    vec![
        Property::always("S1: applied at most once in a lineage", |_, state: &State| once(state)),
        Property::always("S2: an operation id has one content", |_, state: &State| {
            !state.ghost.reused
        }),
        Property::always("S3: in order", |_, state: &State| in_order(state)),
        Property::always("C2: nothing overwritten unseen", |_, state: &State| {
            !state.ghost.overwrote
        }),
        Property::always("D1: acknowledged is somewhere", |_, state: &State| somewhere(state)),
        Property::always("K1: the cursor does not go back", |_, state: &State| {
            !state.ghost.went_back
        }),
        Property::always("K2: what the cursor covers is here", |_, state: &State| covered(state)),
        Property::always("K3: a base is what the server has", |_, state: &State| {
            true_bases(state)
        }),
        Property::always("L1: it comes to rest when faults stop", rest::comes),
        Property::always("the model has room for everything", |_, state: &State| fits(state)),
    ]
}

/// No operation and no content stands twice in what the server has applied.
fn once(state: &State) -> bool {
    let log = &state.server.log;
    log.iter().enumerate().all(|(at, one)| {
        log[..at]
            .iter()
            .all(|before| before.op != one.op && before.content != one.content)
    })
}

/// A device's writes of a record stand in the order of writing; a child after the creation that came before
/// it, a completion after the children that came before it.
fn in_order(state: &State) -> bool {
    let log = &state.server.log;
    let ghost = &state.ghost;
    log.iter().enumerate().all(|(at, later)| {
        log[..at].iter().all(|earlier| {
            let same_device =
                (0..2).any(|device| by(ghost, earlier.content, device) && by(ghost, later.content, device));
            let same_key = earlier.key == later.key && earlier.content > later.content;
            let child_first = earlier.key == CHILD
                && later.key == PARENT
                && made_as(ghost, later.op) == Some(Kind::Create)
                && !parent_may_be_lost(state, later.content);
            let too_early = made_as(ghost, earlier.op) == Some(Kind::Complete)
                && later.key == CHILD
                && origin(later.op) < origin(earlier.op);
            !(same_device && (same_key || child_first || too_early))
        })
    })
}

/// A parent that another device made too was there for the child to follow, until a restore lost it: its
/// creation comes again from that device's journal, in its own time.
fn parent_may_be_lost(state: &State, content: u8) -> bool {
    let writes = &state.ghost.writes;
    let own = writes.get(usize::from(content)).map(|write| write.device);
    let by_another = writes
        .iter()
        .any(|write| write.key == PARENT && Some(write.device) != own);
    state.server.epoch > 0 && by_another
}

/// Each write is in its device's queue, on the server, in the journal of what may have to be given again, or
/// in a history; or the user wrote over it before it left.
fn somewhere(state: &State) -> bool {
    (0..).zip(&state.ghost.writes).all(|(content, write)| {
        let disk = &state.devices[usize::from(write.device)].disk;
        arrived(state, content)
            || disk.entries.iter().any(|entry| entry.content == content)
            || disk.journal.iter().any(|kept| kept.entry.content == content)
    })
}

/// A write's way has ended.
pub(crate) fn arrived(state: &State, content: u8) -> bool {
    has(state.ghost.folded, content)
        || has(state.ghost.history, content)
        || state.server.log.iter().any(|applied| applied.content == content)
}

/// All that a cursor says was pulled has been, with its rows.
fn covered(state: &State) -> bool {
    state.devices.iter().all(|device| {
        let disk = &device.disk;
        let Some(cursor) = disk.cursor.filter(|_| disk.epoch == state.server.epoch) else {
            return true;
        };
        [PARENT, CHILD].into_iter().all(|key| {
            let change = state.server.log.iter().rposition(|applied| applied.key == key);
            let Some(change) = change.and_then(|at| u8::try_from(at + 1).ok()) else {
                return true;
            };
            let is_covered = change <= cursor.up && (cursor.below == NONE || change >= cursor.below);
            let version = disk.record(key).map_or(0, |record| record.version);
            !is_covered || version >= state.server.current(key).version
        })
    })
}

/// Of the version that the server has, a device has the body.
fn true_bases(state: &State) -> bool {
    state.devices.iter().all(|device| {
        [PARENT, CHILD].into_iter().all(|key| {
            let current = state.server.current(key);
            let Some(record) = device.disk.record(key) else {
                return true;
            };
            let seen = record.seen == device.disk.generation && device.disk.epoch == state.server.epoch;
            let comparable = seen && record.version == current.version;
            let body = match record.base {
                Base::None => return true,
                Base::Visible => record.visible,
                Base::Body(content) => content,
                Base::Gone => NONE,
            };
            !comparable || body == current.content
        })
    })
}

/// No list of the model is full: nothing was left out for want of room.
fn fits(state: &State) -> bool {
    let lists = |disk: &crate::state::Disk| disk.entries.len() < MOST && disk.journal.len() < MOST;
    state.server.log.len() < LOG
        && state.net.len() < MOST
        && state.ghost.writes.iter().all(|write| write.turns < 15)
        && state.devices.iter().all(|device| lists(&device.disk))
}
