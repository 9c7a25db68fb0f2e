//! Pulled pages: `pull::apply` and `pull::epoch`.

use crate::{
    device::Desk,
    rules::Flaw,
    state::{Base, Disk, Entry, NONE, Page, Record, Standing, Version, only, origin, turn_bit},
};

impl Desk<'_> {
    /// One transaction: the rows, and the cursor after them.
    pub(crate) fn apply(&mut self, page: &Page) {
        match self.disk.epoch {
            NONE => self.disk.epoch = page.epoch,
            known if known != page.epoch => return self.begin(page),
            _ => {}
        }
        let generation = self.disk.generation;
        for &(key, version) in &page.changes {
            self.meet(key, version, None, Some(generation));
        }
        self.store_cursor(page);
        if !page.has_more && !self.disk.complete {
            self.reach_head();
        }
    }

    /// The cursor alone: what a flawed device commits first.
    pub(crate) fn store_cursor(&mut self, page: &Page) {
        let Some(cursor) = page.cursor else { return };
        self.ghost.went_back |= self.disk.cursor.is_some_and(|before| cursor.up < before.up);
        self.disk.cursor = Some(cursor);
    }

    /// Another life of the server's data: the pull starts over, and what was acknowledged above the branch
    /// goes again.
    fn begin(&mut self, page: &Page) {
        let known = std::mem::replace(&mut self.disk.epoch, page.epoch);
        if !self.rules.has(Flaw::CursorOutlivesEpoch) {
            self.disk.cursor = None;
        }
        self.disk.generation += 1;
        self.disk.complete = false;
        let above = |change: u8| known + 1 != page.epoch || change == NONE || change > page.branch;
        let mut keys = 0;
        if !self.rules.has(Flaw::NoResend) {
            for kept in self.disk.journal.clone() {
                if kept.epoch == page.epoch || !above(kept.change) {
                    continue;
                }
                let key = kept.entry.key;
                let asks = self
                    .disk
                    .heads(key)
                    .iter()
                    .any(|other| other.standing == Standing::Conflict);
                self.disk.store(Entry {
                    base: Base::None,
                    maybe_sent: true,
                    standing: if asks { Standing::Conflict } else { Standing::Waiting },
                    ..kept.entry
                });
                self.disk
                    .journal
                    .retain(|other| origin(other.entry.op) != origin(kept.entry.op));
                keys |= only(key);
            }
        }
        for entry in self.disk.entries.iter_mut().filter(|entry| entry.maybe_sent) {
            entry.earlier |= turn_bit(entry.op);
        }
        for key in (0..2).filter(|key| keys >> key & 1 == 1) {
            self.show_unsent(key);
        }
    }

    /// Nobody knows what the server has of it, until it is pulled again.
    fn show_unsent(&mut self, key: u8) {
        let Some(last) = self.disk.heads(key).pop() else { return };
        let before = self.disk.record(key);
        let record = Record {
            visible: last.content,
            base: Base::None,
            version: 0,
            base_id: NONE,
            seen: before.map_or(0, |before| before.seen),
        };
        self.disk.set_record(key, Some(record));
    }

    /// What a pull from the start has not seen is not there any more.
    fn reach_head(&mut self) {
        let generation = self.disk.generation;
        for key in 0..2 {
            let Some(record) = self.disk.record(key).filter(|record| record.seen < generation) else {
                continue;
            };
            let entries = self.disk.heads(key);
            let asks = entries.iter().any(|entry| entry.standing == Standing::Conflict);
            if entries.is_empty() && record.version > 0 {
                // It goes into the history here; that is not enough: who wrote it gives it again.
                self.disk.set_record(key, None);
            } else if asks || !entries.is_empty() && record.version > 0 {
                self.meet(key, Version::NOTHING, None, Some(generation));
            }
        }
        self.disk.complete = true;
    }
}

impl Disk {
    /// Operations that wait for their turn.
    pub fn waiting(&self) -> usize {
        let waits = |entry: &&Entry| entry.standing == Standing::Waiting;
        self.entries.iter().filter(waits).count()
    }
}
