//! The machine's rules at their bounds: one more, one less, exactly then.

use super::*;

fn page(changes: usize, has_more: bool, remaining: Option<u64>) -> Answer {
    let change = || crate::remote::RemoteChange {
        collection: "workout".to_owned(),
        id: "w".to_owned(),
        version: crate::remote::RemoteVersion::default(),
    };
    Answer::Pulled(Ok(PullPage {
        changes: (0..changes).map(|_| change()).collect(),
        has_more,
        remaining,
        ..PullPage::default()
    }))
}

fn progress(bench: &Bench) -> Option<(u64, u64)> {
    bench.drain.snapshot().progress
}

#[test]
fn an_app_that_becomes_active_syncs_after_the_interval() {
    let mut bench = Bench::new(settings());
    bench.feed(Event::Active(true));
    assert_eq!(bench.timer, Some(310_000));
}

#[test]
fn progress_counts_what_is_done_and_what_is_known_to_be_left() {
    let mut bench = Bench::new(settings());
    bench.write(3);
    let (request, _) = bench.wake(Trigger::User).unwrap();
    assert_eq!(progress(&bench), Some((0, 0)));
    let (request, _) = bench.answer(request, page(2, true, Some(7))).unwrap();
    assert_eq!(progress(&bench), Some((2, 9)));
    let (request, what) = bench.answer(request, page(4, false, None)).unwrap();
    assert_eq!(progress(&bench), Some((6, 9)), "its entries are on their way");
    bench.answer(request, well(&what));
    assert_eq!((bench.last().pulled, bench.last().accepted), (6, 3));
    assert_eq!(progress(&bench), None);
}

#[test]
fn pages_grow_back_slowly_and_never_beyond_what_is_set() {
    let mut bench = Bench::new(settings());
    let hold = settings().page_hold_ms;
    bench.page_took_ms = hold + 1;
    let mut asked = bench.wake(Trigger::User);
    let mut limits = Vec::new();
    for round in 0..8 {
        let Some((request, Request::Pull(pull))) = asked else {
            panic!("a pull")
        };
        limits.push(pull.limit);
        if round == 1 {
            bench.page_took_ms = hold;
        }
        asked = bench.answer(request, page(0, true, None));
    }
    assert_eq!(limits, [500, 250, 282, 318, 358, 403, 454, 500]);
}

#[test]
fn a_small_page_is_never_made_smaller_than_it_is_set() {
    let mut bench = Bench::new(Settings {
        pull_page: 4,
        ..settings()
    });
    bench.page_took_ms = 10_000;
    let (request, _) = bench.wake(Trigger::User).unwrap();
    let asked = bench.answer(request, page(0, true, None));
    let Some((_, Request::Pull(pull))) = asked else {
        panic!("a pull")
    };
    assert_eq!(pull.limit, 4);
}

#[test]
fn a_slow_pull_halves_the_page_and_the_push_goes_on() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let (request, what) = bench.answer(request, faulty(&what, Fault::Timeout)).unwrap();
    let next = bench.answer(request, well(&what));
    assert_eq!(kind(&next), "push");
    bench.all_well(next);
    assert_eq!(
        (bench.last().pull, bench.last().push),
        (HalfResult::Failed("timeout"), HalfResult::Worked)
    );
    bench.now.tick_ms += 10_000;
    let Some((_, Request::Pull(pull))) = bench.wake(Trigger::User) else {
        panic!("a pull")
    };
    assert_eq!(pull.limit, 250);
}

#[test]
fn the_third_timeout_of_a_pass_ends_its_push() {
    let mut bench = Bench::new(Settings {
        batch_count: 1,
        ..settings()
    });
    bench.write(5);
    bench.pulls = false;
    let mut asked = bench.wake(Trigger::User);
    let mut pushes = 0;
    while let Some((request, what)) = asked {
        pushes += u32::from(matches!(what, Request::Push(_)));
        let fault = matches!(what, Request::Push(_)).then_some(Fault::Timeout);
        let answer = fault.map_or_else(|| well(&what), |fault| faulty(&what, fault));
        asked = bench.answer(request, answer);
    }
    assert_eq!((pushes, bench.postponed.as_slice()), (3, [1, 2, 3].as_slice()));
    assert_eq!(bench.last().push, HalfResult::Failed("timeout"));
    assert!(
        bench.drain.snapshot().nothing_before > bench.now.tick_ms,
        "and it backs off"
    );
}

#[test]
fn an_answer_in_between_forgets_the_timeouts_before_it() {
    let mut bench = Bench::new(Settings {
        batch_count: 1,
        ..settings()
    });
    bench.write(7);
    bench.pulls = false;
    let mut asked = bench.wake(Trigger::User);
    while let Some((request, what)) = asked {
        let slow = match &what {
            Request::Push(batch) => batch.items[0].seq % 3 != 0,
            _ => false,
        };
        let answer = if slow {
            faulty(&what, Fault::Timeout)
        } else {
            well(&what)
        };
        asked = bench.answer(request, answer);
    }
    assert_eq!(bench.postponed, [1, 2, 4, 5, 7], "the others were sent");
    assert_eq!(bench.last().accepted, 2);
    assert_eq!(
        bench.last().push,
        HalfResult::Failed("timeout"),
        "some of it did not work"
    );
    assert_eq!(bench.drain.snapshot().nothing_before, 0, "but the remote did");
}

#[test]
fn a_backend_that_fails_on_three_single_entries_fails_on_all() {
    let mut bench = Bench::new(Settings {
        batch_count: 1,
        ..settings()
    });
    bench.write(5);
    bench.pulls = false;
    let mut asked = bench.wake(Trigger::User);
    let mut pushes = 0;
    while let Some((request, what)) = asked {
        pushes += 1;
        asked = bench.answer(request, faulty(&what, Fault::Server { status: 500 }));
    }
    assert_eq!((pushes, bench.postponed.as_slice()), (3, [1, 2].as_slice()));
    assert_eq!(bench.last().push, HalfResult::Failed("server_failed"));
    assert!(bench.drain.snapshot().nothing_before > bench.now.tick_ms);
}

#[test]
fn entries_that_are_too_large_alone_do_not_stop_the_others_however_many() {
    let mut bench = Bench::new(Settings {
        batch_count: 1,
        ..settings()
    });
    bench.write(5);
    bench.pulls = false;
    let mut asked = bench.wake(Trigger::User);
    while let Some((request, what)) = asked {
        asked = bench.answer(request, faulty(&what, Fault::TooLarge));
    }
    assert_eq!(bench.postponed, [1, 2, 3, 4, 5]);
    assert_eq!(bench.last().push, HalfResult::Failed("too_large"));
}

#[test]
fn a_failed_probe_says_who_asked_and_that_both_halves_are_offline() {
    let mut bench = Bench::new(settings());
    bench.feed(Event::NetworkLost);
    assert!(bench.is_offline());
    assert_eq!(bench.timer, Some(20_000));
    let (request, _) = bench.wake(Trigger::Foreground).unwrap();
    bench.answer(request, Answer::Probed(Err(Fault::Offline)));
    let offline = HalfResult::Failed("offline");
    let told = bench.last();
    assert_eq!(
        (told.trigger, told.pull, told.push),
        (Some(Trigger::Foreground), offline, offline)
    );
}

#[test]
fn losing_the_network_does_not_stop_a_request_under_way() {
    let mut bench = Bench::new(settings());
    let asked = bench.wake(Trigger::User);
    assert!(bench.feed(Event::NetworkLost).is_none());
    assert!(!bench.is_offline());
    bench.all_well(asked);
    assert_eq!(bench.last().pull, HalfResult::Worked);
}

#[test]
fn a_refusal_says_who_asked_and_why() {
    let mut bench = Bench::new(settings());
    bench.drain = Drain::new(settings(), Rules::default(), ALL, 100_000);
    bench.wake(Trigger::Foreground);
    let throttled = HalfResult::Failed("throttled");
    let told = bench.last();
    assert_eq!(
        (told.trigger, told.pull, told.push),
        (Some(Trigger::Foreground), throttled, throttled)
    );
    bench.now.tick_ms = 99_999;
    assert!(bench.wake(Trigger::User).is_none(), "to the last tick");
    bench.now.tick_ms = 100_000;
    assert_eq!(kind(&bench.wake(Trigger::User)), "pull");
}

#[test]
fn used_up_schedules_are_released_again_exactly_after_the_interval() {
    let mut bench = Bench::new(settings());
    let interval = settings().release_interval_ms;
    let asked = bench.wake(Trigger::NetworkBack);
    bench.all_well(asked);
    bench.now.tick_ms += interval - 1;
    let asked = bench.wake(Trigger::NetworkBack);
    bench.all_well(asked);
    assert_eq!(bench.released.len(), 1);
    bench.now.tick_ms += 1;
    let asked = bench.wake(Trigger::NetworkBack);
    bench.all_well(asked);
    assert_eq!(bench.released.len(), 2);
}

#[test]
fn a_half_that_backs_off_goes_at_its_time_and_at_once_by_hand() {
    for (trigger, early) in [
        (Trigger::Foreground, false),
        (Trigger::User, true),
        (Trigger::SignedIn, true),
    ] {
        let mut bench = Bench::new(settings());
        bench.write(1);
        bench.drain.push_backoff.until = 10_001;
        let asked = bench.wake(trigger);
        bench.all_well(asked);
        assert_eq!(bench.last().push == HalfResult::Worked, early, "{trigger:?}");
        let until = bench.drain.push_backoff.until;
        assert_eq!(
            until == 0,
            early,
            "a pull that works says nothing of the push: {trigger:?}"
        );
    }
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.drain.push_backoff.until = 10_000;
    let asked = bench.wake(Trigger::Foreground);
    bench.all_well(asked);
    assert_eq!(bench.last().push, HalfResult::Worked, "its time has come");
}

#[test]
fn a_write_that_comes_due_with_anything_else_is_a_whole_pass() {
    let alone = |prepare: fn(&mut Bench)| {
        let mut bench = Bench::new(settings());
        bench.write(1);
        bench.wake(Trigger::Write);
        prepare(&mut bench);
        let asked = bench.after(settings().write_delay_ms);
        bench.all_well(asked);
        (bench.last().trigger, bench.last().pull != HalfResult::NotRun)
    };
    assert_eq!(alone(|_| {}), (Some(Trigger::Write), false));
    assert_eq!(
        alone(|bench| bench.drain.next_interval = Some(10_050)),
        (Some(Trigger::Timer), true)
    );
    let later = |bench: &mut Bench| bench.drain.next_interval = Some(1_000_000);
    assert_eq!(alone(later), (Some(Trigger::Write), false));
    assert_eq!(alone(|bench| bench.drain.owed = true), (Some(Trigger::Timer), true));
    let backs_off = |bench: &mut Bench| bench.drain.pull_backoff.until = 10_001;
    assert_eq!(alone(backs_off), (Some(Trigger::Timer), true));
}

#[test]
fn a_timer_that_fires_early_starts_nothing() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.wake(Trigger::Write);
    let due = bench.timer.unwrap() - bench.now.tick_ms;
    assert!(bench.after(due - 1).is_none());
    assert_eq!(kind(&bench.after(1)), "push");
}

#[test]
fn a_budget_ends_a_pass_at_its_last_tick_and_not_before() {
    let mut bench = Bench::new(settings());
    bench.wake(Trigger::Background { budget_ms: 25_000 }).unwrap();
    bench.after(24_999);
    assert!(bench.drain.is_busy());
    bench.after(1);
    assert!(!bench.drain.is_busy());
}

#[test]
fn a_pass_that_was_put_off_by_the_floor_and_the_back_off_is_timed_by_the_later_of_the_two() {
    let timed = |prepare: fn(&mut Drain)| {
        let mut bench = Bench::new(settings());
        prepare(&mut bench.drain);
        bench.feed(Event::NeedsFirstSync(false));
        bench.timer
    };
    assert_eq!(timed(|drain| drain.pull_backoff.until = 30_000), Some(30_000));
    assert_eq!(timed(|drain| drain.push_backoff.until = 30_000), Some(30_000));
    let floored = |drain: &mut Drain| {
        drain.pull_backoff.until = 30_000;
        drain.push_backoff.until = 40_000;
        drain.throttled_until = 35_000;
    };
    assert_eq!(timed(floored), Some(35_000));
    let write = |drain: &mut Drain| {
        drain.write_due = Some(20_000);
        drain.push_backoff.until = 40_000;
    };
    assert_eq!(timed(write), Some(40_000));
    assert_eq!(timed(|drain| drain.next_due = Some(20_000)), Some(20_000));
    let signed_out = |drain: &mut Drain| {
        drain.sign_in_needed = true;
        drain.write_due = Some(20_000);
    };
    assert_eq!(timed(signed_out), None);
}

#[test]
fn a_mass_of_alike_refusals_is_one_only_above_the_threshold_and_above_half() {
    let refusals = |codes: &[(&str, usize)]| -> Vec<Rejection> {
        let all = codes
            .iter()
            .flat_map(|(code, count)| std::iter::repeat_n(*code, *count));
        all.map(|code| Rejection {
            seq: 1,
            op: Uuid::nil(),
            code: code.to_owned(),
            message: String::new(),
        })
        .collect()
    };
    for (codes, answered, threshold, suspect) in [
        (&[("a", 10)][..], 10, 10, true),
        (&[("a", 9)][..], 9, 10, false),
        (&[("a", 10)][..], 20, 10, false),
        (&[("a", 10)][..], 19, 10, true),
        (&[("a", 5), ("b", 5)][..], 10, 10, false),
        (&[("a", 1)][..], 1, 0, true),
        (&[][..], 0, 0, false),
    ] {
        let found = super::super::pass::mass_rejection(&refusals(codes), answered, threshold);
        assert_eq!(found, suspect, "{codes:?} of {answered}");
    }
}

#[test]
fn a_backend_is_suspect_no_longer_when_it_takes_or_refuses_singly() {
    for outcome in [Outcome::Accepted(Accepted::default()), rejected("validation")] {
        let mut bench = Bench::new(settings());
        bench.drain.backend_suspect = true;
        bench.pulls = false;
        let asked = bench.wake(Trigger::User);
        bench.all_well(asked);
        assert!(bench.drain.backend_suspect, "nothing was sent: nothing is known");
        bench.write(1);
        let (request, what) = bench.wake(Trigger::User).unwrap();
        let Request::Push(batch) = &what else { panic!("a push") };
        bench.answer(request, outcomes(batch, &outcome));
        assert!(!bench.drain.backend_suspect, "{outcome:?}");
    }
}

#[test]
fn batches_double_up_to_what_is_set() {
    let mut bench = Bench::new(Settings {
        batch_count: 5,
        ..settings()
    });
    bench.write(20);
    bench.pulls = false;
    bench.drain.batch_count = 1;
    let asked = bench.wake(Trigger::User);
    assert_eq!(bench.all_well(asked), [1, 2, 4, 5, 5, 3]);
}

#[test]
fn a_claim_that_finds_nothing_twenty_times_ends_the_push() {
    let mut bench = Bench::new(settings());
    bench.pulls = false;
    bench.write(1);
    let mut out = bench.drain.handle(Event::Wake(Trigger::User), bench.now, 0.5);
    let (mut claims, mut report) = (0, None);
    while report.is_none() {
        let mut next = Vec::new();
        for instruction in out {
            let done = match instruction {
                Instruction::Step(Step::Claim(_)) => {
                    claims += 1;
                    let nothing = PushBatch {
                        epoch: None,
                        account: "a".to_owned(),
                        device_id: "d".to_owned(),
                        device_label: None,
                        items: Vec::new(),
                    };
                    StepDone::Claimed(nothing, Flight::default())
                }
                Instruction::Step(step) => bench.carry_out(step),
                Instruction::Finished(told) => {
                    report = Some(told);
                    continue;
                }
                _ => continue,
            };
            next.extend(bench.drain.handle(Event::Stepped(done), bench.now, 0.5));
        }
        out = next;
    }
    assert_eq!(claims, 20);
    assert_eq!(report.unwrap().push, HalfResult::Failed("internal"));
    assert!(bench.drain.snapshot().nothing_before > bench.now.tick_ms);
}

/// What the machine writes at the end of a pass, if it is at that.
fn written(out: Vec<Instruction>) -> Option<Box<PassEnd>> {
    out.into_iter().find_map(|instruction| match instruction {
        Instruction::Step(Step::Finish(end)) => Some(end),
        _ => None,
    })
}

#[test]
fn a_floor_is_written_while_it_lies_ahead() {
    for (floor, expected) in [(9_999, None), (10_000, None), (10_001, Some(10_001))] {
        let mut bench = Bench::new(settings());
        bench.pulls = false;
        bench.drain.handle(Event::Wake(Trigger::Timer), bench.now, 0.5);
        bench.drain.throttled_until = floor;
        let out = bench
            .drain
            .handle(Event::Stepped(StepDone::PullPrepared(None)), bench.now, 0.5);
        assert_eq!(out.len(), 2, "a step and a timer");
        let out = bench
            .drain
            .handle(Event::Stepped(StepDone::Scheduled(Vec::new())), bench.now, 0.5);
        assert_eq!(written(out).unwrap().throttled_until, expected, "{floor}");
    }
}

#[test]
fn a_cancel_during_a_storage_step_ends_the_pass_after_it() {
    let mut bench = Bench::new(settings());
    bench.drain.handle(Event::Wake(Trigger::User), bench.now, 0.5);
    let out = bench.drain.handle(Event::Cancel, bench.now, 0.5);
    assert!(written(out).is_none(), "a step is not torn apart");
    let out = bench.drain.handle(Event::Stepped(StepDone::Done), bench.now, 0.5);
    assert_eq!(written(out).unwrap().report.cancelled, Some(Cancelled::Caller));
}

#[test]
fn what_was_answered_before_a_cancel_is_settled_and_counted() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let answer = well(&what);
    bench.drain.handle(Event::Answered { request, answer }, bench.now, 0.5);
    bench.drain.handle(Event::Cancel, bench.now, 0.5);
    let settled = SettleReport {
        accepted: 1,
        ..SettleReport::default()
    };
    let out = bench
        .drain
        .handle(Event::Stepped(StepDone::Settled(settled)), bench.now, 0.5);
    let report = written(out).unwrap().report;
    assert_eq!((report.accepted, report.cancelled), (1, Some(Cancelled::Caller)));
}

#[test]
fn an_answer_to_another_request_is_thrown_away() {
    let mut bench = Bench::new(settings());
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let steps = bench.steps.len();
    assert!(bench.answer(request + 1, well(&what)).is_none());
    assert!(bench.drain.is_busy() && bench.steps.len() == steps);
    bench.answer(request, well(&what));
    assert_eq!(bench.last().pull, HalfResult::Worked);
}

#[test]
fn every_answer_of_a_batch_is_counted() {
    let mut bench = Bench::new(Settings {
        batch_count: 2,
        ..settings()
    });
    bench.write(4);
    bench.pulls = false;
    let mut asked = bench.wake(Trigger::User);
    let mut round = 0;
    while let Some((request, what)) = asked {
        let Request::Push(_) = &what else { panic!("a push") };
        round += 1;
        let report = SettleReport {
            accepted: 1,
            conflicts: 2,
            gave_up: 3,
            rebased: vec![100 + round],
            ..SettleReport::default()
        };
        bench.drain.handle(
            Event::Answered {
                request,
                answer: well(&what),
            },
            bench.now,
            0.5,
        );
        bench.queue.drain(..2);
        asked = bench.feed(Event::Stepped(StepDone::Settled(report)));
    }
    let told = bench.last();
    assert_eq!(
        (told.accepted, told.conflicts, told.gave_up, told.rebased),
        (2, 4, 6, 2)
    );
}

#[test]
fn an_attempt_that_was_the_last_planned_is_told_by_the_pass() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let answer = faulty(&what, Fault::TooLarge);
    bench.drain.handle(Event::Answered { request, answer }, bench.now, 0.5);
    bench.feed(Event::Stepped(StepDone::Postponed { gave_up: 1 }));
    assert_eq!((bench.last().gave_up, bench.last().accepted), (1, 0));
}

#[test]
fn a_write_that_a_policy_settled_too_often_goes_again_after_the_first_wait() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let mut asked = bench.wake(Trigger::User);
    while let Some((request, what)) = asked {
        let Request::Push(batch) = &what else { panic!("a push") };
        let conflict = Outcome::Conflict(crate::remote::RemoteVersion::default());
        asked = bench.answer(request, outcomes(batch, &conflict));
    }
    assert_eq!(bench.timer, Some(10_000 + settings().backoff_schedule_ms[0]));
}

#[test]
fn a_pass_that_worked_says_when_and_one_that_did_not_does_not() {
    for (fault, synced) in [(None, Some(1_000_000)), (Some(Fault::Untrusted), None)] {
        let mut bench = Bench::new(settings());
        let (request, what) = bench.wake(Trigger::User).unwrap();
        let answer = fault.map_or_else(|| well(&what), |fault| faulty(&what, fault));
        let asked = bench.answer(request, answer);
        bench.all_well(asked);
        assert_eq!(bench.drain.snapshot().last_synced_at(), synced);
    }
}

#[test]
fn a_write_during_a_pass_that_ends_without_it_goes_after_the_usual_delay() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    bench.wake(Trigger::Write);
    bench.answer(request, faulty(&what, Fault::Unrecognised { status: 404 }));
    let backed_off = 10_000 + settings().backoff_schedule_ms[0];
    assert_eq!(bench.drain.write_due, Some(10_000 + settings().write_delay_ms));
    assert_eq!(bench.timer, Some(backed_off.max(10_000 + settings().write_delay_ms)));
}

#[test]
fn another_epoch_pulls_once_more_before_the_push_and_then_gives_up_for_now() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    let mut asked = bench.wake(Trigger::User);
    let mut kinds = Vec::new();
    while let Some((request, what)) = asked {
        kinds.push(kind(&Some((request, clone_of(&what)))));
        assert!(kinds.len() < 10, "a loop");
        if !matches!(what, Request::Push(_)) {
            asked = bench.answer(request, well(&what));
            continue;
        }
        bench.drain.handle(
            Event::Answered {
                request,
                answer: well(&what),
            },
            bench.now,
            0.5,
        );
        let report = SettleReport {
            other_epoch: true,
            ..SettleReport::default()
        };
        asked = bench.feed(Event::Stepped(StepDone::Settled(report)));
    }
    assert_eq!(kinds, ["pull", "push", "pull", "push"]);
    assert_eq!(bench.last().push, HalfResult::Failed("other_epoch"));
    assert!(bench.drain.snapshot().nothing_before > bench.now.tick_ms);
}

#[test]
fn the_active_interval_starts_again_with_each_pass_of_an_active_app_only() {
    let mut bench = Bench::new(settings());
    bench.feed(Event::Active(true));
    bench.now.tick_ms += 1_000;
    let asked = bench.wake(Trigger::User);
    bench.all_well(asked);
    assert_eq!(bench.timer, Some(11_000 + settings().active_interval_ms));
    let mut bench = Bench::new(settings());
    let asked = bench.wake(Trigger::User);
    bench.all_well(asked);
    assert_eq!(bench.timer, None);
}

#[test]
fn the_queue_is_put_in_order_once_unless_a_conflict_changed_it() {
    for (conflicts, times) in [(0, 1), (1, 2)] {
        let mut bench = Bench::new(Settings {
            batch_count: 2,
            ..settings()
        });
        bench.write(4);
        bench.pulls = false;
        let (request, what) = bench.wake(Trigger::User).unwrap();
        bench.drain.handle(
            Event::Answered {
                request,
                answer: well(&what),
            },
            bench.now,
            0.5,
        );
        let report = SettleReport {
            accepted: 2,
            conflicts,
            ..SettleReport::default()
        };
        bench.queue.drain(..2);
        let asked = bench.feed(Event::Stepped(StepDone::Settled(report)));
        assert_eq!(progress(&bench), Some((2, 4)), "two of four");
        bench.all_well(asked);
        let ordered = bench.steps.iter().filter(|step| **step == "schedule").count();
        assert_eq!(ordered, times, "{conflicts} conflicts");
    }
}

#[test]
fn a_trigger_that_the_missing_sign_in_refuses_is_owed_nothing_by_a_floor_that_has_passed() {
    for (floor, owed) in [(10_000, false), (10_001, true)] {
        let mut bench = Bench::new(settings());
        bench.drain.sign_in_needed = true;
        bench.drain.throttled_until = floor;
        assert!(bench.wake(Trigger::NetworkBack).is_none());
        assert_eq!(bench.drain.owed, owed, "{floor}");
    }
}

#[test]
fn who_asks_for_the_whole_while_only_a_write_goes_out_gets_it_afterwards() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    let asked = bench.wake(Trigger::Confirm);
    assert!(bench.wake(Trigger::Foreground).is_none());
    bench.all_well(asked);
    assert_eq!(bench.finished.len(), 2);
    assert_eq!(
        (bench.last().trigger, bench.last().pull),
        (Some(Trigger::Foreground), HalfResult::Worked)
    );
    // One that comes while a whole pass is under way has what it wants.
    let asked = bench.wake(Trigger::Timer);
    assert!(bench.wake(Trigger::Foreground).is_none());
    bench.all_well(asked);
    assert_eq!(bench.finished.len(), 3);
}
