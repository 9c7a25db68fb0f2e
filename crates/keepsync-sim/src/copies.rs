//! Copies of the server's data that are behind, as those are that a large server reads from. A pull goes to one only if
//! it has all that the pull's cursors stand for, so what a device knows from pages is never taken back; but what it
//! learnt from the answers to its pushes may be newer than the page.
//!
//! 1. Each pull leaves the request that will follow it, if its answer arrives ([`Copies::pulled`]).
//! 2. Before a push is applied, that request is answered ahead of time ([`Copies::keep`]).
//! 3. If it comes, it gets that answer; any other pull throws it away ([`Copies::take`]).

use keepsync_wire::{PullRequest, PullResponse};
use std::collections::BTreeMap;

/// A device and its user.
type Asker = (usize, &'static str);

/// What is kept of each asker.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    next: BTreeMap<Asker, PullRequest>,
    pages: BTreeMap<Asker, PullResponse>,
}

impl Copies {
    /// The request that follows the last page, if it goes on from somewhere in every collection.
    pub(crate) fn next(&self, device: usize, user: &'static str) -> Option<&PullRequest> {
        let next = self.next.get(&(device, user))?;
        next.collections.iter().all(|it| it.cursor.is_some()).then_some(next)
    }

    pub(crate) fn keep(&mut self, device: usize, user: &'static str, page: PullResponse) {
        self.pages.entry((device, user)).or_insert(page);
    }

    pub(crate) fn pulled(&mut self, device: usize, user: &'static str, request: &PullRequest, page: &PullResponse) {
        let mut next = request.clone();
        next.epoch = Some(page.epoch.clone());
        for one in &mut next.collections {
            if let Some(moved) = page.cursors.iter().find(|moved| moved.collection == one.collection) {
                one.cursor.clone_from(&moved.cursor);
            }
        }
        self.next.insert((device, user), next);
    }

    /// The answer that was made ahead of time, if it is one to this request.
    pub(crate) fn take(&mut self, device: usize, user: &'static str, request: &PullRequest) -> Option<PullResponse> {
        let page = self.pages.remove(&(device, user))?;
        let next = self.next.get(&(device, user))?;
        let same =
            next.epoch == request.epoch && next.collections == request.collections && next.limit == request.limit;
        same.then_some(page)
    }
}
