//! Whoever waits for a write is told of it, however the others come and go.

use super::hub::{Hub, Subject};
use crate::change::Changes;
use shuttle::{future::block_on, sync::Mutex, thread};
use std::sync::Arc;
use uuid::Uuid;

const OP: Uuid = Uuid::from_u128(1);

/// `Store::outcome`: looks, and waits for news, until it is settled.
fn outcome(hub: &Arc<Hub>, settled: &Arc<Mutex<bool>>) -> thread::JoinHandle<()> {
    let (hub, settled) = (hub.clone(), settled.clone());
    thread::spawn(move || {
        block_on(async move {
            let mut told = hub.outcome(OP);
            loop {
                told.mark_seen();
                if *settled.lock().unwrap() {
                    return;
                }
                told.changed().await.unwrap();
            }
        });
    })
}

/// The writer: commits, then tells.
fn settle(hub: &Arc<Hub>, settled: &Arc<Mutex<bool>>) -> thread::JoinHandle<()> {
    let (hub, settled) = (hub.clone(), settled.clone());
    thread::spawn(move || {
        *settled.lock().unwrap() = true;
        hub.publish(&Changes {
            outcomes: vec![OP],
            queue: true,
            ..Changes::default()
        });
    })
}

fn hub() -> (Arc<Hub>, Arc<Mutex<bool>>) {
    let hub = Hub::new(std::iter::once("workout".to_owned()));
    (Arc::new(hub), Arc::new(Mutex::new(false)))
}

/// Two wait for the same write, and one follows the queue, while it is settled.
pub(crate) fn news_of_a_write() {
    let (hub, settled) = hub();
    let mut queue = hub.subject(Subject::Queue).unwrap();
    let follower = {
        let settled = settled.clone();
        thread::spawn(move || {
            block_on(async move {
                loop {
                    queue.mark_unchanged();
                    if *settled.lock().unwrap() {
                        return;
                    }
                    queue.changed().await.unwrap();
                }
            });
        })
    };
    let each = [
        outcome(&hub, &settled),
        outcome(&hub, &settled),
        settle(&hub, &settled),
        follower,
    ];
    each.into_iter().for_each(|one| one.join().unwrap());
}

/// Dropping a waiter clears up behind the last; another that comes in that moment is told all the same.
pub(crate) fn one_goes_as_another_comes() {
    let (hub, settled) = hub();
    let goes = {
        let hub = hub.clone();
        thread::spawn(move || {
            let mut told = hub.outcome(OP);
            told.mark_seen();
        })
    };
    let each = [goes, outcome(&hub, &settled), settle(&hub, &settled)];
    each.into_iter().for_each(|one| one.join().unwrap());
}
