//! A request of which nothing is heard.
//!
//! A network that swallows what is sent into it says nothing. The runner's own deadline is long, because
//! a slow backend and a slow uplink need it; to wait for it would keep everything waiting that long after
//! the network is well again. So after one probe interval without an answer:
//!
//! 1. The request is given up, and a probe asks whether the backend is there.
//! 2. It is not, or the probe is not heard of either: offline, at no cost. The first probe that is
//!    answered starts a pass.
//! 3. It is: the request went, or its answer came, into a network that is well again. It goes once more at
//!    once, under the same operation ids, and smaller, at no cost.
//! 4. That happens twice in a row at most; then the runner's deadline decides, and it counts as a timeout:
//!    a backend that is slow, though it is there, must not be asked again and again.
//!
//! Requests for a token or to the app's resolver are not the network's alone and have deadlines of their
//! own.

use super::*;

/// How often in a row a request goes again at once.
const MOST: u32 = 2;

/// Slower than this an uplink does not count as working, in bytes per millisecond: as much longer a larger
/// request may take.
const SLOWEST_UPLINK: u64 = 8;

/// How long the open request may go unanswered.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// The tick at which it was sent.
    pub(super) asked_at: u64,
    due: Option<u64>,
}

impl Silence {
    /// A request is sent, after so many that were given up.
    pub(super) fn begins(what: &Request, silences: u32, settings: &Settings, tick: u64) -> Self {
        let bytes = match what {
            Request::Push(batch) => batch
                .items
                .iter()
                .map(|item| item.body.as_ref().map_or(0, String::len))
                .sum(),
            _ => 0,
        };
        let upload_ms = u64::try_from(bytes).unwrap_or(u64::MAX) / SLOWEST_UPLINK;
        let patient = match what {
            Request::Probe => false,
            Request::Pull(_) | Request::Push(_) => silences >= MOST,
            Request::Refresh | Request::Resolve(_) => true,
        };
        let due = tick
            .saturating_add(settings.probe_interval_ms)
            .saturating_add(upload_ms);
        Self {
            asked_at: tick,
            due: (!patient).then_some(due),
        }
    }
}

impl Drain {
    /// When the open request has gone unanswered for too long.
    pub(super) fn silence_due(&self) -> Option<u64> {
        match self.phase {
            Phase::Asking(..) => self.silence.due,
            Phase::Idle | Phase::Storing(_) => None,
        }
    }

    pub(super) fn is_silent(&self, at: At) -> bool {
        self.silence_due().is_some_and(|due| due <= at.now.tick_ms)
    }

    /// Step 1; for a probe, step 2.
    pub(super) fn give_up(&mut self, at: At, out: &mut Vec<Instruction>) {
        let Phase::Asking(request, asking) = &self.phase else {
            return;
        };
        let request = *request;
        out.push(Instruction::Abandon);
        let half = match asking {
            Asking::Pull => Half::Pull,
            Asking::Push(_) => Half::Push,
            _ => return self.answered(request, Answer::Probed(Err(Fault::Timeout)), at, out),
        };
        if let Asking::Push(flight) = asking {
            self.batch_count = (flight.items.len() / 2).max(1);
        } else {
            self.page = (self.page / 2).max(10.min(self.settings.pull_page));
        }
        if let Some(pass) = &mut self.pass {
            pass.silences += 1;
            pass.page = self.page;
        }
        self.ask(Request::Probe, Asking::ProbeAfterSilence(half), at, out);
    }

    /// Step 3: the half starts again.
    pub(super) fn ask_again(&mut self, half: Half, at: At, out: &mut Vec<Instruction>) {
        if let Some(pass) = &mut self.pass {
            pass.halves.push_front(half);
        }
        self.next_half(at, out);
    }
}
