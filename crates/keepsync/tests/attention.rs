//! When the last retry planned is used up: the app is told once, nothing is dropped, and it can still go.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::{Device, accepted, well};
use keepsync::{
    drain::{Answer, Event, Request, Status, Trigger},
    queue::Why,
    remote::{Fault, Outcome, PushItem},
    settings::{AfterLast, Settings},
};

/// The seeds' own schedules: three tries, and five.
const THREE: [u64; 3] = [1_000, 2_000, 4_000];
const FIVE: [u64; 5] = [30_000, 60_000, 300_000, 900_000, 3_600_000];

fn device(schedule: &[u64], after_last: AfterLast) -> Device {
    let settings = Settings {
        jitter: 0.0,
        retry_schedule_ms: schedule.to_vec(),
        after_last,
        ..Settings::default()
    };
    Device::named(1, None, settings)
}

fn events(device: &Device) -> usize {
    let events = device.db.read(|read| read.events(1_000)).unwrap();
    events.iter().filter(|event| event.event == "retries_used_up").count()
}

fn status(device: &Device) -> Status {
    let counts = device.db.read(|read| read.queue_counts()).unwrap();
    device.drain.snapshot().status(&counts, false, device.now())
}

/// A pass that something other than the user starts. Gives what was sent.
fn woken(device: &mut Device, trigger: Trigger, answer: impl Fn(&PushItem) -> Option<Outcome>) -> usize {
    let mut sent = 0;
    device.feed(Event::Wake(trigger), |request| {
        Some(match request {
            Request::Push(batch) => {
                sent += batch.items.len();
                device::answered(&batch, &mut |item| answer(item))
            }
            other => well(other),
        })
    });
    sent
}

fn try_later(_: &PushItem) -> Option<Outcome> {
    Some(Outcome::Retry { after_ms: None })
}

/// Tries until the schedule is used up; gives how often something was sent.
fn exhaust(device: &mut Device, schedule: &[u64]) -> usize {
    let mut tries = woken(device, Trigger::Timer, try_later);
    for wait in schedule {
        assert_eq!(events(device), 0);
        device.pass_time(wait - 1);
        assert_eq!(woken(device, Trigger::Timer, try_later), 0, "not before its time");
        device.pass_time(1);
        tries += woken(device, Trigger::Timer, try_later);
    }
    tries
}

#[test]
fn the_app_is_told_once_after_the_last_retry_and_the_write_is_kept() {
    for schedule in [&THREE[..], &FIVE[..]] {
        for after_last in [AfterLast::Auto, AfterLast::Manual] {
            let mut device = device(schedule, after_last);
            device.put("workout", "w", "{}");
            assert_eq!(exhaust(&mut device, schedule), schedule.len() + 1);
            assert_eq!(status(&device), Status::NeedsAttention { count: 1 });
            assert_eq!(events(&device), 1);
            assert_eq!(device.db.read(|read| read.counters()).unwrap()["gave_up"], 1);
            // A tap that does not help tells nobody again.
            let report = device.push(|_| Some(Outcome::Retry { after_ms: None }));
            assert_eq!((report.gave_up, events(&device)), (0, 1));
            assert_eq!(status(&device), Status::NeedsAttention { count: 1 });
            // Nor does a day.
            device.pass_time(24 * 60 * 60_000);
            assert_eq!(woken(&mut device, Trigger::Timer, try_later), 0);
            assert_eq!(device.entries().len(), 1);
        }
    }
}

#[test]
fn a_tap_sends_it_under_both_settings_and_a_network_change_or_foreground_only_under_auto() {
    for schedule in [&THREE[..], &FIVE[..]] {
        for (after_last, trigger, goes) in [
            (AfterLast::Auto, Trigger::NetworkBack, true),
            (AfterLast::Auto, Trigger::Foreground, true),
            (AfterLast::Auto, Trigger::User, true),
            (AfterLast::Manual, Trigger::NetworkBack, false),
            (AfterLast::Manual, Trigger::Foreground, false),
            (AfterLast::Manual, Trigger::User, true),
        ] {
            let mut device = device(schedule, after_last);
            device.put("workout", "w", "{}");
            exhaust(&mut device, schedule);
            let by_hand = after_last == AfterLast::Manual;
            assert_eq!(device.entries()[0].why, Why::RetriesUsedUp { by_hand });
            let sent = woken(&mut device, trigger, |_| Some(accepted(1)));
            assert_eq!(sent, usize::from(goes), "{after_last:?} {trigger:?}");
            let expected = match goes {
                true => Status::Idle,
                false => Status::NeedsAttention { count: 1 },
            };
            assert_eq!(status(&device), expected);
        }
    }
}

#[test]
fn requests_that_time_out_while_the_probe_answers_are_told_of_too() {
    let mut device = device(&[1_000], AfterLast::Manual);
    device.put("workout", "w", "{}");
    let timeouts = |device: &mut Device| {
        device.sync(|request| {
            Some(match request {
                Request::Push(_) => Answer::Pushed(Err(Fault::Timeout)),
                other => well(other),
            })
        })
    };
    for _ in 0..20 {
        if events(&device) > 0 {
            break;
        }
        device.pass_time(60 * 60_000);
        timeouts(&mut device);
    }
    assert_eq!(events(&device), 1);
    assert_eq!(status(&device), Status::NeedsAttention { count: 1 });
}
