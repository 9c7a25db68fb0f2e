//! The machine's rules, one by one. Storage is a list; the network is what each test says it is.

#![allow(clippy::expect_used, reason = "the helpers of tests are tests too")]

use super::{pass::MOST_REBASES, *};
use crate::{
    drain::schedule::Item,
    hlc::Hlc,
    queue::{EntryState, Kind},
    remote::{Accepted, Outcome, PushItem},
};
use keepsync_wire::Operation;
use uuid::Uuid;

/// A machine, a list for its storage, and a clock.
struct Bench {
    drain: Drain,
    now: Now,
    queue: Vec<Item>,
    pulls: bool,
    timer: Option<u64>,
    finished: Vec<Report>,
    postponed: Vec<i64>,
    parked: Vec<Rejection>,
    released: Vec<Release>,
    steps: Vec<&'static str>,
    page_took_ms: u64,
    needs_first_sync: bool,
    fail_step: Option<&'static str>,
    /// What waits for the app's resolvers.
    unresolved: Vec<Unresolved>,
    /// Whether what a resolver says settles anything.
    moved_on: bool,
    /// What its entries send.
    body: String,
}

fn settings() -> Settings {
    Settings {
        jitter: 0.0,
        ..Settings::default()
    }
}

const ALL: Capabilities = Capabilities {
    batches: true,
    after: true,
    pull: true,
};

impl Bench {
    fn new(settings: Settings) -> Self {
        Self::with(settings, ALL)
    }

    fn with(settings: Settings, capabilities: Capabilities) -> Self {
        Self {
            drain: Drain::new(settings, Rules::default(), capabilities, 0),
            now: Now {
                wall_ms: 1_000_000,
                tick_ms: 10_000,
            },
            queue: Vec::new(),
            pulls: true,
            timer: None,
            finished: Vec::new(),
            postponed: Vec::new(),
            parked: Vec::new(),
            released: Vec::new(),
            steps: Vec::new(),
            page_took_ms: 1,
            needs_first_sync: false,
            fail_step: None,
            unresolved: Vec::new(),
            moved_on: false,
            body: "{}".to_owned(),
        }
    }

    fn write(&mut self, count: i64) {
        for _ in 0..count {
            let seq = self.queue.last().map_or(1, |item| item.seq + 1);
            let id: std::sync::Arc<str> = format!("r{seq}").into();
            self.queue.push(Item {
                seq,
                collection: "workout".into(),
                lane: id.clone(),
                id,
                kind: Some(Kind::Create),
                priority: 0,
                state: EntryState::Waiting,
                next_tick: 0,
                bytes: 10,
            });
        }
    }

    /// Feeds an event and carries storage steps out until the machine asks for the network, or rests.
    fn feed(&mut self, event: Event) -> Option<(u64, Request)> {
        let mut events = VecDeque::from([event]);
        let mut asked = None;
        while let Some(event) = events.pop_front() {
            for instruction in self.drain.handle(event, self.now, 0.5) {
                match instruction {
                    Instruction::Step(step) => events.push_back(Event::Stepped(self.carry_out(step))),
                    Instruction::Request { request, what } => asked = Some((request, what)),
                    Instruction::Abandon => asked = None,
                    Instruction::Timer(at) => self.timer = at,
                    Instruction::Finished(report) => self.finished.push(report),
                }
            }
        }
        asked
    }

    fn carry_out(&mut self, step: Step) -> StepDone {
        let name = match &step {
            Step::Release(_) => "release",
            Step::PreparePull { .. } => "prepare",
            Step::ApplyPage(_) => "page",
            Step::Unresolved => "unresolved",
            Step::Resolve { .. } => "resolve",
            Step::Schedule => "schedule",
            Step::Claim(_) => "claim",
            Step::Settle { .. } => "settle",
            Step::Postpone(_) => "postpone",
            Step::Finish(_) => "finish",
        };
        self.steps.push(name);
        if self.fail_step == Some(name) {
            return StepDone::Failed { code: "storage_full" };
        }
        match step {
            Step::Release(release) => {
                self.released.push(release);
                self.queue.iter_mut().for_each(|item| item.next_tick = 0);
                StepDone::Done
            }
            Step::PreparePull { limit } => StepDone::PullPrepared(self.pulls.then(|| PullRequest {
                account: "a".to_owned(),
                device_id: "d".to_owned(),
                epoch: None,
                cursors: vec![("workout".to_owned(), None)],
                limit,
                ..PullRequest::default()
            })),
            Step::ApplyPage(page) => StepDone::PageApplied {
                changes: page.changes.len() as u64,
                has_more: page.has_more,
                took_ms: self.page_took_ms,
                remaining: page.remaining,
                needs_first_sync: self.needs_first_sync,
            },
            Step::Unresolved => StepDone::Unresolved(self.unresolved.clone()),
            Step::Resolve { asked, .. } => {
                if !self.moved_on {
                    self.unresolved.retain(|one| one.conflict.id != asked.conflict.id);
                    // It goes out now, under its record.
                    self.write(1);
                }
                StepDone::Done
            }
            Step::Schedule => StepDone::Scheduled(self.queue.clone()),
            Step::Claim(seqs) => {
                let body = Some(self.body.clone());
                let item = |&seq: &i64| PushItem {
                    body: body.clone(),
                    ..push_item(seq)
                };
                let items: Vec<_> = seqs.iter().map(item).collect();
                let mut flight = Flight::default();
                flight.items.extend(items.iter().map(|item| (item.seq, item.op)));
                let batch = PushBatch {
                    epoch: None,
                    account: "a".to_owned(),
                    device_id: "d".to_owned(),
                    device_label: None,
                    items,
                };
                StepDone::Claimed(batch, flight)
            }
            Step::Settle { flight, answer } => {
                let mut report = SettleReport::default();
                for (seq, op) in flight.items {
                    match answer
                        .results
                        .iter()
                        .find(|(answered, _)| *answered == op)
                        .map(|(_, outcome)| outcome)
                    {
                        Some(Outcome::Accepted(_)) => {
                            report.accepted += 1;
                            self.queue.retain(|item| item.seq != seq);
                        }
                        Some(Outcome::Rejected { code, message }) => {
                            report.rejected.push(Rejection {
                                seq,
                                op,
                                code: code.clone(),
                                message: message.clone(),
                            });
                        }
                        Some(Outcome::Conflict(_)) => {
                            report.conflicts += 1;
                            report.rebased.push(seq);
                        }
                        Some(Outcome::SignIn) => report.sign_in = true,
                        _ => report.postponed.push(seq),
                    }
                }
                StepDone::Settled(report)
            }
            Step::Postpone(flight) => {
                for (seq, _) in flight.items {
                    self.postponed.push(seq);
                    self.queue
                        .iter_mut()
                        .filter(|item| item.seq == seq)
                        .for_each(|item| item.next_tick = 99_999_999);
                }
                StepDone::Done
            }
            Step::Finish(end) => {
                let parked = end.park.len() as u64;
                for rejection in &end.park {
                    self.queue
                        .iter_mut()
                        .filter(|i| i.seq == rejection.seq)
                        .for_each(|i| i.state = EntryState::Parked);
                }
                self.parked.extend(end.park);
                let waiting = self
                    .queue
                    .iter()
                    .filter(|item| item.state == EntryState::Waiting)
                    .count() as u64;
                let due = self
                    .queue
                    .iter()
                    .map(|item| item.next_tick)
                    .filter(|&due| due > self.now.tick_ms)
                    .min();
                StepDone::Finished {
                    next_due: due,
                    parked,
                    waiting,
                }
            }
        }
    }

    fn wake(&mut self, trigger: Trigger) -> Option<(u64, Request)> {
        self.feed(Event::Wake(trigger))
    }

    fn answer(&mut self, request: u64, answer: Answer) -> Option<(u64, Request)> {
        self.feed(Event::Answered { request, answer })
    }

    /// Answers everything well until the machine rests. Gives the sizes of the batches that were sent.
    fn all_well(&mut self, mut asked: Option<(u64, Request)>) -> Vec<usize> {
        let mut sizes = Vec::new();
        while let Some((request, what)) = asked {
            if let Request::Push(batch) = &what {
                sizes.push(batch.items.len());
            }
            asked = self.answer(request, well(&what));
        }
        sizes
    }

    fn after(&mut self, ms: u64) -> Option<(u64, Request)> {
        self.now.tick_ms += ms;
        self.now.wall_ms += ms as i64;
        self.feed(Event::Timer)
    }

    fn last(&self) -> &Report {
        self.finished.last().expect("a pass has ended")
    }

    fn is_offline(&self) -> bool {
        self.drain.snapshot().offline
    }
}

fn push_item(seq: i64) -> PushItem {
    PushItem {
        seq,
        op: Uuid::from_u128(seq as u128),
        collection: "workout".to_owned(),
        id: format!("r{seq}"),
        parent_id: None,
        parent_server_id: None,
        operation: Operation::Create,
        body: Some("{}".to_owned()),
        base_version: 0,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        created_at: 0,
        hlc: Hlc::default(),
        clocks: None,
        server_id: None,
    }
}

fn outcomes(batch: &PushBatch, outcome: &Outcome) -> Answer {
    let results = batch.items.iter().map(|item| (item.op, outcome.clone())).collect();
    Answer::Pushed(Ok(PushAnswer {
        results,
        ..PushAnswer::default()
    }))
}

fn rejected(code: &str) -> Outcome {
    Outcome::Rejected {
        code: code.to_owned(),
        message: String::new(),
    }
}

/// The answer of a backend that is well.
fn well(what: &Request) -> Answer {
    match what {
        Request::Pull(_) => Answer::Pulled(Ok(PullPage::default())),
        Request::Push(batch) => outcomes(
            batch,
            &Outcome::Accepted(Accepted {
                version: 1,
                ..Accepted::default()
            }),
        ),
        Request::Probe => Answer::Probed(Ok(())),
        Request::Refresh => Answer::Refreshed(Ok(())),
        Request::Resolve(_) => Answer::Resolved(Ok(conflict::Verdict::KeepLocal)),
    }
}

/// The same fault, as an answer to whatever was asked.
fn faulty(what: &Request, fault: Fault) -> Answer {
    match what {
        Request::Pull(_) => Answer::Pulled(Err(fault)),
        Request::Push(_) => Answer::Pushed(Err(fault)),
        Request::Probe => Answer::Probed(Err(fault)),
        Request::Refresh => Answer::Refreshed(Err(TokenFault::Offline)),
        Request::Resolve(_) => Answer::Resolved(Err("no".to_owned())),
    }
}

fn kind(asked: &Option<(u64, Request)>) -> &'static str {
    match asked {
        None => "nothing",
        Some((_, Request::Pull(_))) => "pull",
        Some((_, Request::Push(_))) => "push",
        Some((_, Request::Probe)) => "probe",
        Some((_, Request::Refresh)) => "refresh",
        Some((_, Request::Resolve(_))) => "resolve",
    }
}

#[test]
fn a_pass_pulls_then_pushes_or_the_other_way_as_set() {
    for (order, expected) in [
        (Order::PullThenPush, ["pull", "push"]),
        (Order::PushThenPull, ["push", "pull"]),
    ] {
        let mut bench = Bench::new(Settings { order, ..settings() });
        bench.write(1);
        let first = bench.wake(Trigger::User);
        assert_eq!(kind(&first), expected[0]);
        let (request, what) = first.unwrap();
        let second = bench.answer(request, well(&what));
        assert_eq!(kind(&second), expected[1]);
        bench.all_well(second);
        assert_eq!(
            (bench.last().pull, bench.last().push),
            (HalfResult::Worked, HalfResult::Worked)
        );
        assert_eq!((bench.last().accepted, bench.last().requests), (1, 2));
    }
}

#[test]
fn a_failed_pull_does_not_stop_the_push_and_the_report_says_of_each_half() {
    for fault in [
        Fault::Unrecognised { status: 404 },
        Fault::Server { status: 500 },
        Fault::Untrusted,
    ] {
        let mut bench = Bench::new(settings());
        bench.write(1);
        let (request, what) = bench.wake(Trigger::User).unwrap();
        let next = bench.answer(request, faulty(&what, fault.clone()));
        assert_eq!(kind(&next), "push", "{fault:?}");
        bench.all_well(next);
        assert_eq!(bench.last().pull, HalfResult::Failed(fault.code()));
        assert_eq!((bench.last().push, bench.last().accepted), (HalfResult::Worked, 1));
    }
}

#[test]
fn a_second_sync_joins_the_pass_under_way() {
    let mut bench = Bench::new(settings());
    let asked = bench.wake(Trigger::User);
    assert!(bench.wake(Trigger::User).is_none());
    bench.all_well(asked);
    assert_eq!(bench.finished.len(), 1);
}

#[test]
fn a_tap_during_a_pass_it_did_not_start_gets_its_own_afterwards() {
    let mut bench = Bench::new(settings());
    let asked = bench.wake(Trigger::Timer);
    assert!(bench.wake(Trigger::User).is_none());
    bench.all_well(asked);
    assert_eq!(bench.finished.len(), 2);
    assert_eq!(bench.released, [Release::Waiting]);
}

#[test]
fn offline_costs_no_attempt_and_comes_back_with_the_first_probe() {
    let mut bench = Bench::new(settings());
    bench.write(3);
    let (request, what) = bench.wake(Trigger::User).unwrap();
    assert!(bench.answer(request, faulty(&what, Fault::Offline)).is_none());
    assert!(bench.is_offline());
    assert_eq!(bench.timer, Some(20_000), "a probe every ten seconds");
    for _ in 0..100 {
        let (request, what) = bench.after(10_000).unwrap();
        assert!(matches!(what, Request::Probe));
        assert!(bench.answer(request, faulty(&what, Fault::Offline)).is_none());
    }
    assert!(bench.postponed.is_empty(), "no attempt was counted");
    let asked = bench.after(10_000);
    bench.all_well(asked);
    assert!(!bench.is_offline() && bench.queue.is_empty());
}

#[test]
fn a_timeout_whose_probe_fails_is_offline() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let (request, what) = bench.answer(request, faulty(&what, Fault::Timeout)).unwrap();
    assert!(matches!(what, Request::Probe));
    assert!(bench.answer(request, faulty(&what, Fault::Timeout)).is_none());
    assert!(bench.is_offline() && bench.postponed.is_empty());
}

#[test]
fn a_timeout_whose_probe_answers_counts_an_attempt_and_halves_the_batch() {
    let mut bench = Bench::new(Settings {
        batch_count: 4,
        ..settings()
    });
    bench.write(8);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let (request, what) = bench.answer(request, faulty(&what, Fault::Timeout)).unwrap();
    let next = bench.answer(request, well(&what));
    assert_eq!(bench.postponed, [1, 2, 3, 4]);
    assert_eq!(
        bench.all_well(next),
        [2, 2],
        "the others go on, in smaller batches that grow again"
    );
    assert_eq!(bench.queue.len(), 4);
}

#[test]
fn retry_after_is_a_floor_that_no_tap_passes() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    assert!(
        bench
            .answer(request, faulty(&what, Fault::Throttled { after_ms: Some(90_000) }))
            .is_none()
    );
    for trigger in [
        Trigger::User,
        Trigger::NetworkBack,
        Trigger::Foreground,
        Trigger::SessionCompleted,
        Trigger::Timer,
    ] {
        assert!(bench.wake(trigger).is_none(), "{trigger:?}");
        assert_eq!(bench.last().push, HalfResult::Failed("throttled"));
    }
    bench.wake(Trigger::Write);
    assert!(bench.after(89_000).is_none());
    assert!(bench.postponed.is_empty());
    let asked = bench.after(1_000);
    assert_eq!(kind(&asked), "push");
}

#[test]
fn what_was_throttled_goes_when_the_floor_has_passed_though_nobody_asks() {
    // The push is told to wait; then the pull is; then a new life finds the floor of the one before.
    for (pulls, stored) in [(false, false), (true, false), (false, true)] {
        let mut bench = Bench::new(settings());
        bench.pulls = pulls;
        bench.write(2);
        if stored {
            bench.drain = Drain::new(settings(), Rules::default(), ALL, 100_000);
            assert!(bench.wake(Trigger::Foreground).is_none());
        } else {
            let (request, what) = bench.wake(Trigger::NetworkBack).unwrap();
            let wait = Fault::Throttled { after_ms: Some(90_000) };
            assert!(bench.answer(request, faulty(&what, wait)).is_none());
        }
        assert!(bench.after(89_999).is_none());
        let asked = bench.after(1);
        assert_eq!(kind(&asked), if pulls { "pull" } else { "push" });
        bench.all_well(asked);
        assert!(bench.queue.is_empty());
        assert_eq!(bench.timer, None, "and that was all of it");
    }
}

#[test]
fn what_a_throttled_trigger_would_have_let_go_is_let_go_when_the_floor_has_passed() {
    let cases = [
        (vec![Trigger::NetworkBack], Some(Release::Exhausted)),
        (vec![Trigger::Foreground, Trigger::User], Some(Release::Waiting)),
        (vec![Trigger::User, Trigger::NetworkBack], Some(Release::Waiting)),
        (vec![Trigger::SessionCompleted], None),
    ];
    for (triggers, release) in cases {
        let mut bench = Bench::new(settings());
        bench.drain = Drain::new(settings(), Rules::default(), ALL, 100_000);
        bench.write(1);
        bench.queue[0].next_tick = crate::queue::NEVER;
        for trigger in triggers {
            assert!(bench.wake(trigger).is_none());
        }
        let asked = bench.after(90_000);
        bench.all_well(asked);
        assert_eq!(bench.released, release.as_slice());
        assert_eq!(bench.queue.is_empty(), release.is_some());
        assert!(bench.after(1_000).is_none(), "once");
    }
}

#[test]
fn a_probe_that_finds_the_backend_does_not_pass_the_floor() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let wait = Fault::Throttled { after_ms: Some(90_000) };
    assert!(bench.answer(request, faulty(&what, wait)).is_none());
    bench.feed(Event::NetworkLost);
    let asked = bench.after(10_000);
    assert_eq!(kind(&asked), "probe");
    let (request, what) = asked.unwrap();
    assert!(bench.answer(request, well(&what)).is_none());
    assert_eq!(bench.last().push, HalfResult::Failed("throttled"));
    assert!(bench.after(79_999).is_none());
    let asked = bench.after(1);
    assert_eq!(kind(&asked), "push", "and then it goes by itself");
    assert_eq!(
        bench.released.last(),
        Some(&Release::Exhausted),
        "as after any way back to the network"
    );
}

#[test]
fn retry_after_is_capped_and_has_a_default() {
    for (said, expected) in [(None, 60_000), (Some(u64::MAX), 24 * 60 * 60_000)] {
        let mut bench = Bench::new(settings());
        let (request, what) = bench.wake(Trigger::User).unwrap();
        bench.answer(request, faulty(&what, Fault::Throttled { after_ms: said }));
        assert_eq!(bench.drain.snapshot().nothing_before, 10_000 + expected);
    }
}

#[test]
fn a_refused_token_is_refreshed_once_and_the_batch_goes_again() {
    let mut bench = Bench::new(settings());
    bench.write(2);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let (request, what) = bench.answer(request, faulty(&what, Fault::SignIn)).unwrap();
    assert!(matches!(what, Request::Refresh));
    let next = bench.answer(request, well(&what));
    assert_eq!(bench.all_well(next), [2]);
    assert!(bench.postponed.is_empty() && bench.queue.is_empty());
}

#[test]
fn a_token_refused_twice_pauses_the_account_at_no_cost() {
    let mut bench = Bench::new(settings());
    bench.write(2);
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let (request, what) = bench.answer(request, faulty(&what, Fault::SignIn)).unwrap();
    let (request, what) = bench.answer(request, well(&what)).unwrap();
    assert!(bench.answer(request, faulty(&what, Fault::SignIn)).is_none());
    assert!(bench.drain.snapshot().sign_in_needed && bench.postponed.is_empty());
    assert_eq!(bench.timer, None, "nothing happens by itself");
    for trigger in [Trigger::NetworkBack, Trigger::Foreground, Trigger::Timer] {
        assert!(bench.wake(trigger).is_none(), "{trigger:?}");
    }
    let asked = bench.wake(Trigger::SignedIn);
    bench.all_well(asked);
    assert!(bench.queue.is_empty() && !bench.drain.snapshot().sign_in_needed);
}

#[test]
fn an_answer_to_one_entry_that_refuses_the_token_pauses_too() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let Request::Push(batch) = &what else { panic!("a push") };
    let (request, what) = bench.answer(request, outcomes(batch, &Outcome::SignIn)).unwrap();
    assert!(matches!(what, Request::Refresh));
    bench.answer(request, Answer::Refreshed(Err(TokenFault::SignInNeeded)));
    assert!(bench.drain.snapshot().sign_in_needed);
    assert_eq!(bench.queue[0].state, EntryState::Waiting);
}

#[test]
fn too_large_halves_the_batch_at_once_until_one_entry_is_left_which_then_waits() {
    let mut bench = Bench::new(settings());
    bench.write(8);
    bench.pulls = false;
    let mut asked = bench.wake(Trigger::User);
    let mut sizes = Vec::new();
    while let Some((request, what)) = asked {
        let Request::Push(batch) = &what else { panic!("a push") };
        sizes.push(batch.items.len());
        let poisoned = batch.items.iter().any(|item| item.seq == 1);
        asked = bench.answer(
            request,
            if poisoned {
                faulty(&what, Fault::TooLarge)
            } else {
                well(&what)
            },
        );
    }
    assert_eq!(sizes[..4], [8, 4, 2, 1]);
    assert_eq!(
        (bench.postponed.as_slice(), bench.queue.len()),
        ([1].as_slice(), 1),
        "the others arrived"
    );
    assert!(bench.parked.is_empty(), "an answer that names no entry parks none");
}

#[test]
fn a_poisoned_entry_that_makes_the_backend_fail_is_found_and_the_others_go_on() {
    let mut bench = Bench::new(settings());
    bench.write(8);
    bench.pulls = false;
    for _ in 0..20 {
        let mut asked = bench.wake(Trigger::User);
        while let Some((request, what)) = asked {
            let Request::Push(batch) = &what else { panic!("a push") };
            let poisoned = batch.items.iter().any(|item| item.seq == 1);
            asked = bench.answer(
                request,
                if poisoned {
                    faulty(&what, Fault::Server { status: 500 })
                } else {
                    well(&what)
                },
            );
        }
    }
    assert_eq!(bench.queue.iter().map(|item| item.seq).collect::<Vec<_>>(), [1]);
    assert!(bench.parked.is_empty() && !bench.postponed.is_empty());
}

#[test]
fn an_unrecognised_answer_touches_no_entry_and_backs_the_remote_off() {
    let mut bench = Bench::new(settings());
    bench.write(3);
    bench.pulls = false;
    let mut waits = Vec::new();
    let mut asked = bench.wake(Trigger::User);
    for _ in 0..7 {
        let (request, what) = asked.expect("the push is tried again");
        assert!(
            bench
                .answer(request, faulty(&what, Fault::Unrecognised { status: 400 }))
                .is_none()
        );
        let wait = bench.timer.expect("a timer") - bench.now.tick_ms;
        waits.push(wait);
        assert!(bench.wake(Trigger::Write).is_none());
        assert!(bench.after(wait - 1).is_none(), "nothing goes before its time");
        asked = bench.after(1);
    }
    assert_eq!(waits, [5_000, 15_000, 60_000, 300_000, 900_000, 900_000, 900_000]);
    assert!(bench.parked.is_empty() && bench.postponed.is_empty() && bench.queue.len() == 3);
}

#[test]
fn a_rejected_entry_is_parked_at_the_end_of_the_pass_and_others_are_not_held_up() {
    let mut bench = Bench::new(settings());
    bench.write(3);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let Request::Push(batch) = &what else { panic!("a push") };
    let mut results: Vec<(Uuid, Outcome)> = batch
        .items
        .iter()
        .map(|item| (item.op, Outcome::Accepted(Accepted::default())))
        .collect();
    results[1].1 = rejected("validation");
    let answer = Answer::Pushed(Ok(PushAnswer {
        results,
        ..PushAnswer::default()
    }));
    assert!(bench.answer(request, answer).is_none());
    assert_eq!(
        bench.parked.iter().map(|rejection| rejection.seq).collect::<Vec<_>>(),
        [2]
    );
    assert_eq!((bench.last().accepted, bench.last().parked), (2, 1));
    assert_eq!(bench.timer, None, "a parked entry is not tried again by itself");
}

#[test]
fn the_same_rejection_of_most_of_a_pass_is_a_fault_of_the_backend() {
    for (count, expect_parked) in [(9, 9), (10, 0), (150, 0)] {
        let mut bench = Bench::new(Settings {
            batch_count: 50,
            ..settings()
        });
        bench.write(count);
        bench.pulls = false;
        let mut asked = bench.wake(Trigger::User);
        while let Some((request, what)) = asked {
            let Request::Push(batch) = &what else { panic!("a push") };
            asked = bench.answer(request, outcomes(batch, &rejected("forbidden")));
        }
        assert_eq!(bench.parked.len(), expect_parked, "{count}");
        assert_eq!(bench.drain.snapshot().backend_suspect, expect_parked == 0);
        assert!(
            expect_parked > 0 || bench.timer.is_some_and(|at| at > bench.now.tick_ms),
            "and the remote backs off"
        );
    }
}

#[test]
fn ten_different_rejections_among_many_good_answers_are_parked() {
    let mut bench = Bench::new(settings());
    bench.write(30);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let Request::Push(batch) = &what else { panic!("a push") };
    let results = batch.items.iter().map(|item| {
        let bad = item.seq <= 10;
        (
            item.op,
            if bad {
                rejected("validation")
            } else {
                Outcome::Accepted(Accepted::default())
            },
        )
    });
    let answer = PushAnswer {
        results: results.collect(),
        ..PushAnswer::default()
    };
    bench.answer(request, Answer::Pushed(Ok(answer)));
    assert_eq!(bench.parked.len(), 10);
}

#[test]
fn writes_made_during_a_pass_go_out_with_it() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    bench.write(1);
    bench.wake(Trigger::Write);
    let next = bench.answer(request, well(&what));
    assert_eq!(bench.all_well(next), [1]);
    assert!(bench.queue.is_empty());
}

#[test]
fn neighbouring_writes_share_a_request() {
    let mut bench = Bench::new(settings());
    for _ in 0..5 {
        bench.write(1);
        assert!(bench.wake(Trigger::Write).is_none());
        assert!(bench.after(10).is_none());
    }
    let asked = bench.after(100);
    assert_eq!(bench.all_well(asked), [5]);
    assert_eq!(bench.last().pull, HalfResult::NotRun, "a write alone does not pull");
}

#[test]
fn a_drain_that_is_not_automatic_starts_when_called_and_never_by_itself() {
    let mut bench = Bench::new(Settings {
        automatic: false,
        ..settings()
    });
    bench.write(3);
    bench.feed(Event::Active(true));
    for trigger in [
        Trigger::Write,
        Trigger::Foreground,
        Trigger::NetworkBack,
        Trigger::SessionCompleted,
        Trigger::SignedIn,
        Trigger::Timer,
    ] {
        assert_eq!(kind(&bench.wake(trigger)), "nothing", "{trigger:?}");
    }
    assert_eq!(bench.timer, None);
    assert_eq!(kind(&bench.after(24 * 60 * 60_000)), "nothing");

    let asked = bench.wake(Trigger::User);
    assert_eq!(bench.all_well(asked), [3]);
    bench.write(1);
    assert_eq!(kind(&bench.wake(Trigger::Write)), "nothing");
    let asked = bench.wake(Trigger::Background { budget_ms: 60_000 });
    assert_eq!(bench.all_well(asked), [1]);
    assert_eq!(bench.timer, None);
}

#[test]
fn an_active_app_syncs_every_five_minutes_and_an_inactive_one_does_not() {
    let mut bench = Bench::new(settings());
    bench.feed(Event::Active(true));
    let asked = bench.wake(Trigger::Foreground);
    bench.all_well(asked);
    assert!(bench.after(299_999).is_none());
    let asked = bench.after(1);
    assert_eq!(kind(&asked), "pull");
    bench.all_well(asked);
    bench.feed(Event::Active(false));
    assert_eq!(bench.timer, None);
}

#[test]
fn a_used_up_schedule_goes_out_again_on_network_change_foreground_and_tap() {
    for (after_last, trigger, expected) in [
        (AfterLast::Auto, Trigger::NetworkBack, vec![Release::Exhausted]),
        (AfterLast::Auto, Trigger::Foreground, vec![Release::Exhausted]),
        (AfterLast::Auto, Trigger::User, vec![Release::Waiting]),
        (AfterLast::Manual, Trigger::NetworkBack, vec![]),
        (AfterLast::Manual, Trigger::Foreground, vec![]),
        (AfterLast::Manual, Trigger::User, vec![Release::Waiting]),
        (AfterLast::Auto, Trigger::Timer, vec![]),
    ] {
        let mut bench = Bench::new(Settings {
            after_last,
            ..settings()
        });
        let asked = bench.wake(trigger);
        bench.all_well(asked);
        assert_eq!(bench.released, expected, "{after_last:?} {trigger:?}");
    }
}

#[test]
fn a_flapping_network_releases_used_up_schedules_once_in_a_while() {
    let mut bench = Bench::new(settings());
    for _ in 0..10 {
        let asked = bench.wake(Trigger::NetworkBack);
        bench.all_well(asked);
        bench.now.tick_ms += 1_000;
    }
    assert_eq!(bench.released.len(), 1);
    bench.now.tick_ms += 60_000;
    let asked = bench.wake(Trigger::NetworkBack);
    bench.all_well(asked);
    assert_eq!(bench.released.len(), 2);
}

#[test]
fn cancel_gives_up_the_open_request_and_its_late_answer_is_thrown_away() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    assert!(bench.feed(Event::Cancel).is_none());
    assert_eq!(bench.last().cancelled, Some(Cancelled::Caller));
    let before = bench.steps.len();
    assert!(bench.answer(request, well(&what)).is_none());
    assert_eq!((bench.steps.len(), bench.queue.len()), (before, 1));
}

#[test]
fn a_background_pass_ends_with_its_budget() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.wake(Trigger::Background { budget_ms: 9_000 }).unwrap();
    assert_eq!(bench.timer, Some(19_000));
    assert!(bench.after(9_000).is_none());
    assert_eq!(bench.last().cancelled, Some(Cancelled::Budget));
}

#[test]
fn a_failing_disk_ends_the_pass_and_leaves_the_remote_alone() {
    for step in ["prepare", "page", "schedule", "claim", "settle", "finish"] {
        let mut bench = Bench::new(settings());
        bench.write(1);
        bench.fail_step = Some(step);
        let asked = bench.wake(Trigger::User);
        bench.all_well(asked);
        assert!(bench.last().pull.failed() || bench.last().push.failed(), "{step}");
        assert!(bench.drain.snapshot().storage_full && !bench.drain.is_busy(), "{step}");
        assert!(
            bench.timer.is_some_and(|at| at > bench.now.tick_ms),
            "{step}: it tries again by itself"
        );
        bench.fail_step = None;
        let asked = bench.after(5_000);
        bench.all_well(asked);
        assert!(!bench.drain.snapshot().storage_full, "{step}");
    }
}

#[test]
fn a_full_disk_makes_batches_smaller_until_their_steps_fit() {
    let mut bench = Bench::new(settings());
    bench.pulls = false;
    bench.write(300);
    for step in ["claim", "settle"] {
        bench.fail_step = Some(step);
        if let Some((request, what)) = bench.wake(Trigger::User) {
            assert!(bench.answer(request, well(&what)).is_none());
        }
    }
    bench.fail_step = None;
    let asked = bench.wake(Trigger::User);
    assert_eq!(
        bench.all_well(asked),
        [50, 50, 50, 50, 50, 50],
        "they do not grow in this pass"
    );
    bench.write(300);
    let asked = bench.wake(Trigger::User);
    assert_eq!(bench.all_well(asked), [50, 100, 150], "and grow again in the next");
}

#[test]
fn pages_that_hold_the_writer_too_long_shrink() {
    let mut bench = Bench::new(settings());
    bench.page_took_ms = 50;
    let mut limits = Vec::new();
    let mut asked = bench.wake(Trigger::User);
    for _ in 0..8 {
        let Some((request, Request::Pull(pull))) = asked else {
            panic!("a pull")
        };
        limits.push(pull.limit);
        asked = bench.answer(
            request,
            Answer::Pulled(Ok(PullPage {
                has_more: true,
                ..PullPage::default()
            })),
        );
    }
    assert_eq!(limits, [500, 250, 125, 62, 31, 15, 10, 10]);
}

#[test]
fn a_conflict_that_a_policy_settles_again_and_again_does_not_loop() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    bench.pulls = false;
    let mut pushes = 0;
    let mut asked = bench.wake(Trigger::User);
    while let Some((request, what)) = asked {
        let Request::Push(batch) = &what else { panic!("a push") };
        pushes += 1;
        assert!(pushes < 10, "a loop");
        asked = bench.answer(
            request,
            outcomes(batch, &Outcome::Conflict(crate::remote::RemoteVersion::default())),
        );
    }
    assert_eq!(pushes, MOST_REBASES);
    assert!(bench.timer.is_some(), "and it is tried again later");
}

#[test]
fn entries_blocked_behind_others_do_not_wake_the_drain() {
    let mut bench = Bench::new(settings());
    bench.write(2);
    bench.queue[0].state = EntryState::Parked;
    bench.queue[1].id = bench.queue[0].id.clone();
    bench.queue[1].lane = bench.queue[0].lane.clone();
    bench.pulls = false;
    assert!(bench.wake(Trigger::User).is_none());
    assert_eq!(bench.timer, None);
}

#[test]
fn without_batches_each_request_carries_one() {
    let mut bench = Bench::with(
        settings(),
        Capabilities {
            batches: false,
            after: false,
            pull: false,
        },
    );
    bench.write(3);
    let asked = bench.wake(Trigger::User);
    assert_eq!(bench.all_well(asked), [1, 1, 1]);
    assert_eq!(bench.last().pull, HalfResult::Worked);
}

#[test]
fn a_first_sync_is_stalled_when_no_page_came_for_its_time_and_no_longer_when_one_comes() {
    let mut bench = Bench::new(Settings {
        // Nothing is asked after while the requests of this test hang.
        probe_interval_ms: 10_000_000,
        ..settings()
    });
    bench.needs_first_sync = true;
    bench.feed(Event::NeedsFirstSync(true));
    let limit = bench.drain.settings.first_sync_limit_ms;
    let stalled = |bench: &Bench| bench.drain.snapshot().is_stalled();
    // The request hangs; the timer is set all the same.
    let (request, _) = bench.wake(Trigger::Timer).unwrap();
    assert_eq!(bench.timer, Some(bench.now.tick_ms + limit));
    bench.after(limit - 1);
    assert!(!stalled(&bench));
    bench.after(1);
    assert!(stalled(&bench));
    let later = bench.now.tick_ms + 2 * limit;
    assert!(bench.timer.is_none_or(|at| at > later), "it is told once");
    // A jump of the wall clock is not time.
    let page = |has_more| {
        Answer::Pulled(Ok(PullPage {
            has_more,
            ..PullPage::default()
        }))
    };
    let (request, _) = bench.answer(request, page(true)).unwrap();
    assert!(!stalled(&bench));
    bench.now.wall_ms += 1_000_000_000;
    bench.feed(Event::Timer);
    assert!(!stalled(&bench));
    bench.after(limit);
    assert!(stalled(&bench));
    // What ends it is not an attempt by itself, but the user's.
    bench.feed(Event::Cancel);
    bench.wake(Trigger::Timer);
    assert!(stalled(&bench));
    bench.feed(Event::Cancel);
    let (next, _) = bench.wake(Trigger::User).unwrap();
    assert!(!stalled(&bench) && next > request);
    bench.needs_first_sync = false;
    bench.answer(next, page(false));
    bench.after(2 * limit);
    assert!(!stalled(&bench), "it is through");
}

#[test]
fn a_write_that_is_waited_for_goes_out_at_once_and_alone() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    let asked = bench.wake(Trigger::Confirm);
    assert_eq!(kind(&asked), "push", "no delay, no pull before it");
    // Who asks for the whole meanwhile gets the whole.
    assert!(bench.wake(Trigger::User).is_none());
    let (request, what) = asked.unwrap();
    let asked = bench.answer(request, well(&what));
    assert_eq!(kind(&asked), "pull");
    bench.all_well(asked);
    assert_eq!(bench.last().trigger, Some(Trigger::User));

    // Offline it is found out at once, and a network that is back is more than a push.
    let (request, _) = bench.wake(Trigger::User).unwrap();
    bench.answer(request, Answer::Pulled(Err(Fault::Offline)));
    let (probe, what) = bench.wake(Trigger::Confirm).unwrap();
    assert!(matches!(what, Request::Probe));
    assert!(bench.wake(Trigger::User).is_none());
    let asked = bench.answer(probe, Answer::Probed(Err(Fault::Offline)));
    assert_eq!(bench.last().push, HalfResult::Failed("offline"));
    let (probe, what) = asked.expect("the user's question is not answered with that");
    assert!(matches!(what, Request::Probe));
    bench.answer(probe, Answer::Probed(Err(Fault::Offline)));
    assert_eq!(bench.last().trigger, Some(Trigger::User));
    let (probe, _) = bench.wake(Trigger::Confirm).unwrap();
    let asked = bench.answer(probe, Answer::Probed(Ok(())));
    assert_eq!(kind(&asked), "pull");
}

/// A bench whose collection is decided by the app's resolver, and conflicts that wait for it.
fn with_resolver(settings: Settings, waiting: usize) -> Bench {
    use crate::{
        collection::{Collection, Collections},
        conflict::{Conflict, Policy},
    };
    let collections = Collections::new([Collection::new("workout", Policy::custom("app"))]).unwrap();
    let mut bench = Bench::new(settings.clone());
    bench.drain = Drain::new(settings, Rules::from(&collections), ALL, 0);
    let one = |n: usize| Unresolved {
        resolver: "app".to_owned(),
        conflict: Conflict {
            collection: "workout".to_owned(),
            id: format!("c{n}"),
            token: "1".to_owned(),
            remote_version: 1,
            ..Conflict::default()
        },
    };
    bench.unresolved = (0..waiting).map(one).collect();
    bench
}

#[test]
fn resolvers_are_asked_one_by_one_before_the_push_and_what_they_decide_goes_in_the_same_pass() {
    for order in [Order::PullThenPush, Order::PushThenPull] {
        let mut bench = with_resolver(Settings { order, ..settings() }, 2);
        let mut asked = bench.wake(Trigger::User);
        let mut kinds = Vec::new();
        while let Some((request, what)) = asked {
            kinds.push(kind(&Some((request, clone_of(&what)))));
            asked = bench.answer(request, well(&what));
        }
        let expected = match order {
            Order::PullThenPush => vec!["pull", "resolve", "resolve", "push"],
            Order::PushThenPull => vec!["resolve", "resolve", "push", "pull"],
        };
        assert_eq!(kinds, expected, "{order:?}");
        assert_eq!(
            (bench.last().accepted, bench.last().requests),
            (2, 2),
            "a resolver is no request"
        );
        assert_eq!(
            (bench.last().pull, bench.last().push),
            (HalfResult::Worked, HalfResult::Worked)
        );
    }
}

fn clone_of(what: &Request) -> Request {
    match what {
        Request::Pull(pull) => Request::Pull(pull.clone()),
        Request::Push(batch) => Request::Push(batch.clone()),
        Request::Resolve(one) => Request::Resolve(one.clone()),
        Request::Probe => Request::Probe,
        Request::Refresh => Request::Refresh,
    }
}

#[test]
fn what_a_pull_brings_for_a_resolver_is_decided_in_the_same_pass_when_the_push_came_first() {
    let mut bench = with_resolver(
        Settings {
            order: Order::PushThenPull,
            ..settings()
        },
        0,
    );
    let (request, what) = bench.wake(Trigger::User).unwrap();
    assert!(matches!(what, Request::Pull(_)), "nothing to push yet");
    bench.unresolved = with_resolver(settings(), 1).unresolved;
    let next = bench.answer(request, well(&what));
    assert_eq!(kind(&next), "resolve");
    bench.all_well(next);
    assert_eq!(bench.last().accepted, 1);
}

#[test]
fn a_conflict_that_moves_on_is_asked_about_again_but_not_for_ever() {
    let mut bench = with_resolver(settings(), 1);
    bench.moved_on = true;
    bench.write(1);
    let mut asked = bench.wake(Trigger::User);
    let mut times = 0;
    while let Some((request, what)) = asked {
        times += u32::from(matches!(what, Request::Resolve(_)));
        asked = bench.answer(request, well(&what));
    }
    assert_eq!(times, MOST_REBASES);
    assert_eq!(bench.last().accepted, 1, "the others go all the same");
}

#[test]
fn a_pass_that_is_cancelled_does_not_wait_for_a_resolver() {
    let mut bench = with_resolver(settings(), 1);
    let (request, what) = bench.wake(Trigger::User).unwrap();
    let next = bench.answer(request, well(&what));
    assert_eq!(kind(&next), "resolve");
    assert!(bench.feed(Event::Cancel).is_none());
    assert_eq!(bench.last().cancelled, Some(Cancelled::Caller));
    assert_eq!(bench.unresolved.len(), 1, "the next pass asks again");
}

#[test]
fn collections_without_a_resolver_cost_no_step() {
    let mut bench = Bench::new(settings());
    bench.write(1);
    let asked = bench.wake(Trigger::User);
    bench.all_well(asked);
    assert!(!bench.steps.contains(&"unresolved"), "{:?}", bench.steps);
}

#[test]
fn a_push_that_backs_off_is_not_brought_forward_by_a_resolver() {
    let mut bench = with_resolver(
        Settings {
            order: Order::PushThenPull,
            ..settings()
        },
        1,
    );
    bench.drain.push_backoff.until = bench.now.tick_ms + 60_000;
    let (request, what) = bench.wake(Trigger::Foreground).unwrap();
    assert!(matches!(what, Request::Pull(_)));
    assert_eq!(kind(&bench.answer(request, well(&what))), "nothing");
    assert_eq!(bench.last().push, HalfResult::NotRun);
}

/// One entry whose push is on its way, at an app that pulls nothing.
fn pushing(count: i64) -> (Bench, u64, Request) {
    let mut bench = Bench::new(settings());
    bench.write(count);
    bench.pulls = false;
    let (request, what) = bench.wake(Trigger::User).unwrap();
    assert!(matches!(what, Request::Push(_)));
    (bench, request, what)
}

#[test]
fn a_request_of_which_nothing_is_heard_for_a_probe_interval_is_asked_after() {
    let (mut bench, late, what) = pushing(1);
    assert!(bench.after(9_999).is_none());
    let (probe, asked) = bench.after(1).unwrap();
    assert!(matches!(asked, Request::Probe));
    assert!(
        bench.answer(late, well(&what)).is_none(),
        "a late answer is thrown away"
    );
    let (request, again) = bench.answer(probe, well(&asked)).unwrap();
    assert!(
        matches!(&again, Request::Push(batch) if batch.items.len() == 1),
        "it goes again at once"
    );
    assert!(bench.answer(request, well(&again)).is_none());
    assert!(bench.queue.is_empty() && bench.postponed.is_empty(), "at no cost");
}

#[test]
fn silence_whose_probe_is_not_heard_of_either_is_offline_and_asks_on_at_its_interval() {
    let (mut bench, ..) = pushing(1);
    let (_, asked) = bench.after(10_000).unwrap();
    assert!(matches!(asked, Request::Probe));
    assert!(bench.after(10_000).is_none(), "the probe is given up as well");
    assert!(bench.is_offline() && bench.postponed.is_empty());
    let (probe, asked) = bench.after(0).expect("its interval began when it was sent");
    assert!(matches!(asked, Request::Probe));
    let next = bench.answer(probe, well(&asked));
    assert_eq!(bench.all_well(next), [1]);
}

#[test]
fn a_backend_that_is_slow_though_it_is_there_is_asked_again_twice_and_then_waited_for() {
    let (mut bench, ..) = pushing(1);
    for _ in 0..2 {
        let (probe, asked) = bench.after(10_000).unwrap();
        assert!(matches!(asked, Request::Probe));
        assert!(matches!(bench.answer(probe, well(&asked)), Some((_, Request::Push(_)))));
    }
    assert!(bench.after(60_000).is_none(), "now the runner's own deadline decides");
    assert!(bench.drain.is_busy() && bench.postponed.is_empty());
}

#[test]
fn silence_of_a_pull_fetches_a_smaller_page_at_once() {
    let mut bench = Bench::new(settings());
    let (_, what) = bench.wake(Trigger::User).unwrap();
    assert!(matches!(what, Request::Pull(_)));
    let (probe, asked) = bench.after(10_000).unwrap();
    match bench.answer(probe, well(&asked)) {
        Some((_, Request::Pull(pull))) => assert_eq!(pull.limit, 250),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn silence_of_a_push_sends_half_the_batch_at_once() {
    let (mut bench, ..) = pushing(8);
    let (probe, asked) = bench.after(20_000).unwrap();
    match bench.answer(probe, well(&asked)) {
        Some((_, Request::Push(batch))) => assert_eq!(batch.items.len(), 4),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_large_batch_on_a_slow_uplink_is_not_taken_for_silence() {
    let mut bench = Bench::new(settings());
    bench.pulls = false;
    bench.body = "x".repeat(80_000);
    bench.write(1);
    bench.wake(Trigger::User).unwrap();
    assert!(bench.after(19_999).is_none());
    assert!(matches!(bench.after(1), Some((_, Request::Probe))));
}

#[test]
fn the_first_answered_probe_lets_go_what_timed_out_before() {
    let (mut bench, request, what) = pushing(1);
    let (probe, asked) = bench.answer(request, faulty(&what, Fault::Timeout)).unwrap();
    assert!(bench.answer(probe, well(&asked)).is_none());
    assert_eq!(bench.postponed, [1]);
    bench.feed(Event::NetworkLost);
    let (probe, asked) = bench.after(10_000).unwrap();
    assert!(matches!(asked, Request::Probe));
    let next = bench.answer(probe, well(&asked));
    assert!(
        bench.released.contains(&Release::Unanswered(vec![1])),
        "{:?}",
        bench.released
    );
    assert_eq!(bench.all_well(next), [1]);
    bench.feed(Event::NetworkLost);
    bench.released.clear();
    let asked = bench.after(10_000);
    bench.all_well(asked);
    assert!(
        bench.released.iter().all(|release| *release == Release::Exhausted),
        "once"
    );
}
mod bounds;
