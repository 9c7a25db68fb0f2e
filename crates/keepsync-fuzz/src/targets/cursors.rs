//! Texts that stand for a position or a moment: the server's cursors, hybrid clocks, clocks of units, and
//! the cursor a device keeps for a backend.
//!
//! 1. What is read and written again is read as the same, and once written stays as it is.
//! 2. A cursor of the server never goes on above the change it has come to.
//! 3. A device gives a cursor back exactly as it came.

use crate::{device::Device, hlc::Hlc, input::lines, sqlite};
use keepsync::{
    conflict::Clocks,
    drain::{Answer, Request, Step, carry_out},
    remote::{Fault, PullPage},
};

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some((up, below, written)) = sqlite::read(&text) {
        assert_eq!(sqlite::read(&written), Some((up, below, written)));
        assert!(below.is_none_or(|below| below <= up.saturating_add(1)));
    }
    if let Ok(clock) = text.parse::<Hlc>() {
        assert_eq!(clock.to_string().parse(), Ok(clock));
        assert_eq!(Hlc::from_i64(clock.to_i64()), clock);
        assert!(clock.next(0) > clock || clock.to_i64() == i64::MAX);
        assert!(clock.clamped(5, 10) <= Hlc::at(15));
    }
    let own = Hlc::at(1_763_600_000_000);
    let clocks = Clocks::parse(&text, own);
    if let Some(written) = clocks.to_text() {
        assert_eq!(Clocks::parse(&written, own), clocks);
    }
    // One in many: a file is made for it.
    if data.first().is_some_and(|byte| byte % 16 == 0) || data.starts_with(b"cursor") {
        given_back(&lines::<2>(data)[1]);
    }
}

fn given_back(cursor: &str) {
    let mut device = Device::in_memory();
    let page = PullPage {
        cursors: vec![("workout".to_owned(), cursor.to_owned())],
        has_more: true,
        ..PullPage::default()
    };
    carry_out(&mut device.db, Step::ApplyPage(page));
    let mut asked = Vec::new();
    device.sync(|request| match request {
        Request::Pull(request) => {
            asked.extend(request.cursors);
            Answer::Pulled(Err(Fault::Offline))
        }
        Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
        Request::Probe => Answer::Probed(Err(Fault::Offline)),
        Request::Refresh => Answer::Refreshed(Ok(())),
        Request::Resolve(_) => Answer::Resolved(Err("nobody decides here".to_owned())),
    });
    assert!(
        asked.contains(&("workout".to_owned(), Some(cursor.to_owned()))),
        "{asked:?}"
    );
}
