//! The server: `keepsync-server`'s `decide`, and its pages.

use crate::{
    rules::{Flaw, Rules},
    state::{Applied, Cursor, Ghost, Item, List, NONE, Op, Page, Said, Server, has, id, origin},
};

impl Server {
    /// Answers a batch. One of another epoch applies nothing.
    pub fn push(&mut self, rules: &Rules, ghost: &mut Ghost, epoch: u8, items: &[Item]) -> List<(Op, Said)> {
        let mut results = List::new();
        if self.is_of_another_life(rules, epoch) {
            return results;
        }
        for item in items {
            let said = self.take(rules, ghost, item, items);
            let _ = results.try_push((item.op, said));
        }
        results
    }

    /// Whether a batch counts in another epoch than this. One that names none was made before its device had
    /// pulled, and may be older than the restore.
    pub(crate) fn is_of_another_life(&self, rules: &Rules, epoch: u8) -> bool {
        match epoch {
            _ if rules.has(Flaw::AnyEpoch) => false,
            NONE => self.epoch > 0 && !rules.has(Flaw::EpochlessTaken),
            known => known != self.epoch,
        }
    }

    /// Whether the version of the right number is not the one that is meant.
    pub(crate) fn is_another(&self, rules: &Rules, item: &Item) -> bool {
        let current = self.current(item.key).op;
        item.base_op == NONE
            && item.base_id != NONE
            && current != NONE
            && item.base_id != current
            && !rules.has(Flaw::NoBaseId)
    }

    /// Whether an item whose id was applied says what it said then.
    pub(crate) fn is_as_applied(&self, item: &Item) -> bool {
        self.find(item.op).is_none_or(|at| {
            let before = &self.log[at];
            let base = match item.base_op {
                NONE => before.base_op == NONE && before.base_version == item.version,
                base_op => before.base_op == base_op,
            };
            before.key == item.key && before.kind == item.kind && before.content == item.content && base
        })
    }

    fn take(&mut self, rules: &Rules, ghost: &mut Ghost, item: &Item, batch: &[Item]) -> Said {
        let accepted = |at: usize, applied: &Applied| Said::Accepted {
            version: applied.version,
            change: u8::try_from(at + 1).unwrap_or(NONE),
        };
        if let Some(at) = self.find(item.op).filter(|_| !rules.has(Flaw::NoDedup)) {
            return match self.is_as_applied(item) {
                true => accepted(at, &self.log[at]),
                false => {
                    ghost.reused = true;
                    Said::Reused
                }
            };
        }
        let turns = (0..16).filter(|turn| item.earlier >> turn & 1 == 1);
        let looks = !rules.has(Flaw::NoEarlier) && !rules.has(Flaw::NoDedup);
        let mut earlier = turns.filter_map(|turn| self.find(id(origin(item.op), turn)));
        if let Some(at) = earlier.find(|&at| looks && self.log[at].key == item.key) {
            return accepted(at, &self.log[at]);
        }
        let after = batch.iter().enumerate().filter(|(at, _)| item.after >> at & 1 == 1);
        let blocked = after.clone().any(|(_, before)| self.find(before.op).is_none()) && !rules.has(Flaw::NoAfter);
        let produced = match item.base_op {
            NONE => None,
            base_op => match self.find(base_op) {
                None => return Said::Blocked,
                Some(at) => Some(self.log[at].version),
            },
        };
        if blocked {
            return Said::Blocked;
        }
        let base = produced.unwrap_or(item.version);
        let current = self.current(item.key);
        let another = self.is_another(rules, item);
        if (base != current.version || another) && !rules.has(Flaw::NoVersionCheck) {
            return Said::Conflict(current);
        }
        if let Some(over) = ghost.writes.get(usize::from(current.content)) {
            let by = &ghost.writes[usize::from(item.content)];
            ghost.overwrote |= over.device != by.device && !has(by.knows, current.content);
        }
        let applied = Applied {
            op: item.op,
            key: item.key,
            kind: item.kind,
            content: item.content,
            base_version: item.version,
            base_op: item.base_op,
            version: current.version + 1,
        };
        let _ = self.log.try_push(applied);
        accepted(self.log.len() - 1, &applied)
    }

    /// The next page after a cursor of `epoch`: what is new, in order; then, for who begins, what is older,
    /// the latest first.
    pub fn page(&self, limit: usize, epoch: u8, cursor: Option<Cursor>) -> Page {
        let same_epoch = epoch == NONE || epoch == self.epoch;
        let asked = cursor.filter(|_| same_epoch);
        let at = asked.unwrap_or(Cursor {
            up: self.head(),
            below: self.head() + 1,
        });
        let number = |key: u8| {
            let last = self.log.iter().rposition(|applied| applied.key == key);
            last.map(|at| (u8::try_from(at + 1).unwrap_or(NONE), key))
        };
        let mut latest: List<(u8, u8)> = [0, 1].into_iter().filter_map(number).collect();
        latest.sort_unstable();
        let new: List<(u8, u8)> = latest.iter().filter(|(n, _)| *n > at.up).copied().collect();
        let older = |n: u8| at.below != NONE && n < at.below;
        let old: List<(u8, u8)> = latest.iter().rev().filter(|(n, _)| older(*n)).copied().collect();
        let (given_new, left_new) = new.split_at(limit.min(new.len()));
        let room = if left_new.is_empty() {
            limit - given_new.len()
        } else {
            0
        };
        let (given_old, left_old) = old.split_at(room.min(old.len()));
        let up = match given_new.last() {
            Some((last, _)) if !left_new.is_empty() => *last,
            _ => self.head().max(at.up),
        };
        let lowest = given_old.iter().map(|(n, _)| *n).min().unwrap_or(NONE);
        let below = if left_old.is_empty() {
            NONE
        } else {
            lowest.min(at.below)
        };
        let version = |&(_, key): &(u8, u8)| (key, self.current(key));
        let begun = asked.is_some() || left_new.is_empty();
        Page {
            epoch: self.epoch,
            branch: self.branch,
            changes: given_new.iter().chain(given_old).map(version).collect(),
            cursor: begun.then_some(Cursor { up, below }),
            has_more: !(left_new.is_empty() && left_old.is_empty()),
        }
    }

    /// Takes an earlier state back: the first `length` changes.
    pub fn restore(&mut self, rules: &Rules, length: usize) {
        self.log.truncate(length);
        if !rules.has(Flaw::NoEpoch) {
            self.branch = self.head();
            self.epoch += 1;
        }
    }
}
