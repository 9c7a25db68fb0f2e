//! Every target over its corpus and over seeded mutations of it. A failure names the target, and writes
//! the input that failed to a file: put it into the corpus when it is repaired.
//!
//! `KEEPSYNC_FUZZ_SEED=7` begins with another seed, `KEEPSYNC_FUZZ_TIMES=100` makes so many times more of
//! them, `KEEPSYNC_FUZZ_TARGET=jwt` runs that target alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

use keepsync_fuzz::{
    Target, all,
    mutate::{Dice, mutate, words},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

/// Phones give threads little more; nothing that comes from outside may need much.
const STACK: usize = 1024 * 1024;
/// For one input. Only a fault makes it as long as this.
const PATIENCE: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn corpus(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} has no corpus", target.name));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(file).unwrap()))
        .collect()
}

/// Runs inputs on a small stack, one after another, and tells each that begins.
fn run_all(target: Target, begun: &mpsc::Sender<Vec<u8>>) -> usize {
    let corpus = corpus(target);
    assert!(corpus.len() >= 3, "{}: a corpus of {}", target.name, corpus.len());
    let mut count = 0;
    let mut run = |input: Vec<u8>| {
        begun.send(input.clone()).unwrap();
        count += 1;
        (target.run)(&input);
    };
    run(Vec::new());
    for (_, input) in &corpus {
        run(input.clone());
    }
    let words = words();
    let seed = number("KEEPSYNC_FUZZ_SEED").unwrap_or(1);
    let times = number("KEEPSYNC_FUZZ_TIMES").unwrap_or(1);
    let mut dice = Dice::new(seed);
    for _ in 0..u64::from(target.mutations) * times {
        let from = &corpus[dice.roll(corpus.len())].1;
        let other = &corpus[dice.roll(corpus.len())].1;
        run(mutate(&mut dice, &words, from, other));
    }
    count
}

fn failed(target: Target, input: &[u8]) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failed-{}", target.name));
    std::fs::write(&file, input).unwrap();
    file
}

fn hold(name: &str) {
    if std::env::var("KEEPSYNC_FUZZ_TARGET").is_ok_and(|only| only != name) {
        return;
    }
    let target = keepsync_fuzz::named(name).unwrap();
    let (begun, begins) = mpsc::channel();
    let worker = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || catch_unwind(AssertUnwindSafe(|| run_all(target, &begun))));
    let worker = worker.unwrap();
    let mut last = Vec::new();
    loop {
        match begins.recv_timeout(PATIENCE) {
            Ok(input) => last = input,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name} hangs on {}", failed(target, &last).display()),
        }
    }
    match worker.join().unwrap() {
        Ok(count) => println!("{name}: {count} inputs"),
        Err(panic) => {
            println!(
                "{name} fails on {}:\n{}",
                failed(target, &last).display(),
                String::from_utf8_lossy(&last)
            );
            resume_unwind(panic);
        }
    }
}

macro_rules! held {
    ($($target:ident: $rule:ident),* $(,)?) => {
        $(#[test]
        fn $rule() {
            hold(stringify!($target));
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($target)),*];
            let names: Vec<&str> = all().iter().map(|target| target.name).collect();
            assert_eq!(names, run);
        }
    };
}

held! {
    answers: an_answer_settles_only_what_it_names,
    rest: a_plain_answer_settles_only_in_the_declared_form,
    sessions: whatever_is_answered_nothing_unsent_is_lost_and_the_file_is_sound,
    cursors: a_position_comes_back_as_it_was_given,
    templates: an_address_stays_below_the_base_for_every_id,
    retry_after: a_wait_is_bounded_and_what_the_header_says,
    jwt: a_token_is_taken_only_by_whom_it_was_signed_for,
    requests: the_server_answers_or_hangs_up_and_never_fails,
    bodies: a_body_that_is_taken_can_be_patched,
    plans: what_clocks_settle_is_the_same_from_both_sides,
    carried: what_is_brought_in_is_what_the_text_says,
    strong: every_row_of_a_log_is_a_set,
    file: any_bytes_can_be_opened_and_are_kept,
    damage: a_damaged_file_is_kept_and_the_app_goes_on,
}
