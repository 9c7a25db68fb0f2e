//! Two versions meet: `conflict::{meet, plan}`, and the user's decision. The child settles its conflicts by
//! itself (`settles_itself`), so families play no part.

use crate::{
    device::{Desk, fate_open, frozen, take_base, went_as},
    rules::{Flaw, Policy},
    state::{Base, Entry, Kind, List, NONE, Record, Standing, Version, only, origin},
};

enum Action {
    InEffect,
    LoseLocal,
    KeepLocal,
    LoseRemote,
    Ask,
}

impl Desk<'_> {
    /// A version came from the server: as the answer to `refused`, or with a page of `generation`.
    pub(crate) fn meet(&mut self, key: u8, remote: Version, refused: Option<u8>, generation: Option<u8>) {
        let Some(mut record) = self.disk.record(key) else {
            if remote.content != NONE {
                let confirmed = Record {
                    visible: remote.content,
                    base: Base::Visible,
                    version: remote.version,
                    base_id: remote.op,
                    seen: generation.unwrap_or(0),
                };
                self.disk.set_record(key, Some(confirmed));
            }
            return;
        };
        let mut entries = self.disk.heads(key);
        if self.rules.has(Flaw::SkipPullWhilePending) && refused.is_none() && !entries.is_empty() {
            return;
        }
        let first_sighting = generation.is_some_and(|generation| record.seen < generation);
        if remote.version <= record.version && !first_sighting && refused.is_none() {
            return;
        }
        if let Some(position) = entries.iter().position(|entry| went_as(entry, remote.op)) {
            let applied: List<Entry> = entries.drain(..=position).collect();
            for entry in applied {
                self.accept(&entry, remote.version, NONE, Some(remote.content), self.disk.epoch);
            }
            let Some(current) = self.disk.record(key) else { return };
            record = current;
        }
        if entries.is_empty() {
            take_base(&mut record, remote, false, generation);
            self.disk.set_record(key, Some(record));
            return self.settle_state(key);
        }
        let open = entries
            .iter()
            .any(|entry| fate_open(entry) && refused.is_none_or(|refused| origin(entry.op) < refused));
        // As the core does: what was read before goes back, with the base it was made on.
        let base = frozen(&record);
        for entry in entries.iter_mut().filter(|entry| entry.base == Base::Visible) {
            entry.base = base;
            self.disk.store(*entry);
        }
        let made_on = entries.first().map_or(base, |entry| entry.base);
        let local = record;
        take_base(&mut record, remote, true, generation);
        self.disk.set_record(key, Some(record));
        if open {
            return self.settle_state(key);
        }
        let action = match made_on {
            Base::None if remote == Version::NOTHING => Action::KeepLocal,
            _ => plan(
                self.rules.policies[usize::from(key)],
                made_on,
                local.visible,
                remote.content,
            ),
        };
        match action {
            Action::InEffect => self.drop_entries(&entries),
            Action::LoseLocal => {
                self.keep(local.visible);
                self.drop_entries(&entries);
            }
            Action::KeepLocal => self.rebase(&entries, remote),
            Action::LoseRemote => {
                self.lose_remote(&entries, remote);
                self.rebase(&entries, remote);
            }
            Action::Ask => {
                self.disk.conflicts[usize::from(key)] = Some(remote);
                for entry in entries {
                    self.disk.store(Entry {
                        standing: Standing::Conflict,
                        ..entry
                    });
                }
                return self.settle_state(key);
            }
        }
        self.disk.conflicts[usize::from(key)] = None;
        self.settle_state(key);
    }

    fn keep(&mut self, content: u8) {
        self.ghost.history |= only(content);
    }

    /// What loses can be found in the history, and so was not overwritten unseen.
    fn lose_remote(&mut self, entries: &[Entry], remote: Version) {
        if self.rules.has(Flaw::NoHistory) {
            return;
        }
        self.keep(remote.content);
        for entry in entries {
            if let Some(write) = self.ghost.writes.get_mut(usize::from(entry.content)) {
                write.knows |= only(remote.content);
            }
        }
    }

    /// A chain shows its last body only: the user wrote over the others.
    fn drop_entries(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.disk.remove(origin(entry.op));
        }
        for earlier in entries.iter().rev().skip(1) {
            self.ghost.folded |= only(earlier.content);
        }
    }

    /// The chain goes on, on top of `remote`.
    fn rebase(&mut self, entries: &[Entry], remote: Version) {
        for (position, entry) in entries.iter().enumerate() {
            let mut entry = *entry;
            entry.kind = match entry.kind {
                Kind::Create if position == 0 && remote.version > 0 => Kind::Update,
                Kind::Update if position == 0 && remote.version == 0 => Kind::Create,
                kind => kind,
            };
            entry.base_version = remote.version;
            entry.base_id = remote.op;
            entry.base = Base::Visible;
            if entry.standing == Standing::Conflict {
                entry.standing = Standing::Waiting;
            }
            self.freshen(&mut entry);
        }
    }

    /// The user decides, about what was shown.
    pub(crate) fn resolve(&mut self, key: u8, local: bool) {
        let Some(remote) = self.disk.conflicts[usize::from(key)].take() else {
            return;
        };
        let Some(mut record) = self.disk.record(key) else {
            return;
        };
        let entries = self.disk.heads(key);
        if local {
            self.lose_remote(&entries, remote);
            self.rebase(&entries, remote);
        } else {
            self.keep(record.visible);
            self.drop_entries(&entries);
            if record.base != Base::None {
                take_base(&mut record, remote, false, None);
                self.disk.set_record(key, Some(record));
            }
        }
        self.settle_state(key);
    }

    /// A conflict without entries is none.
    pub(crate) fn close_if_idle(&mut self, key: u8) {
        let open = |entry: &Entry| entry.standing == Standing::Conflict;
        if !self.disk.heads(key).iter().any(open) {
            self.disk.conflicts[usize::from(key)] = None;
        }
    }
}

/// `conflict::plan`, for bodies of one field.
fn plan(policy: Policy, base: Base, local: u8, remote: u8) -> Action {
    let base = match base {
        Base::Body(content) => content,
        _ => NONE,
    };
    if local == remote || base == local {
        return Action::InEffect;
    }
    if base != NONE && base == remote {
        return Action::KeepLocal;
    }
    match policy {
        Policy::Ask => Action::Ask,
        Policy::ClientWins => Action::LoseRemote,
        Policy::ServerWins => Action::LoseLocal,
    }
}
