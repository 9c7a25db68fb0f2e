//! What goes wrong in a story, and how often. Each seed has its own mixture: some faults off, some
//! rare, some the rule, because a story with everything in it hides what one fault alone shows.

use keepsync_proxy::rng::Rng;

/// The mixture. Probabilities are per request unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// The request never arrives.
    pub lose_request: f64,
    /// It arrives, its answer does not.
    pub lose_answer: f64,
    /// It arrives long after the device has given it up.
    pub late_request: f64,
    /// It arrives twice.
    pub duplicate: f64,
    /// The answer takes long, though not too long.
    pub slow: f64,
    /// The server fails: half the time before it does the work, half the time after.
    pub server_error: f64,
    /// "Not so fast."
    pub throttle: f64,
    /// Somebody else answers.
    pub portal: f64,
    /// The token runs out just before.
    pub token_expires: f64,
    /// The answer breaks off in the middle.
    pub truncate: f64,
    /// The answer comes when the device has given the request up.
    pub late_answer: f64,
    /// The server ends in the middle of it, before it has committed or after, and starts anew.
    pub restart_at_request: f64,
    /// What is sent into a cut is gone for good (a half-open connection), and not sent again by the
    /// network below when the cut is over.
    pub half_open: f64,
    /// Per question to the app's resolver: it fails.
    pub resolver_fails: f64,
    /// Per question to the app's resolver: it takes too long.
    pub resolver_slow: f64,
    /// Per push: the next pull is answered by a copy of the server's data that is behind: it has all up to the
    /// cursors it is asked with, and not yet what was pushed.
    pub old_page: f64,
    /// One device is off for longer than the server remembers tombstones and answers.
    pub sleep: Option<Sleep>,
    /// Some results are missing from the answer.
    pub partial: f64,
    /// Results come in another order.
    pub shuffle: f64,
    /// Per item: the server could not take it now.
    pub try_later: f64,
    /// The request is larger than the server takes beyond this many items; 0 for no limit.
    pub most_items: usize,
    /// Per storage step: the process dies before it, after it, or in the middle of its writing.
    pub crash_at_step: f64,
    /// Per act of a user: the process dies in the middle of it.
    pub crash_at_act: f64,
    /// Per opening: the process dies in the middle of it.
    pub crash_at_open: f64,
    /// Per request: the process dies before it leaves, or when its answer has come.
    pub crash_at_request: f64,
    /// Per storage step: the user does something just then.
    pub act_at_step: f64,
    /// Per storage step: one of its writes fails.
    pub disk: f64,
    /// Per act of a user: one of its writes fails.
    pub disk_at_act: f64,
    /// Per crash: it is a power cut, and what was not synced is lost or torn.
    pub power: f64,
    /// Mean time between times when the disk is full; 0 for none.
    pub disk_full_every_ms: f64,
    /// Mean time between offline periods of a device; 0 for none.
    pub offline_every_ms: f64,
    /// Mean time between cuts of a device from the server, in one direction or both; 0 for none.
    pub cut_every_ms: f64,
    /// Mean time between cuts of all devices from the server; 0 for none.
    pub cut_all_every_ms: f64,
    /// Mean time between crashes of a device outside of steps; 0 for none.
    pub crash_every_ms: f64,
    /// Mean time between jumps of a device's wall clock; 0 for none.
    pub jump_every_ms: f64,
    /// Mean time between bad periods of the server; 0 for none.
    pub bad_server_every_ms: f64,
    /// Mean time between restores of the server; 0 for none.
    pub restore_every_ms: f64,
    /// Mean time between starts of the server anew; 0 for none.
    pub restart_every_ms: f64,
    /// Mean time between changes of the account on a device; 0 for none.
    pub switch_every_ms: f64,
    /// Mean time between installations of another version of the app; 0 for none.
    pub upgrade_every_ms: f64,
    /// Mean time between wipes of the account that is signed in; 0 for none.
    pub wipe_every_ms: f64,
}

/// How a device is when it goes off for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// Everything that it sent was answered: what it comes back to may have been deleted, and that forgotten.
    Answered,
    /// What it sent last was not answered. It has an account of its own, so that no version came between: of
    /// another one, a server that forgot an answer can say no more than that the base is not current.
    Unanswered,
}

/// Takes a kind of fault out of a mixture.
pub(crate) type Off = fn(&mut Faults);

/// The kinds of faults by the names the command line knows them by.
pub const KINDS: [(&str, Off); 40] = [
    ("lose-request", |f| f.lose_request = 0.0),
    ("lose-answer", |f| f.lose_answer = 0.0),
    ("late-request", |f| f.late_request = 0.0),
    ("late-answer", |f| f.late_answer = 0.0),
    ("duplicate", |f| f.duplicate = 0.0),
    ("slow", |f| f.slow = 0.0),
    ("truncate", |f| f.truncate = 0.0),
    ("server-error", |f| f.server_error = 0.0),
    ("throttle", |f| f.throttle = 0.0),
    ("portal", |f| f.portal = 0.0),
    ("token-expires", |f| f.token_expires = 0.0),
    ("partial", |f| f.partial = 0.0),
    ("shuffle", |f| f.shuffle = 0.0),
    ("try-later", |f| f.try_later = 0.0),
    ("too-large", |f| f.most_items = 0),
    ("crash-at-step", |f| f.crash_at_step = 0.0),
    ("crash-at-request", |f| f.crash_at_request = 0.0),
    ("act-at-step", |f| f.act_at_step = 0.0),
    ("disk", |f| f.disk = 0.0),
    ("disk-at-act", |f| f.disk_at_act = 0.0),
    ("disk-full", |f| f.disk_full_every_ms = 0.0),
    ("crash-at-act", |f| f.crash_at_act = 0.0),
    ("crash-at-open", |f| f.crash_at_open = 0.0),
    ("power", |f| f.power = 0.0),
    ("offline", |f| f.offline_every_ms = 0.0),
    ("cut", |f| f.cut_every_ms = 0.0),
    ("cut-all", |f| f.cut_all_every_ms = 0.0),
    ("crash", |f| f.crash_every_ms = 0.0),
    ("jump", |f| f.jump_every_ms = 0.0),
    ("mood", |f| f.bad_server_every_ms = 0.0),
    ("restore", |f| f.restore_every_ms = 0.0),
    ("restart", |f| f.restart_every_ms = 0.0),
    ("restart-at-request", |f| f.restart_at_request = 0.0),
    ("switch", |f| f.switch_every_ms = 0.0),
    ("upgrade", |f| f.upgrade_every_ms = 0.0),
    ("wipe", |f| f.wipe_every_ms = 0.0),
    ("resolver-fails", |f| f.resolver_fails = 0.0),
    ("resolver-slow", |f| f.resolver_slow = 0.0),
    ("old-page", |f| f.old_page = 0.0),
    ("sleep", |f| f.sleep = None),
];

const HOUR: f64 = 3_600_000.0;

impl Faults {
    /// The names of what can happen in it.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let is_on = |off: &Off| {
            let mut without = self.clone();
            off(&mut without);
            without != *self
        };
        let on = KINDS.iter().filter(|(_, off)| is_on(off));
        on.map(|(name, _)| *name).collect()
    }

    /// The mixture of a seed.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut some = |often: f64, most: f64| {
            let there = rng.chance(often);
            let amount = rng.unit();
            if there { amount * amount * most } else { 0.0 }
        };
        let mut faults = Self {
            lose_request: some(0.5, 0.4),
            lose_answer: some(0.6, 0.5),
            late_request: some(0.3, 0.2),
            duplicate: some(0.4, 0.4),
            slow: some(0.5, 0.5),
            server_error: some(0.4, 0.4),
            throttle: some(0.3, 0.2),
            portal: some(0.3, 0.2),
            token_expires: some(0.3, 0.1),
            partial: some(0.4, 0.5),
            shuffle: some(0.5, 1.0),
            try_later: some(0.4, 0.3),
            most_items: 0,
            crash_at_step: some(0.4, 0.015),
            crash_at_request: some(0.5, 0.04),
            act_at_step: some(0.6, 0.06),
            disk: some(0.2, 0.05),
            crash_at_act: some(0.4, 0.08),
            crash_at_open: some(0.3, 0.2),
            disk_at_act: some(0.3, 0.1),
            power: some(0.7, 1.0),
            truncate: some(0.3, 0.3),
            late_answer: some(0.3, 0.3),
            restart_at_request: some(0.3, 0.05),
            resolver_fails: some(0.4, 0.5),
            resolver_slow: some(0.3, 0.3),
            ..Self::default()
        };
        faults.most_items = if rng.chance(0.2) {
            1 + usize::try_from(rng.below(4)).unwrap_or(0)
        } else {
            0
        };
        let mut every = |often: f64, shortest: f64, longest: f64| {
            let there = rng.chance(often);
            let time = (shortest + rng.unit() * (longest - shortest)) / 2.0;
            if there { time } else { 0.0 }
        };
        faults.offline_every_ms = every(0.7, 0.2 * HOUR, 6.0 * HOUR);
        faults.crash_every_ms = every(0.4, 1.0 * HOUR, 12.0 * HOUR);
        faults.jump_every_ms = every(0.4, 1.0 * HOUR, 12.0 * HOUR);
        faults.bad_server_every_ms = every(0.3, 1.0 * HOUR, 12.0 * HOUR);
        faults.restore_every_ms = every(0.3, 1.0 * HOUR, 12.0 * HOUR);
        faults.switch_every_ms = every(0.25, 2.0 * HOUR, 10.0 * HOUR);
        faults.cut_every_ms = every(0.5, 0.05 * HOUR, 3.0 * HOUR);
        faults.cut_all_every_ms = every(0.2, 0.5 * HOUR, 6.0 * HOUR);
        faults.restart_every_ms = every(0.3, 0.5 * HOUR, 8.0 * HOUR);
        faults.upgrade_every_ms = every(0.3, 1.0 * HOUR, 12.0 * HOUR);
        faults.wipe_every_ms = every(0.08, 4.0 * HOUR, 24.0 * HOUR);
        faults.disk_full_every_ms = every(0.2, 1.0 * HOUR, 10.0 * HOUR);
        faults.half_open = if rng.chance(0.5) { 1.0 } else { 0.0 };
        faults
    }

    /// What came later, of dice of its own, so that stories without it are what they were.
    pub fn draw_more(&mut self, rng: &mut Rng) {
        let (is_old, old) = (rng.chance(0.25), rng.unit());
        self.old_page = if is_old { 0.1 + 0.5 * old } else { 0.0 };
        let sleeps = rng.below(8);
        // Nobody is somebody else meanwhile, and the server is not restored to before what it has forgotten.
        let alone = self.switch_every_ms == 0.0 && self.restore_every_ms == 0.0;
        self.sleep = match sleeps {
            0 | 1 if alone => Some(Sleep::Answered),
            2 | 3 if alone => Some(Sleep::Unanswered),
            _ => None,
        };
    }
}
