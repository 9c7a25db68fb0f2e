//! When each unit of a record was last written, so that two versions merge to the same result in
//! whatever order they meet.
//!
//! A version was written at its own clock. Where some of its units were not changed by that write, it
//! says when they were, and by whom: a JSON object from unit to `[clock, device id]`. Units are named by
//! the policy that settles them (`.`: all that is in no group; `/field`; `/field/member`;
//! `/field=key`; `/a,b`: a group). Two names are special: empty is every unit that is there and not
//! named, `*` is the record itself (an edit against a deletion). What is missing is the version's own.
//! A unit that is not there has a clock only if it is named: it was removed then.

use crate::hlc::Hlc;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A moment and the installation that wrote in it. Later is greater; there are no ties.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    /// When.
    pub hlc: Hlc,
    /// Who.
    pub device_id: String,
}

/// The clocks of a version that are not its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clocks(BTreeMap<String, Clock>);

/// The name of the record itself.
const RECORD: &str = "*";
/// The name of every unit that is there and not named.
const OTHERS: &str = "";
/// Removed units that are remembered. An edit of one that was removed still longer ago brings it back.
const REMOVED: usize = 500;

impl Clocks {
    /// Reads the text form. What cannot be read is left out, and no clock is later than the version's
    /// own: one that ran ahead is not believed twice.
    pub fn parse(text: &str, own: Hlc) -> Self {
        let object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let clock = |value: &Value| {
            let hlc: Hlc = value.get(0)?.as_str()?.parse().ok()?;
            let device_id = value.get(1)?.as_str()?.to_owned();
            Some(Clock {
                hlc: hlc.min(own),
                device_id,
            })
        };
        let named = object
            .iter()
            .filter_map(|(unit, value)| Some((unit.clone(), clock(value)?)));
        Self(named.collect())
    }

    /// The text form; `None` if there is nothing to say.
    pub fn to_text(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let pair = |clock: &Clock| Value::from(vec![clock.hlc.to_string(), clock.device_id.clone()]);
        let object = self.0.iter().map(|(unit, clock)| (unit.clone(), pair(clock)));
        Some(Value::Object(object.collect()).to_string())
    }

    /// The clocks of a version written at `own`, from those of its units.
    pub(super) fn of(own: &Clock, record: Clock, there: Vec<(String, Clock)>, mut gone: Vec<(String, Clock)>) -> Self {
        let mut count: BTreeMap<&Clock, usize> = BTreeMap::new();
        for (_, clock) in &there {
            *count.entry(clock).or_default() += 1;
        }
        let most = count.iter().max_by_key(|(_, count)| **count);
        let others = most.map_or(own, |(clock, _)| *clock).clone();
        let mut clocks = BTreeMap::new();
        gone.sort_by(|(_, a), (_, b)| b.cmp(a));
        gone.truncate(REMOVED);
        clocks.extend(gone);
        clocks.extend(there.into_iter().filter(|(_, clock)| *clock != others));
        if record != *own {
            clocks.insert(RECORD.to_owned(), record);
        }
        if others != *own {
            clocks.insert(OTHERS.to_owned(), others);
        }
        Self(clocks)
    }
}

/// A version's own clock and those of its units.
#[derive(Debug, Clone)]
pub(super) struct Times {
    own: Clock,
    clocks: Clocks,
}

impl Times {
    pub(super) fn new(own: Clock, clocks: Clocks) -> Self {
        Self { own, clocks }
    }

    /// Of the record: when it was last edited or deleted.
    pub(super) fn record(&self) -> &Clock {
        self.clocks.0.get(RECORD).unwrap_or(&self.own)
    }

    /// Of a unit that is there.
    pub(super) fn there(&self, unit: &str) -> &Clock {
        let named = self.clocks.0.get(unit);
        named.or_else(|| self.clocks.0.get(OTHERS)).unwrap_or(&self.own)
    }

    /// Of a unit that is not there; `None` if it never was.
    pub(super) fn gone(&self, unit: &str) -> Option<&Clock> {
        self.clocks.0.get(unit)
    }

    /// The units that are named, and their clocks.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &Clock)> {
        let named = self.clocks.0.iter().map(|(name, clock)| (name.as_str(), clock));
        named.filter(|(name, _)| *name != RECORD && *name != OTHERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(ms: i64, device: &str) -> Clock {
        Clock {
            hlc: Hlc::at(ms),
            device_id: device.to_owned(),
        }
    }

    #[test]
    fn text_form_round_trips() {
        let clocks = Clocks::of(
            &clock(9, "a"),
            clock(9, "a"),
            vec![("/x".to_owned(), clock(3, "b")), ("/y".to_owned(), clock(9, "a"))],
            vec![("/z".to_owned(), clock(9, "a"))],
        );
        let text = clocks.to_text().unwrap();
        assert_eq!(Clocks::parse(&text, Hlc::at(9)), clocks, "{text}");
        assert_eq!(Clocks::default().to_text(), None);
    }

    #[test]
    fn a_version_written_at_one_moment_says_nothing() {
        let own = clock(5, "a");
        let there = vec![("/x".to_owned(), own.clone()), ("/y".to_owned(), own.clone())];
        assert_eq!(Clocks::of(&own, own.clone(), there, Vec::new()), Clocks::default());
    }

    #[test]
    fn no_unit_is_later_than_its_version() {
        let text = r#"{"/x":["5000-0","b"],"/y":["7","b"],"/z":5,"":["1-0"]}"#;
        let times = Times::new(clock(10, "a"), Clocks::parse(text, Hlc::at(10)));
        assert_eq!(times.there("/x"), &clock(10, "b"));
        assert_eq!(times.there("/y"), &clock(10, "a"), "what cannot be read is left out");
        assert_eq!(times.gone("/z"), None);
        assert_eq!(Clocks::parse("[]", Hlc::at(1)), Clocks::default());
    }

    #[test]
    fn removed_units_are_remembered_within_bounds() {
        let gone = (0..REMOVED as i64 + 10)
            .map(|n| (format!("/{n}"), clock(n, "a")))
            .collect();
        let clocks = Clocks::of(&clock(9_999, "a"), clock(9_999, "a"), Vec::new(), gone);
        let times = Times::new(clock(9_999, "a"), clocks);
        assert_eq!(times.named().count(), REMOVED);
        assert_eq!(times.gone("/9"), None, "the oldest go");
        assert!(times.gone("/10").is_some());
    }

    #[test]
    fn the_clock_that_most_units_share_is_told_once_and_only_the_others_are_named() {
        let there = vec![
            ("/x".to_owned(), clock(1, "a")),
            ("/y".to_owned(), clock(1, "a")),
            ("/z".to_owned(), clock(2, "b")),
        ];
        let clocks = Clocks::of(&clock(9, "a"), clock(3, "c"), there, Vec::new());
        let times = Times::new(clock(9, "a"), clocks);
        assert_eq!(times.named().collect::<Vec<_>>(), [("/z", &clock(2, "b"))]);
        assert_eq!((times.there("/x"), times.record()), (&clock(1, "a"), &clock(3, "c")));
    }
}
