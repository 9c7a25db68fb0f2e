//! What was accepted is done once, in order; the thread ends when it is told to, and not before.

use super::inbox::{Inbox, Work};
use shuttle::{sync::Mutex, thread};
use std::sync::Arc;

type Done = Arc<Mutex<Vec<u32>>>;

/// The writer's loop: jobs are noted as they are, steps from 100 on.
fn worker(inbox: &Arc<Inbox<u32, u32>>, most: usize) -> (Done, thread::JoinHandle<()>) {
    let done = Done::default();
    let (noted, inbox) = (done.clone(), inbox.clone());
    let thread = thread::spawn(move || {
        while let Some(work) = inbox.take(most) {
            match work {
                Work::Jobs(jobs) => {
                    assert!(!jobs.is_empty() && jobs.len() <= most);
                    noted.lock().unwrap().extend(jobs);
                }
                Work::Step(step) => noted.lock().unwrap().push(100 + step),
            }
        }
    });
    (done, thread)
}

/// Two leave jobs, one leaves steps, one closes in the middle of it.
pub(crate) fn jobs_steps_and_the_end() {
    let inbox = Arc::new(Inbox::default());
    let (done, thread) = worker(&inbox, 2);
    let leave = |numbers: [u32; 2], step: bool| {
        let inbox = inbox.clone();
        thread::spawn(move || {
            let taken = |number: &u32| if step { inbox.step(*number) } else { inbox.job(*number) };
            numbers.into_iter().filter(taken).collect::<Vec<u32>>()
        })
    };
    let left = [leave([0, 1], false), leave([2, 3], false), leave([4, 5], true)];
    let closer = {
        let inbox = inbox.clone();
        thread::spawn(move || inbox.close())
    };
    let mut accepted: Vec<Vec<u32>> = left.into_iter().map(|one| one.join().unwrap()).collect();
    closer.join().unwrap();
    thread.join().unwrap();
    assert!(!inbox.job(9), "closed is closed");
    let done = done.lock().unwrap().clone();
    accepted[2].iter_mut().for_each(|step| *step += 100);
    for one in &accepted {
        let own: Vec<u32> = done.iter().filter(|number| one.contains(number)).copied().collect();
        assert_eq!(own, *one, "each once, in the order in which it was left");
    }
    assert_eq!(done.len(), accepted.iter().map(Vec::len).sum::<usize>(), "nothing else");
}

/// The thread sleeps and is woken by whoever comes; the last waits for all of it.
pub(crate) fn many_share() {
    let inbox = Arc::new(Inbox::default());
    let (done, thread) = worker(&inbox, 512);
    let each = [0, 1, 2].map(|number| {
        let inbox = inbox.clone();
        thread::spawn(move || assert!(inbox.job(number)))
    });
    each.into_iter().for_each(|one| one.join().unwrap());
    inbox.close();
    thread.join().unwrap();
    let mut done = done.lock().unwrap().clone();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2]);
}
