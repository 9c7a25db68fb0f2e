//! The link between the device and the proxy, which can be cut in either direction and healed.
//!
//! While it is cut, bytes in that direction wait. After it has healed they go on their way as TCP would send
//! them again: whoever waited for so long waits up to as long once more, because the sender's intervals
//! double. Or they are gone for good, as where a router forgot the connection and tells nobody
//! ([`Cut::swallows`]).

use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// Which way nothing goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// From the device to the server.
    pub up: bool,
    /// From the server to the device.
    pub down: bool,
    /// What was sent into the cut never arrives.
    pub swallows: bool,
}

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

#[derive(Debug)]
pub(super) struct Link {
    cut: watch::Sender<Cut>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            cut: watch::Sender::new(Cut::default()),
        }
    }
}

impl Link {
    pub(super) fn cut(&self, cut: Cut) {
        self.cut.send_replace(cut);
    }

    /// Waits until a byte that is sent now arrives; `share` of the time it waited is what the sender's last
    /// interval adds. False: it never will.
    pub(super) async fn pass(&self, way: Way, share: f64) -> bool {
        let mut cut = self.cut.subscribe();
        loop {
            let begun = Instant::now();
            let now = *cut.borrow_and_update();
            let closed = |cut: &Cut| match way {
                Way::Up => cut.up,
                Way::Down => cut.down,
            };
            if !closed(&now) {
                return true;
            }
            if now.swallows {
                return false;
            }
            // A proxy that is gone lets nothing pass.
            if cut.wait_for(|cut| !closed(cut)).await.is_err() {
                return false;
            }
            let late = begun.elapsed().mul_f64(share.clamp(0.0, 1.0));
            tokio::time::sleep(late.max(Duration::from_millis(1))).await;
        }
    }
}
