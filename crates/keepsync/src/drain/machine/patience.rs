//! How long a first sync may bring nothing before the app is told that it is stalled.

/// The time since something came, while a first sync is needed.
#[derive(Debug)]
pub(super) struct Patience {
    limit_ms: u64,
    /// The tick at which something last came, or the user last asked. `None`: no first sync is needed.
    since: Option<u64>,
    stalled: bool,
}

impl Patience {
    pub(super) fn new(limit_ms: u64) -> Self {
        Self {
            limit_ms,
            since: None,
            stalled: false,
        }
    }

    /// Something came, or it is known now whether anything has to come.
    pub(super) fn page_came(&mut self, needed: bool, tick: u64) {
        self.since = needed.then_some(tick);
        self.stalled = false;
    }

    /// The user asked again: it has all its time.
    pub(super) fn begin_again(&mut self, tick: u64) {
        self.page_came(self.since.is_some(), tick);
    }

    /// When it is to be looked at.
    pub(super) fn due(&self) -> Option<u64> {
        self.since
            .filter(|_| !self.stalled)
            .map(|since| since.saturating_add(self.limit_ms))
    }

    pub(super) fn look(&mut self, tick: u64) {
        self.stalled |= self.due().is_some_and(|due| due <= tick);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }
}
