//! Whose turn it is in a pull that asks one collection at a time. Pure.
//!
//! The port asks for a page of everything; here a page is one collection's. What has been asked in this
//! round is remembered until the last collection is at its head. A request that does not go on from the
//! page before it (another pass, another account, a page that was not stored) begins a new round.

use super::list::Listed;
use crate::remote::{PullPage, PullRequest};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    /// The account and the cursors with which this round goes on.
    expects: Option<(String, Cursors)>,
    /// At their head in this round.
    done: BTreeSet<String>,
    /// Those whose list failed last; asked last.
    failing: BTreeSet<String>,
}

type Cursors = Vec<(String, Option<String>)>;

impl Round {
    /// The round `request` belongs to.
    pub(super) fn next(&self, request: &PullRequest) -> Self {
        let goes_on = self
            .expects
            .as_ref()
            .is_some_and(|(account, cursors)| *account == request.account && *cursors == request.cursors);
        if goes_on {
            return self.clone();
        }
        Self {
            failing: self.failing.clone(),
            ..Self::default()
        }
    }

    /// Whose turn it is, and from where. `None`: nobody's, all are at their head.
    pub(super) fn turn(&self, request: &PullRequest, lists: impl Fn(&str) -> bool) -> Option<(String, Option<String>)> {
        let open = request
            .cursors
            .iter()
            .filter(|(name, _)| lists(name) && !self.done.contains(name));
        // The first of those that compare equal: a failing one only where all are.
        open.min_by_key(|(name, _)| self.failing.contains(name)).cloned()
    }

    /// The page of the collection whose turn it was.
    pub(super) fn page(
        &mut self,
        request: &PullRequest,
        collection: &str,
        listed: Listed,
        starts_over: bool,
        lists: impl Fn(&str) -> bool,
    ) -> PullPage {
        self.failing.remove(collection);
        if !listed.has_more {
            self.done.insert(collection.to_owned());
        }
        let has_more = listed.has_more || self.turn(request, lists).is_some();
        let next = listed.next.clone();
        let moved = |(name, cursor): &(String, Option<String>)| {
            let cursor = if name != collection {
                cursor.clone()
            } else if starts_over {
                next.clone()
            } else {
                next.clone().or_else(|| cursor.clone())
            };
            (name.clone(), cursor)
        };
        if has_more {
            let cursors = request.cursors.iter().map(moved).collect();
            self.expects = Some((request.account.clone(), cursors));
        } else {
            self.expects = None;
            self.done.clear();
        }
        PullPage {
            cursors: next.iter().map(|next| (collection.to_owned(), next.clone())).collect(),
            whole: starts_over.then(|| collection.to_owned()).into_iter().collect(),
            changes: listed.changes(collection),
            has_more,
            ..PullPage::default()
        }
    }

    /// The list of the collection whose turn it was failed, and with it this round.
    pub(super) fn failed(&mut self, collection: &str) {
        self.expects = None;
        self.done.clear();
        self.failing.insert(collection.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cursors: &[(&str, Option<&str>)]) -> PullRequest {
        PullRequest {
            account: "ada".to_owned(),
            device_id: "d".to_owned(),
            epoch: None,
            cursors: cursors
                .iter()
                .map(|(name, cursor)| ((*name).to_owned(), cursor.map(str::to_owned)))
                .collect(),
            limit: 10,
            ..PullRequest::default()
        }
    }

    fn listed(next: Option<&str>, has_more: bool) -> Listed {
        Listed {
            found: Vec::new(),
            next: next.map(str::to_owned),
            has_more,
        }
    }

    fn turn(round: &Round, request: &PullRequest) -> Option<String> {
        round.turn(request, |name| name != "unlisted").map(|(name, _)| name)
    }

    #[test]
    fn each_collection_has_its_turn_until_it_is_at_its_head() {
        let lists = |name: &str| name != "unlisted";
        let mut asked = request(&[("a", None), ("unlisted", None), ("b", Some("7"))]);
        let mut round = Round::default().next(&asked);
        let mut turns = Vec::new();
        for (next, more) in [(Some("1"), true), (Some("2"), false), (None, false)] {
            let name = turn(&round, &asked).unwrap();
            let page = round.page(&asked, &name, listed(next, more), false, lists);
            turns.push((name, page.has_more));
            for (name, cursor) in page.cursors {
                asked.cursors.iter_mut().find(|(n, _)| *n == name).unwrap().1 = Some(cursor);
            }
            round = round.next(&asked);
        }
        let expected = [("a", true), ("a", true), ("b", false)].map(|(name, more)| (name.to_owned(), more));
        assert_eq!(turns, expected);
        assert_eq!(
            turn(&round, &asked).as_deref(),
            Some("a"),
            "a new round begins at the first"
        );
    }

    #[test]
    fn a_request_that_does_not_go_on_from_the_page_before_begins_a_new_round() {
        let lists = |_: &str| true;
        let asked = request(&[("a", None), ("b", None)]);
        let mut round = Round::default().next(&asked);
        round.page(&asked, "a", listed(Some("1"), false), false, lists);
        let stored = request(&[("a", Some("1")), ("b", None)]);
        assert_eq!(turn(&round.next(&stored), &stored).as_deref(), Some("b"));
        assert_eq!(
            turn(&round.next(&asked), &asked).as_deref(),
            Some("a"),
            "it was not stored"
        );
        let other = PullRequest {
            account: "bob".to_owned(),
            ..stored
        };
        assert_eq!(
            turn(&round.next(&other), &other).as_deref(),
            Some("a"),
            "another account"
        );
    }

    #[test]
    fn a_list_that_fails_is_asked_last_the_next_time() {
        let asked = request(&[("a", None), ("b", None)]);
        let mut round = Round::default().next(&asked);
        round.failed("a");
        let mut round = round.next(&asked);
        assert_eq!(turn(&round, &asked).as_deref(), Some("b"));
        let page = round.page(&asked, "b", listed(None, false), true, |_| true);
        assert!(page.has_more, "the failing one is still to come");
        assert_eq!(page.whole, ["b"]);
        let mut round = round.next(&asked);
        assert_eq!(turn(&round, &asked).as_deref(), Some("a"));
        assert!(!round.page(&asked, "a", listed(None, false), false, |_| true).has_more);
        assert_eq!(turn(&round.next(&asked), &asked).as_deref(), Some("a"), "well again");
    }
}
