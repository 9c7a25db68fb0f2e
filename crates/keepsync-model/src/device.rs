//! A device: writes, the batch, what is said of it. Function by function what the core does:
//! `record::write_local`, `queue::{append, claim, settle}`.

use crate::{
    rules::{Flaw, Rules},
    state::{
        Base, CHILD, Disk, Entry, Ghost, Item, Kept, Kind, List, NONE, Op, PARENT, Record, Said, Standing, Version,
        Written, id, only, origin, turn_bit,
    },
};

/// A device's file in a transaction.
pub(crate) struct Desk<'a> {
    pub(crate) me: u8,
    pub(crate) disk: &'a mut Disk,
    pub(crate) ghost: &'a mut Ghost,
    pub(crate) rules: &'a Rules,
}

impl Desk<'_> {
    /// The user writes. A change of state is one of a record that is there.
    pub(crate) fn write(&mut self, key: u8, complete: bool) {
        let number = u8::try_from(self.ghost.writes.len()).unwrap_or(NONE);
        let found = self.disk.record(key);
        let kind = match found {
            _ if complete => Kind::Complete,
            Some(record) if record.version > 0 || record.base != Base::None => Kind::Update,
            _ => Kind::Create,
        };
        let mut record = found.unwrap_or(Record {
            visible: number,
            base: Base::None,
            version: 0,
            base_id: NONE,
            seen: 0,
        });
        let knows = self.known_to(&record) | only(number);
        record.base = frozen(&record);
        record.visible = number;
        self.disk.set_record(key, Some(record));
        let is_first = self.disk.heads(key).is_empty();
        let _ = self.ghost.writes.try_push(Written {
            device: self.me,
            key,
            kind: if kind == Kind::Create && !is_first {
                Kind::Update
            } else {
                kind
            },
            turns: 1,
            knows,
        });
        self.append(key, kind, number, &record);
        self.settle_state(key);
    }

    /// What its writer sees, and what that was made of.
    fn known_to(&self, record: &Record) -> u8 {
        let below = match record.base {
            Base::Body(content) => content,
            _ => NONE,
        };
        [record.visible, below]
            .into_iter()
            .filter(|&content| content != NONE)
            .map(|content| only(content) | self.ghost.writes.get(usize::from(content)).map_or(0, |it| it.knows))
            .fold(0, |set, one| set | one)
    }

    fn append(&mut self, key: u8, kind: Kind, number: u8, record: &Record) {
        let last = self.disk.heads(key).pop();
        let refused = last.is_some_and(|last| last.standing != Standing::Waiting);
        let open = last.is_some_and(|last| last.maybe_sent) && !refused && !self.rules.has(Flaw::FoldIntoSent);
        match last {
            Some(mut last) if last.kind != Kind::Complete && kind != Kind::Complete && !open => {
                self.ghost.folded |= only(last.content);
                if last.standing == Standing::Parked {
                    last.standing = Standing::Waiting;
                }
                last.content = number;
                last.earlier = 0;
                // Only a flawed device gets here with one whose fate is open.
                if last.maybe_sent && !refused {
                    self.disk.store(last);
                } else {
                    self.freshen(&mut last);
                    // Another body: no id of the one before is its own.
                    last.earlier = 0;
                    self.disk.store(last);
                }
            }
            before => self.disk.store(Entry {
                op: id(number, 0),
                key,
                kind: if kind == Kind::Create && before.is_some() {
                    Kind::Update
                } else {
                    kind
                },
                content: number,
                base_version: before.map_or(record.version, |before| before.base_version),
                base: before.map_or(Base::Visible, |before| before.base),
                base_op: NONE,
                base_id: before.map_or(record.base_id, |before| before.base_id),
                earlier: 0,
                maybe_sent: false,
                standing: match before {
                    Some(before) if before.standing == Standing::Conflict => Standing::Conflict,
                    _ => Standing::Waiting,
                },
            }),
        }
    }

    /// An operation id that has never left.
    pub(crate) fn freshen(&mut self, entry: &mut Entry) {
        if entry.maybe_sent {
            let keeps = self.rules.has(Flaw::RebaseKeepsId);
            if let Some(write) = self
                .ghost
                .writes
                .get_mut(usize::from(origin(entry.op)))
                .filter(|_| !keeps)
            {
                if !self.rules.has(Flaw::ForgetsRefusedIds) {
                    entry.earlier |= turn_bit(entry.op);
                }
                entry.op = id(origin(entry.op), write.turns);
                write.turns += 1;
            }
            entry.maybe_sent = false;
        }
        entry.base_op = NONE;
        self.disk.store(*entry);
    }

    /// What may go now, in the order in which it must be applied, frozen.
    pub(crate) fn claim(&mut self, most: usize) -> List<Item> {
        let mut places: List<u8> = List::new();
        for entry in self.disk.entries.clone() {
            if places.len() < most {
                self.take(origin(entry.op), most, &mut places, 0);
            }
        }
        let mut items: List<Item> = List::new();
        for place in &places {
            let Some(mut entry) = self.disk.at(*place) else {
                continue;
            };
            let at = |place: u8| items.iter().position(|item| origin(item.op) == place);
            let (all, same) = self.predecessors(&entry);
            let after = all
                .iter()
                .filter_map(|&place| at(place))
                .fold(0, |set, at| set | 1 << at);
            if entry.maybe_sent && self.rules.has(Flaw::RetryUnderNewId) {
                let base_op = entry.base_op;
                self.freshen(&mut entry);
                entry.base_op = base_op;
            }
            if !entry.maybe_sent {
                entry.base_op = same.and_then(at).map_or(NONE, |at| items[at].op);
                entry.maybe_sent = true;
            }
            self.disk.store(entry);
            let item = Item {
                op: entry.op,
                key: entry.key,
                kind: entry.kind,
                content: entry.content,
                version: entry.base_version,
                base_op: entry.base_op,
                base_id: entry.base_id,
                after,
                earlier: entry.earlier,
            };
            let _ = items.try_push(item);
        }
        items
    }

    /// Puts an entry and what it must follow into the batch, if all of it can go.
    fn take(&self, place: u8, most: usize, places: &mut List<u8>, depth: u8) -> bool {
        if places.contains(&place) {
            return true;
        }
        let Some(entry) = self
            .disk
            .at(place)
            .filter(|entry| entry.standing == Standing::Waiting && depth < 8)
        else {
            return false;
        };
        let (all, _) = self.predecessors(&entry);
        if !all.iter().all(|&before| self.take(before, most, places, depth + 1)) || places.len() >= most {
            return false;
        }
        places.push(place);
        true
    }

    /// The places of the entries one must follow, and the one of them of its own record.
    fn predecessors(&self, entry: &Entry) -> (List<u8>, Option<u8>) {
        let place = origin(entry.op);
        let live = || self.disk.entries.iter();
        let same = live()
            .filter(|other| other.key == entry.key && origin(other.op) < place)
            .map(|other| origin(other.op))
            .max();
        let mut all: List<u8> = same.into_iter().collect();
        if entry.key == CHILD {
            let creations = live().filter(|other| other.key == PARENT && other.kind == Kind::Create);
            all.extend(creations.map(|other| origin(other.op)));
        }
        if entry.kind == Kind::Complete {
            let children = live().filter(|other| other.key == CHILD && origin(other.op) < place);
            all.extend(children.map(|other| origin(other.op)));
        }
        (all, same)
    }

    /// What the server said of a batch.
    pub(crate) fn settle(&mut self, flight: &[Op], epoch: u8, results: &[(Op, Said)]) {
        if self.disk.epoch == NONE {
            self.disk.epoch = epoch;
        }
        for &op in flight {
            let Some(entry) = self.disk.at(origin(op)).filter(|entry| entry.op == op) else {
                continue;
            };
            let said = results.iter().find(|(of, _)| *of == op).map(|(_, said)| *said);
            match said {
                Some(Said::Accepted { version, change }) => self.accept(&entry, version, change, None, epoch),
                Some(Said::Conflict(remote)) if went_as(&entry, remote.op) => {
                    self.accept(&entry, remote.version, NONE, Some(remote.content), epoch);
                }
                Some(Said::Conflict(remote)) => self.meet(entry.key, remote, Some(origin(op)), None),
                Some(Said::Blocked) => self.blocked(entry),
                Some(Said::Reused) => {
                    self.disk.store(Entry {
                        standing: Standing::Parked,
                        ..entry
                    });
                    self.settle_state(entry.key);
                }
                None => {}
            }
        }
    }

    /// What it follows is neither unsent nor on the server: it goes on from what is there.
    fn blocked(&mut self, mut entry: Entry) {
        if self.predecessors(&entry).0.is_empty() {
            if entry.base == Base::Visible {
                let record = self.disk.record(entry.key);
                entry.base_version = record.map_or(0, |record| record.version);
                entry.base_id = record.map_or(NONE, |record| record.base_id);
            }
            self.freshen(&mut entry);
        }
    }

    /// It has arrived: journal, queue, base, visible body.
    pub(crate) fn accept(&mut self, entry: &Entry, version: u8, change: u8, body: Option<u8>, epoch: u8) {
        self.journal(entry, change, epoch);
        self.disk.remove(origin(entry.op));
        if entry.standing == Standing::Conflict {
            self.close_if_idle(entry.key);
        }
        let Some(mut record) = self.disk.record(entry.key) else {
            return;
        };
        let rest = self.disk.heads(entry.key);
        let body = body.unwrap_or(entry.content);
        let mut produced = Base::Visible;
        if version > record.version || record.base == Base::None {
            let confirmed = Version {
                version,
                op: entry.op,
                content: body,
            };
            take_base(&mut record, confirmed, !rest.is_empty(), None);
        } else if version < record.version {
            produced = Base::Body(body);
        }
        if let Some(mut next) = rest.first().copied() {
            next.base = produced;
            if !fate_open(&next) {
                next.base_version = version;
                next.base_op = NONE;
                next.base_id = if entry.earlier == 0 { entry.op } else { NONE };
            }
            self.disk.store(next);
        }
        self.disk.set_record(entry.key, Some(record));
        self.settle_state(entry.key);
    }

    fn journal(&mut self, entry: &Entry, change: u8, epoch: u8) {
        let place = origin(entry.op);
        self.disk.journal.retain(|kept| origin(kept.entry.op) != place);
        let before = self
            .disk
            .journal
            .iter()
            .filter(|kept| origin(kept.entry.op) < place)
            .count();
        let kept = Kept {
            entry: *entry,
            change,
            epoch,
        };
        let _ = self.disk.journal.try_insert(before, kept);
    }

    /// A record without entries shows its base; one that the server never had goes.
    pub(crate) fn settle_state(&mut self, key: u8) {
        let Some(mut record) = self.disk.record(key) else {
            return;
        };
        if !self.disk.heads(key).is_empty() {
            return;
        }
        if record.base != Base::Visible {
            record.visible = match record.base {
                Base::Body(content) => content,
                _ => NONE,
            };
            record.base = Base::Visible;
        }
        let stays = record.visible != NONE;
        self.disk.set_record(key, Some(record).filter(|_| stays));
    }
}

/// The base as something that does not change with the visible body.
pub(crate) fn frozen(record: &Record) -> Base {
    match record.base {
        Base::Visible if record.visible == NONE => Base::Gone,
        Base::Visible => Base::Body(record.visible),
        base => base,
    }
}

/// Takes what the server confirmed.
pub(crate) fn take_base(record: &mut Record, version: Version, unsent: bool, seen: Option<u8>) {
    let body = match version.content {
        NONE => Base::Gone,
        content => Base::Body(content),
    };
    if unsent {
        record.base = body;
    } else {
        record.visible = version.content;
        record.base = Base::Visible;
    }
    record.version = version.version;
    record.base_id = version.op;
    record.seen = seen.unwrap_or(record.seen);
}

/// Whether it may be applied without the device knowing.
pub(crate) fn fate_open(entry: &Entry) -> bool {
    entry.maybe_sent && entry.standing == Standing::Waiting
}

/// Whether this operation carried its content.
pub(crate) fn went_as(entry: &Entry, op: Op) -> bool {
    op != NONE && (entry.op == op || origin(entry.op) == origin(op) && entry.earlier & turn_bit(op) != 0)
}
