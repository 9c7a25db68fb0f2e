//! What may go now, and in which order. Pure.
//!
//! Higher priority first, oldest first within it; but an entry never goes before the ones it must
//! follow: the earlier entries of its record, its parent's creation, and, for a change of state of a
//! parent, the earlier entries of its children. What is not due, held, parked or in conflict holds
//! up its own lane and its dependants, and nobody else.

use crate::{
    collection::{Collections, OnRejected},
    conflict::Policy,
    planted::{self, Bug},
    queue::{EntryState, Kind},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// What the schedule needs to know of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its place in the queue.
    pub seq: i64,
    /// The collection.
    pub collection: Arc<str>,
    /// The record.
    pub id: Arc<str>,
    /// The parent's id, or the record's own.
    pub lane: Arc<str>,
    /// What it does; `None` for a kind that only a newer app knows.
    pub kind: Option<Kind>,
    /// Higher goes first.
    pub priority: i32,
    /// Where it stands.
    pub state: EntryState,
    /// Not before this tick.
    pub next_tick: u64,
    /// Size of its body.
    pub bytes: usize,
}

/// What the schedule needs to know of the registered collections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    parents: HashMap<String, String>,
    park_entry: HashSet<String>,
    /// Whether the app decides conflicts of any.
    pub(super) resolves: bool,
}

impl From<&Collections> for Rules {
    fn from(collections: &Collections) -> Self {
        let mut rules = Self::default();
        for collection in collections.iter() {
            if let Some(parent) = &collection.parent {
                rules
                    .parents
                    .insert(collection.name().to_owned(), parent.collection.clone());
            }
            rules.resolves |= matches!(collection.policy, Policy::Custom(_));
            if collection.on_rejected == OnRejected::ParkEntry {
                rules.park_entry.insert(collection.name().to_owned());
            }
        }
        rules
    }
}

/// How much fits into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub count: usize,
    /// Bytes of bodies; a larger one goes alone.
    pub bytes: usize,
    /// Whether entries may travel with those they must follow.
    pub together: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// May go when its turn comes.
    Ready,
    /// Those it must follow are being looked at.
    Asked,
    /// In the batch that is on its way.
    Away,
    /// Answered for good; holds up nobody.
    Gone,
    /// Does not go in this pass; holds up its lane and dependants.
    Stuck,
}

/// The queue as one pass sees it.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    items: Vec<Item>,
    /// Of the items, to be searched.
    seqs: Vec<i64>,
    places: Vec<Place>,
    order: Vec<usize>,
    /// So many at the front of `order` are gone, and need not be looked at for the next batch.
    passed: usize,
    /// The numbers of each item's id and lane among all texts that are either.
    names: Vec<Named>,
    /// By number of a name: the entries of the records of this id, in any collection.
    of_id: Threads,
    /// By number of a name: the entries of this lane.
    of_lane: Threads,
    rules: Rules,
}

#[derive(Debug, Clone, Copy)]
struct Named {
    id: usize,
    lane: usize,
}

/// Lists of places, each in their order, without a list of its own for each: a queue of ten thousand has
/// nearly as many records.
#[derive(Debug, Clone, Default)]
struct Threads {
    /// The first and the last place of each list.
    ends: Vec<Option<(usize, usize)>>,
    /// By place: the next one of its list.
    next: Vec<Option<usize>>,
}

impl Threads {
    fn add(&mut self, list: usize, at: usize) {
        if self.ends.len() <= list {
            self.ends.resize(list + 1, None);
        }
        self.next.resize(at + 1, None);
        let first = match self.ends[list] {
            Some((first, last)) => {
                self.next[last] = Some(at);
                first
            }
            None => at,
        };
        self.ends[list] = Some((first, at));
    }

    fn of(&self, list: usize) -> impl Iterator<Item = usize> {
        let first = self.ends.get(list).copied().flatten().map(|(first, _)| first);
        std::iter::successors(first, |&at| self.next[at])
    }
}

impl Schedule {
    /// `items` is the whole queue in the order of `seq`; `skip` what this pass has tried already.
    pub fn new(items: Vec<Item>, rules: Rules, now_tick: u64, skip: &HashSet<i64>) -> Self {
        let mut schedule = Self {
            rules,
            ..Self::default()
        };
        let mut numbers: HashMap<&str, usize> = HashMap::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let goes = item.state == EntryState::Waiting
                && item.kind.is_some()
                && item.next_tick <= now_tick
                && !skip.contains(&item.seq);
            schedule.places.push(if goes { Place::Ready } else { Place::Stuck });
            let mut number = |name| {
                let next = numbers.len();
                *numbers.entry(name).or_insert(next)
            };
            let id = number(&*item.id);
            let lane = if item.lane == item.id { id } else { number(&*item.lane) };
            schedule.names.push(Named { id, lane });
            schedule.of_id.add(id, at);
            schedule.of_lane.add(lane, at);
            schedule.order.push(at);
            schedule.seqs.push(item.seq);
        }
        schedule
            .order
            .sort_by_key(|&at| (std::cmp::Reverse(items[at].priority), items[at].seq));
        schedule.items = items;
        schedule
    }

    /// The next entries to go together, in the order in which they must be applied; empty when
    /// nothing can move.
    pub fn next_batch(&mut self, limits: Limits) -> Vec<i64> {
        let mut batch = Batch {
            seqs: Vec::new(),
            bytes: 0,
            limits,
        };
        let is_gone = |&&at: &&usize| self.places[at] == Place::Gone;
        self.passed += self.order[self.passed..].iter().take_while(is_gone).count();
        for turn in self.passed..self.order.len() {
            if batch.seqs.len() >= limits.count.max(1) {
                break;
            }
            let at = self.order[turn];
            if self.places[at] == Place::Ready && !self.take(at, &mut batch) && batch.full() {
                break;
            }
        }
        batch.seqs
    }

    /// Puts an entry and those it must follow into the batch, if all of them can go.
    fn take(&mut self, at: usize, batch: &mut Batch) -> bool {
        match self.places[at] {
            Place::Gone => return true,
            Place::Away => return batch.limits.together,
            // A file from elsewhere may hold a circle; its entries wait, and nobody else does.
            Place::Stuck | Place::Asked => return false,
            Place::Ready => {}
        }
        self.places[at] = Place::Asked;
        let goes = self.take_after(at, batch);
        self.places[at] = if goes { Place::Away } else { Place::Ready };
        goes
    }

    fn take_after(&mut self, at: usize, batch: &mut Batch) -> bool {
        for before in self.must_follow(at) {
            if self.places[before] == Place::Ready && !batch.limits.together {
                // It goes first, alone; this one in a later batch.
                self.take(before, batch);
                return false;
            }
            if !self.take(before, batch) {
                return false;
            }
        }
        if !batch.fits(self.items[at].bytes) {
            return false;
        }
        batch.seqs.push(self.items[at].seq);
        batch.bytes += self.items[at].bytes;
        true
    }

    /// The places of a record's entries; its id by its number.
    fn entries(&self, collection: &str, id: usize) -> impl Iterator<Item = usize> {
        self.of_id
            .of(id)
            .filter(move |&at| *self.items[at].collection == *collection)
    }

    /// The places, in the order of `seq`, of what the entry at a place must follow.
    pub(crate) fn must_follow(&self, at: usize) -> Vec<usize> {
        let (item, named) = (&self.items[at], self.names[at]);
        let live = |&other: &usize| self.places[other] != Place::Gone;
        let mut before = Vec::new();
        let passed_over = |other: usize| {
            let passes = planted::is(Bug::ParkedHoldsNobody);
            let may = self.rules.park_entry.contains(&*item.collection)
                && self.items[other].kind.is_some_and(Kind::can_be_overtaken);
            self.items[other].state == EntryState::Parked && (passes || may)
        };
        before.extend(
            self.entries(&item.collection, named.id)
                .filter(|&other| other < at && !passed_over(other) && !planted::is(Bug::FollowersBeforeHead))
                .filter(live)
                .max(),
        );
        if item.lane != item.id
            && let Some(parent) = self.rules.parents.get(&*item.collection)
        {
            let creates = |&other: &usize| self.items[other].kind == Some(Kind::Create);
            let is_waited_for = |&other: &usize| live(&other) && !planted::is(Bug::ChildBeforeParent);
            before.extend(self.entries(parent, named.lane).filter(creates).filter(is_waited_for));
        }
        if item.kind.is_some_and(Kind::follows_children) {
            let child = |&other: &usize| other < at && self.items[other].id != item.id;
            before.extend(self.of_lane.of(named.id).filter(child).filter(live));
        }
        before
    }

    /// It arrived: its followers may go.
    pub fn gone(&mut self, seq: i64) {
        self.place(seq, Place::Gone);
    }

    /// It does not go again in this pass.
    pub fn stuck(&mut self, seq: i64) {
        self.place(seq, Place::Stuck);
    }

    /// It goes again in this pass.
    pub fn ready(&mut self, seq: i64) {
        self.place(seq, Place::Ready);
    }

    fn place(&mut self, seq: i64, place: Place) {
        if let Ok(at) = self.seqs.binary_search(&seq) {
            self.places[at] = place;
        }
    }

    /// How many can still go.
    pub fn left(&self) -> usize {
        self.places.iter().filter(|&&place| place == Place::Ready).count()
    }
}

struct Batch {
    seqs: Vec<i64>,
    bytes: usize,
    limits: Limits,
}

impl Batch {
    fn fits(&self, bytes: usize) -> bool {
        self.seqs.is_empty() || (self.seqs.len() < self.limits.count && self.bytes + bytes <= self.limits.bytes)
    }

    fn full(&self) -> bool {
        self.seqs.len() >= self.limits.count || self.bytes >= self.limits.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{collection::Collection, conflict::Policy};

    fn rules() -> Rules {
        let collections = Collections::new([
            Collection::new("workout", Policy::Ask),
            Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
            Collection::new("stat", Policy::LastWriteWins).on_rejected(OnRejected::ParkEntry),
        ]);
        Rules::from(&collections.unwrap())
    }

    fn item(seq: i64, collection: &str, id: &str, lane: &str, kind: Kind) -> Item {
        let (collection, id, lane) = (collection.into(), id.into(), lane.into());
        Item {
            seq,
            collection,
            id,
            lane,
            kind: Some(kind),
            priority: 0,
            state: EntryState::Waiting,
            next_tick: 0,
            bytes: 100,
        }
    }

    fn workout(seq: i64, id: &str, kind: Kind) -> Item {
        item(seq, "workout", id, id, kind)
    }

    fn set(seq: i64, id: &str, workout: &str) -> Item {
        item(seq, "set_log", id, workout, Kind::Create)
    }

    const WIDE: Limits = Limits {
        count: 100,
        bytes: 1_000_000,
        together: true,
    };
    const ONE_BY_ONE: Limits = Limits {
        count: 1,
        bytes: 1_000_000,
        together: false,
    };

    fn batches(items: Vec<Item>, limits: Limits) -> Vec<Vec<i64>> {
        let mut schedule = Schedule::new(items, rules(), 1_000, &HashSet::new());
        let mut all = Vec::new();
        loop {
            let batch = schedule.next_batch(limits);
            if batch.is_empty() {
                return all;
            }
            batch.iter().for_each(|&seq| schedule.gone(seq));
            all.push(batch);
        }
    }

    #[test]
    fn a_session_goes_in_order_creation_sets_completion() {
        let items = vec![
            workout(1, "w", Kind::Create),
            set(2, "a", "w"),
            set(3, "b", "w"),
            workout(4, "w", Kind::Complete),
        ];
        assert_eq!(batches(items.clone(), WIDE), [[1, 2, 3, 4]]);
        assert_eq!(batches(items, ONE_BY_ONE), [[1], [2], [3], [4]]);
    }

    #[test]
    fn higher_priority_goes_first() {
        let mut stat = item(1, "stat", "s", "s", Kind::Create);
        stat.priority = -1;
        assert_eq!(batches(vec![stat, workout(2, "w", Kind::Create)], WIDE), [[2, 1]]);
    }

    #[test]
    fn priority_never_overrides_after() {
        let mut first = set(2, "a", "w");
        first.priority = 9;
        assert_eq!(batches(vec![workout(1, "w", Kind::Create), first], WIDE), [[1, 2]]);
    }

    #[test]
    fn a_stuck_entry_holds_up_its_lane_and_dependants_and_nobody_else() {
        for (state, next_tick) in [
            (EntryState::Parked, 0),
            (EntryState::Conflict, 0),
            (EntryState::Held, 0),
            (EntryState::Waiting, 5_000),
        ] {
            let mut stuck = workout(1, "w", Kind::Create);
            stuck.state = state;
            stuck.next_tick = next_tick;
            let items = vec![
                stuck,
                set(2, "a", "w"),
                workout(3, "w", Kind::Complete),
                workout(4, "other", Kind::Create),
                set(5, "b", "other"),
            ];
            assert_eq!(batches(items, WIDE), [[4, 5]], "{state:?} {next_tick}");
        }
    }

    #[test]
    fn completion_waits_for_a_stuck_set() {
        let mut stuck = set(1, "a", "w");
        stuck.state = EntryState::Parked;
        let items = vec![
            stuck,
            set(2, "b", "w"),
            workout(3, "w", Kind::Complete),
            workout(4, "w", Kind::Update),
        ];
        assert_eq!(batches(items, WIDE), [[2]]);
    }

    #[test]
    fn a_collection_may_let_later_writes_pass_a_parked_one() {
        let mut parked = item(1, "stat", "s", "s", Kind::Update);
        parked.state = EntryState::Parked;
        assert_eq!(
            batches(vec![parked, item(2, "stat", "s", "s", Kind::Update)], WIDE),
            [[2]]
        );
    }

    #[test]
    fn batches_are_cut_by_count_and_bytes_and_a_large_body_goes_alone() {
        let mut items: Vec<Item> = (1..=5)
            .map(|seq| workout(seq, &format!("w{seq}"), Kind::Create))
            .collect();
        assert_eq!(
            batches(items.clone(), Limits { count: 2, ..WIDE }),
            [vec![1, 2], vec![3, 4], vec![5]]
        );
        items[1].bytes = 5_000;
        let by_bytes = batches(items, Limits { bytes: 250, ..WIDE });
        assert!(by_bytes.contains(&vec![2]), "{by_bytes:?}");
        assert_eq!(by_bytes.concat().len(), 5);
    }

    #[test]
    fn what_a_newer_app_wrote_is_left_alone() {
        let mut unknown = workout(1, "w", Kind::Update);
        unknown.kind = None;
        assert_eq!(
            batches(
                vec![unknown, workout(2, "w", Kind::Update), workout(3, "x", Kind::Create)],
                WIDE
            ),
            [[3]]
        );
    }

    #[test]
    fn the_same_id_in_two_collections_is_two_records() {
        let items = vec![
            item(1, "stat", "1", "1", Kind::Create),
            item(2, "workout", "1", "1", Kind::Create),
        ];
        let mut schedule = Schedule::new(items, rules(), 0, &HashSet::from([1]));
        assert_eq!(schedule.next_batch(WIDE), [2]);
    }

    #[test]
    fn a_batch_is_filled_to_its_last_byte_and_no_further() {
        let items: Vec<Item> = (1..=4)
            .map(|seq| workout(seq, &format!("w{seq}"), Kind::Create))
            .collect();
        let cut = |bytes| batches(items.clone(), Limits { bytes, ..WIDE });
        assert_eq!(cut(200), [vec![1, 2], vec![3, 4]]);
        assert_eq!(cut(299), [vec![1, 2], vec![3, 4]]);
        assert_eq!(cut(300), [vec![1, 2, 3], vec![4]]);
        assert_eq!(cut(199), [[1], [2], [3], [4]]);
    }

    #[test]
    fn a_large_body_lets_smaller_ones_after_it_fill_the_batch() {
        let mut items: Vec<Item> = (1..=4)
            .map(|seq| workout(seq, &format!("w{seq}"), Kind::Create))
            .collect();
        items[1].bytes = 200;
        assert_eq!(
            batches(items, Limits { bytes: 250, ..WIDE }),
            [vec![1, 3], vec![2], vec![4]]
        );
    }

    #[test]
    fn a_batch_goes_on_where_the_last_one_ended() {
        let items: Vec<Item> = (1..=6)
            .map(|seq| workout(seq, &format!("w{seq}"), Kind::Create))
            .collect();
        let mut schedule = Schedule::new(items, rules(), 0, &HashSet::new());
        let two = Limits { count: 2, ..WIDE };
        assert_eq!(schedule.left(), 6);
        assert_eq!(schedule.next_batch(two), [1, 2]);
        assert_eq!(schedule.left(), 4, "two are away");
        schedule.gone(1);
        assert_eq!(schedule.next_batch(two), [3, 4]);
        schedule.ready(2);
        schedule.stuck(3);
        schedule.gone(4);
        assert_eq!(schedule.left(), 3);
        assert_eq!(
            schedule.next_batch(two),
            [2, 5],
            "one that goes again has its old place"
        );
        schedule.gone(2);
        schedule.gone(5);
        assert_eq!(schedule.next_batch(two), [6]);
        assert!(schedule.next_batch(two).is_empty());
    }

    #[test]
    fn an_update_of_a_parent_waits_for_no_child_and_a_deletion_does() {
        let mut stuck = set(1, "a", "w");
        stuck.state = EntryState::Parked;
        for (kind, goes) in [
            (Kind::Update, true),
            (Kind::Delete, false),
            (Kind::Complete, false),
            (Kind::Skip, false),
        ] {
            let all = batches(vec![stuck.clone(), workout(2, "w", kind)], WIDE);
            assert_eq!(all == [[2]], goes, "{kind:?}");
        }
    }

    #[test]
    fn a_deletion_waits_for_no_child_that_was_written_after_it() {
        let mut later = set(2, "a", "w");
        later.state = EntryState::Parked;
        assert_eq!(batches(vec![workout(1, "w", Kind::Delete), later], WIDE), [[1]]);
    }

    #[test]
    fn only_a_refused_write_is_passed_by_and_only_where_the_collection_says_so() {
        for (collection, state, passes) in [
            ("stat", EntryState::Parked, true),
            ("stat", EntryState::Conflict, false),
            ("workout", EntryState::Parked, false),
        ] {
            let mut stuck = item(1, collection, "r", "r", Kind::Update);
            stuck.state = state;
            let all = batches(vec![stuck, item(2, collection, "r", "r", Kind::Update)], WIDE);
            assert_eq!(all == [[2]], passes, "{collection} {state:?}");
        }
    }

    #[test]
    fn a_child_waits_for_the_creation_of_its_parent_and_for_nothing_else_of_it() {
        for (kind, waits) in [(Kind::Create, true), (Kind::Update, false), (Kind::Complete, false)] {
            let mut stuck = workout(1, "w", kind);
            stuck.state = EntryState::Parked;
            let all = batches(vec![stuck, set(2, "a", "w")], WIDE);
            assert_eq!(all.is_empty(), waits, "{kind:?}");
        }
    }

    #[test]
    fn without_travelling_together_what_must_follow_goes_in_a_later_batch() {
        let apart = Limits {
            together: false,
            ..WIDE
        };
        let items = vec![workout(1, "w", Kind::Create), set(2, "a", "w"), set(3, "b", "w")];
        let mut schedule = Schedule::new(items, rules(), 0, &HashSet::new());
        assert_eq!(schedule.next_batch(apart), [1]);
        assert!(schedule.next_batch(apart).is_empty(), "it is still away");
        schedule.gone(1);
        assert_eq!(schedule.next_batch(apart), [2, 3]);
    }

    #[test]
    fn a_circle_from_a_file_of_elsewhere_waits_and_holds_up_nobody() {
        let mut rules = rules();
        rules.parents.insert("workout".to_owned(), "set_log".to_owned());
        let items = vec![
            item(1, "workout", "w", "s", Kind::Create),
            item(2, "set_log", "s", "w", Kind::Create),
            item(3, "stat", "x", "x", Kind::Create),
        ];
        let mut schedule = Schedule::new(items, rules, 0, &HashSet::new());
        assert_eq!(schedule.next_batch(WIDE), [3]);
    }

    #[test]
    fn what_is_due_at_this_tick_goes_and_a_tick_later_does_not() {
        let mut due = workout(1, "a", Kind::Create);
        due.next_tick = 1_000;
        let mut later = workout(2, "b", Kind::Create);
        later.next_tick = 1_001;
        assert_eq!(batches(vec![due, later], WIDE), [[1]]);
    }

    #[test]
    fn what_must_go_before_takes_its_place_in_the_count() {
        let mut first = workout(1, "x", Kind::Create);
        first.priority = 9;
        let mut child = set(3, "a", "w");
        child.priority = 8;
        let items = vec![first, workout(2, "w", Kind::Create), child];
        assert_eq!(batches(items, Limits { count: 2, ..WIDE }), [vec![1, 2], vec![3]]);
    }

    #[test]
    fn a_full_batch_takes_what_has_no_body_until_something_does_not_fit() {
        let deletion = |seq: i64| Item {
            bytes: 0,
            ..workout(seq, &format!("gone{seq}"), Kind::Delete)
        };
        let exact = Limits { bytes: 100, ..WIDE };
        let items = vec![
            workout(1, "a", Kind::Create),
            deletion(2),
            workout(3, "b", Kind::Create),
            deletion(4),
        ];
        assert_eq!(batches(items, exact), [[1, 2], [3, 4]]);
    }

    #[test]
    fn what_must_go_first_goes_alone_where_nothing_travels_together() {
        let mut urgent = set(2, "a", "w");
        urgent.priority = 9;
        let apart = Limits {
            together: false,
            ..WIDE
        };
        assert_eq!(batches(vec![workout(1, "w", Kind::Create), urgent], apart), [[1], [2]]);
    }

    #[test]
    fn what_must_follow_a_stuck_one_does_not_go_with_the_next_batch() {
        let items = vec![workout(1, "w", Kind::Create), set(2, "a", "w")];
        let mut schedule = Schedule::new(items, rules(), 0, &HashSet::new());
        assert_eq!(schedule.next_batch(Limits { count: 1, ..WIDE }), [1]);
        schedule.stuck(1);
        assert!(schedule.next_batch(WIDE).is_empty());
    }
}
