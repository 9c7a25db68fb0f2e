//! The story: what goes wrong, and when. Pure: the same seed and the same workouts give the same story
//! on every machine.

use keepsync_proxy::rng::Rng;

/// Where in the log something happens: at a workout, before one of its steps. Step 0 is its start,
/// then come its sets, the last is its completion.
pub(super) type At = (usize, usize);

/// How the network is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gone {
    /// The phone knows: airplane mode.
    Airplane,
    /// Connections are refused.
    Refused,
    /// Nothing ever answers.
    Silent,
    /// A hotel's sign-in page answers everything.
    Portal,
}

/// What the next request of the phone meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    LostReply,
    CutAnswer,
    CutRequest,
    HalfOpen,
    BlackHole,
    Slow,
    Unavailable,
    Throttled,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The flight begins. In some, the tablet edits the workout that the phone edits too.
    TakeOff { gone: Gone, edit: Option<usize> },
    /// The flight ends.
    Land,
    /// The phone is killed so many microseconds after it was told to do the step.
    Kill { after_us: u64 },
    /// The phone is killed while its request is on the way.
    KillDrain { committed: bool },
    /// The phone is killed, and its access token has expired when it comes back; then the answer of
    /// the first refresh is lost, or not.
    Expire { lost: bool },
    /// One request is hit.
    Hit(Blow),
    /// The server is killed.
    KillServer { in_request: bool },
    /// The user types something that the server refuses: the name, at step 0, else the weight.
    Mistype,
}

impl Event {
    /// For the progress line.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Self::TakeOff { gone, .. } => match gone {
                Gone::Airplane => "airplane mode",
                Gone::Refused => "no network",
                Gone::Silent => "a network that never answers",
                Gone::Portal => "a captive portal",
            },
            Self::Land => "network back",
            Self::Kill { .. } => "kill -9 of the phone, in a set",
            Self::KillDrain { .. } => "kill -9 of the phone, in a drain",
            Self::Expire { .. } => "the token has expired",
            Self::Hit(blow) => match blow {
                Blow::LostReply => "the reply is lost after the commit",
                Blow::CutAnswer => "the answer is cut off",
                Blow::CutRequest => "the request is cut off",
                Blow::HalfOpen => "the connection is half open",
                Blow::BlackHole => "the request is swallowed",
                Blow::Slow => "a slow network",
                Blow::Unavailable => "503",
                Blow::Throttled => "429",
            },
            Self::KillServer { .. } => "kill -9 of the server",
            Self::Mistype => "the server refuses what was typed",
        }
    }
}

/// How often what happens, for a log as long as the one in `data`: 2,336 steps. Shorter logs have
/// less, but each at least once.
const LENGTH: usize = 2_336;
const KILLS: usize = 24;
const BLOWS: [(Blow, usize); 8] = [
    (Blow::LostReply, 10),
    (Blow::CutAnswer, 5),
    (Blow::CutRequest, 4),
    (Blow::HalfOpen, 2),
    (Blow::BlackHole, 2),
    (Blow::Slow, 3),
    (Blow::Unavailable, 3),
    (Blow::Throttled, 3),
];
const FLIGHTS: [Gone; 5] = [
    Gone::Airplane,
    Gone::Refused,
    Gone::Silent,
    Gone::Portal,
    Gone::Airplane,
];

/// The story for workouts with these numbers of sets, in order.
pub(super) fn script(seed: u64, sets: &[usize]) -> Vec<(At, Event)> {
    let mut rng = Rng::new(seed, 1);
    let mut story = flights(&mut rng, sets.len());
    let gone = |workout: usize| {
        let before = story.iter().rfind(|((at, _), _)| *at <= workout);
        matches!(before, Some((_, Event::TakeOff { .. })))
    };
    let all: Vec<At> = sets
        .iter()
        .enumerate()
        .flat_map(|(workout, &sets)| (0..sets + 2).map(move |step| (workout, step)))
        .collect();
    let share = |count: usize| (count * all.len()).div_ceil(LENGTH);
    // The step before a take-off or after a landing belongs to the flight: one thing at a time.
    let (mut clear, away): (Vec<At>, Vec<At>) = all
        .iter()
        .copied()
        .filter(|&(_, step)| step > 0)
        .partition(|&(workout, _)| !gone(workout));
    rng.shuffle(&mut clear);
    let mut wanted = Vec::new();
    for (blow, count) in BLOWS {
        wanted.extend(std::iter::repeat_n(Event::Hit(blow), share(count)));
    }
    for at in 0..share(8) {
        wanted.push(Event::KillDrain { committed: at % 2 == 0 });
    }
    for at in 0..share(6) {
        wanted.push(Event::KillServer {
            in_request: at % 2 == 0,
        });
    }
    for at in 0..share(4) {
        wanted.push(Event::Expire { lost: at % 2 == 0 });
    }
    wanted.push(Event::Mistype);
    let mut scenes: Vec<(At, Event)> = Vec::new();
    for event in wanted {
        // A completion has nothing that could be mistyped.
        let fits = |&(workout, step): &At| event != Event::Mistype || step <= sets[workout];
        let Some(at) = clear.iter().rposition(fits) else { break };
        scenes.push((clear.remove(at), event));
    }
    // The name of a workout, in clear weather.
    let named: Vec<usize> = (0..sets.len()).filter(|&workout| !gone(workout)).collect();
    let taken = |at: &At| story.iter().any(|(other, _)| other == at);
    let named: Vec<At> = named
        .into_iter()
        .map(|workout| (workout, 0))
        .filter(|at| !taken(at))
        .collect();
    scenes.extend(rng.pick(&named).map(|&at| (at, Event::Mistype)));
    let mut steps: Vec<At> = [clear, away].concat();
    steps.sort_unstable();
    rng.shuffle(&mut steps);
    let kills = steps.into_iter().take(share(KILLS));
    scenes.extend(kills.map(|at| {
        let after_us = rng.below(3_000);
        (at, Event::Kill { after_us })
    }));
    story.extend(scenes);
    story.sort_by_key(|&(at, _)| at);
    story
}

/// Take-offs and landings, each before a workout starts, spread over the log.
fn flights(rng: &mut Rng, workouts: usize) -> Vec<(At, Event)> {
    let mut story = Vec::new();
    let count = FLIGHTS.len().min(workouts / 6);
    for (flight, &gone) in FLIGHTS.iter().enumerate().take(count) {
        let stretch = workouts / count;
        let length = 1 + stretch / 6 + pick(rng, stretch / 6);
        let start = flight * stretch + 2 + pick(rng, stretch - length - 2);
        // Every other flight, a workout of the days before is edited on both devices.
        let edit = (flight % 2 == 1 || count == 1).then(|| start - 1 - pick(rng, start.min(5) - 1));
        story.push(((start, 0), Event::TakeOff { gone, edit }));
        story.push(((start + length, 0), Event::Land));
    }
    story
}

fn pick(rng: &mut Rng, end: usize) -> usize {
    usize::try_from(rng.below(end as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn log() -> Vec<usize> {
        (0..129).map(|n| 4 + n % 19).collect()
    }

    #[test]
    fn a_seed_is_a_story() {
        assert_eq!(script(7, &log()), script(7, &log()));
        assert_ne!(script(7, &log()), script(8, &log()));
    }

    #[test]
    fn every_story_has_everything() {
        for seed in 0..200 {
            let story = script(seed, &log());
            let kinds: BTreeSet<&str> = story.iter().map(|(_, event)| event.told()).collect();
            assert_eq!(kinds.len(), 4 + 1 + 8 + 5, "seed {seed}: {kinds:?}");
            let count = |wanted: fn(&Event) -> bool| story.iter().filter(|(_, event)| wanted(event)).count();
            assert_eq!(count(|event| matches!(event, Event::TakeOff { edit: Some(_), .. })), 2);
            assert_eq!(count(|event| *event == Event::Mistype), 2);
            assert!(count(|event| *event == Event::Expire { lost: true }) > 0);
        }
    }

    #[test]
    fn nothing_that_needs_a_network_happens_in_a_flight_and_steps_exist() {
        for seed in 0..200 {
            for log in [log(), vec![1; 6], vec![3], vec![0, 2, 5, 9, 1, 1, 20, 4, 4, 4, 4, 4, 4]] {
                let mut away = false;
                let mut last = (0, 0);
                for (at, event) in script(seed, &log) {
                    assert!(at >= last && at.1 <= log[at.0] + 1, "seed {seed}: {at:?}");
                    last = at;
                    match event {
                        Event::TakeOff { edit, .. } => {
                            assert!(!away && edit.is_none_or(|edit| edit < at.0), "seed {seed}: {at:?}");
                            away = true;
                        }
                        Event::Land => {
                            assert!(away);
                            away = false;
                        }
                        Event::Kill { .. } => {}
                        _ => assert!(!away, "seed {seed}: {event:?} in a flight"),
                    }
                }
                assert!(!away, "seed {seed}: never lands");
            }
        }
    }
}
