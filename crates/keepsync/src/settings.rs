//! Every number of the design that an app may set, with the design's defaults.

/// What happens after the last step of [`Settings::retry_schedule_ms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLast {
    /// The lane needs attention, and still goes out on the next network change, foreground or tap.
    Auto,
    /// The lane needs attention and waits for the user's tap.
    Manual,
}

/// Which half of a drain comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Changes from other devices are seen before anything is sent (SetFlow).
    PullThenPush,
    /// Unsent writes go first (the field-work app).
    PushThenPull,
}

/// Limits and times. All times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Drains start by themselves: on opening, after writes, on hints and timers. Without it only
    /// [`Store::sync`](crate::Store::sync) and [`Store::background`](crate::Store::background) start
    /// one: for "sync only when I say so", and for tools.
    pub automatic: bool,
    /// Which half of a drain comes first.
    pub order: Order,
    /// Waits before the second, third, … attempt of an entry. Its length is the number of retries.
    pub retry_schedule_ms: Vec<u64>,
    /// Each wait is drawn from `1 ± jitter` of its step.
    pub jitter: f64,
    /// What follows the last step.
    pub after_last: AfterLast,
    /// Waits of the whole remote after answers that are not certainly the backend's.
    pub backoff_schedule_ms: Vec<u64>,
    /// At most this many entries in a request.
    pub batch_count: usize,
    /// At most this many bytes of bodies in a request; one larger body still goes, alone.
    pub batch_bytes: usize,
    /// Changes asked for in a page, at most. Pages shrink by themselves when one holds the writer
    /// longer than [`Settings::page_hold_ms`].
    pub pull_page: u32,
    /// How long applying a page may hold the writer.
    pub page_hold_ms: u64,
    /// A first sync that the app needs is stalled when no page has come for this long.
    pub first_sync_limit_ms: u64,
    /// A write made while online goes out this long after, together with its neighbours.
    pub write_delay_ms: u64,
    /// While the app is active, a drain starts this long after the last.
    pub active_interval_ms: u64,
    /// While offline, the backend is probed this often.
    pub probe_interval_ms: u64,
    /// Lanes whose schedule is used up are released by network changes and foregrounding at most
    /// once in this time.
    pub release_interval_ms: u64,
    /// `Retry-After` is believed up to this long.
    pub throttle_cap_ms: u64,
    /// The wait after "too many requests" without `Retry-After`.
    pub throttle_default_ms: u64,
    /// From this many equal rejections in one pass on, and if they are most of its answers, they
    /// are taken for a fault of the backend and nothing is parked.
    pub mass_rejection: usize,
    /// A body may have this many bytes.
    pub body_bytes: usize,
    /// A body may nest this deep.
    pub body_depth: usize,
    /// Acknowledged operations are kept this long, to be given again to a restored server.
    pub journal_ms: i64,
    /// And at most this many of them.
    pub journal_count: u64,
    /// And at most this many bytes of their bodies.
    pub journal_bytes: u64,
    /// Superseded versions kept per record.
    pub history_per_record: u64,
    /// And at most this many in all.
    pub history_count: u64,
    /// Diagnostic events kept.
    pub event_count: u64,
    /// Hybrid clocks further ahead than this are clamped.
    pub clock_ahead_ms: i64,
    /// The write-ahead log is checkpointed beyond this many bytes, waiting for readers if need be.
    pub wal_bytes: u64,
    /// Connections for reading.
    pub readers: usize,
    /// How long the app's own resolver may take to decide a conflict.
    pub resolver_ms: u64,
    /// A change by another device is worth a warning this long after the server took it, where the record is
    /// worked with here.
    pub elsewhere_window_ms: i64,
    /// What a person calls this device.
    pub device_label: Option<String>,
}

const MINUTE: u64 = 60_000;

impl Settings {
    /// For an app that captures data in the field (see [`Collection::field`](crate::collection::Collection::field)):
    /// what is unsent goes out before anything is fetched, and what could not be sent after three retries
    /// is told to the user; it still goes out on the next network change, foreground or tap.
    pub fn field_mode() -> Self {
        Self {
            order: Order::PushThenPull,
            retry_schedule_ms: vec![MINUTE / 2, MINUTE, 5 * MINUTE],
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            automatic: true,
            order: Order::PullThenPush,
            retry_schedule_ms: vec![MINUTE / 2, MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE],
            jitter: 0.2,
            after_last: AfterLast::Auto,
            backoff_schedule_ms: vec![5_000, 15_000, MINUTE, 5 * MINUTE, 15 * MINUTE],
            batch_count: 200,
            batch_bytes: 512 * 1024,
            pull_page: 500,
            page_hold_ms: 20,
            first_sync_limit_ms: MINUTE / 2,
            write_delay_ms: 100,
            active_interval_ms: 5 * MINUTE,
            probe_interval_ms: 10_000,
            release_interval_ms: MINUTE,
            throttle_cap_ms: 24 * 60 * MINUTE,
            throttle_default_ms: MINUTE,
            mass_rejection: 10,
            body_bytes: 1024 * 1024,
            body_depth: 64,
            journal_ms: 30 * 24 * 60 * 60_000,
            journal_count: 20_000,
            journal_bytes: 32 * 1024 * 1024,
            history_per_record: 20,
            history_count: 5_000,
            event_count: 1_000,
            clock_ahead_ms: 24 * 60 * 60_000,
            wal_bytes: 8 * 1024 * 1024,
            readers: 3,
            resolver_ms: 10_000,
            elsewhere_window_ms: 10 * 60_000,
            device_label: None,
        }
    }
}
