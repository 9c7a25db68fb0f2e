//! A device and its server, killed while the one writes and drains.
//!
//! 1. The device writes: sessions with sets, and a profile edited again and again. Before each write it says
//!    what it tries, and after it returned, that it did. The drain runs all the while, through a proxy that
//!    is slow, so that there is time to die in, and that loses answers.
//! 2. The device, the server or both are killed a few milliseconds later, and started again: the device on
//!    its file, the server on its data and another port. Now and then the device dies while it opens; its
//!    log is small, so that it also dies in checkpoints.
//! 3. In the end a device only drains, and says what it shows.

use super::{
    USER,
    play::{DEVICE, drain_to_the_end, open, say, var, write},
    process::{Playing, Server, log},
};
use keepsync::{Store, settings::Order};
use keepsync_oracle::Fact;
use keepsync_proxy::{Fault, Proxy, rng::Rng};
use std::{path::Path, time::Duration};

/// Unsent writes with which the user pauses.
const BACKLOG: u64 = 12;

/// Between a commit on the server and its answer, and before a request goes up.
const PAUSE: Fault = Fault::Slow {
    bytes: 1 << 20,
    tick: Duration::from_millis(5),
};

/// The longest time between two kills.
const LIFE: Duration = Duration::from_millis(150);

/// What a scene came to.
pub(crate) struct Scene {
    pub(crate) facts: Vec<Fact>,
    pub(crate) device_kills: u64,
    pub(crate) server_kills: u64,
    pub(crate) faults: u64,
}

/// `kills` rounds in a folder of its own.
pub(crate) fn scene(folder: &Path, kills: u64, seed: u64) -> Scene {
    let mut random = Rng::new(seed, 0);
    let runtime = super::runtime();
    let mut server = Server::start(folder);
    let proxy = runtime.block_on(Proxy::start(server.addr)).unwrap();
    proxy.always(Some(PAUSE));
    let (file, url) = (folder.join("device.keepsync"), proxy.url());
    let token = super::token(&folder.join("server"));
    let start = |round: &str| {
        let with = [
            ("KEEPSYNC_KILL_FILE", file.as_os_str()),
            ("KEEPSYNC_KILL_URL", url.as_ref()),
            ("KEEPSYNC_KILL_TOKEN", token.as_ref()),
            ("KEEPSYNC_KILL_ROUND", round.as_ref()),
        ];
        Playing::start("device::child", &with, log(folder, "device.log"))
    };
    let mut scene = Scene {
        facts: super::collection_facts(),
        device_kills: 0,
        server_kills: 0,
        faults: 0,
    };
    let mut device = start("0");
    for round in 1..=kills {
        // Now and then it dies while it opens.
        if random.below(8) > 0 {
            device.until_ready(&mut scene.facts);
        }
        let bytes = usize::try_from(random.below(600)).unwrap();
        let fault = match random.below(9) {
            0 => Some(Fault::LostReply),
            1 => Some(Fault::CutAnswer(bytes)),
            2 => Some(Fault::ResetAnswer(bytes)),
            3 => Some(Fault::CutUpload(bytes)),
            4 => Some(Fault::CutRequest),
            _ => None,
        };
        if let Some(fault) = fault {
            proxy.next(keepsync_wire::SYNC_PATH, fault);
        }
        let life = u64::try_from(LIFE.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(random.below(life)));
        let (kill_device, kill_server) =
            [(true, false), (true, false), (false, true), (true, true)][usize::try_from(random.below(4)).unwrap()];
        if kill_server {
            server.kill();
            scene.server_kills += 1;
        }
        if kill_device {
            device.kill(&mut scene.facts);
            scene.device_kills += 1;
            device = start(&round.to_string());
        }
        if kill_server {
            server = Server::start(folder);
            proxy.upstream(server.addr);
        }
    }
    device.kill(&mut scene.facts);
    proxy.always(None);
    proxy.forget();
    let said = start("last").end(&mut scene.facts);
    assert!(said.iter().any(|word| word == "drained"), "seed {seed}: {said:?}");
    scene.faults = proxy
        .counts()
        .faults
        .iter()
        .filter(|(name, _)| **name != PAUSE.name())
        .map(|(_, met)| met)
        .sum();
    server.kill();
    scene.facts.extend(super::held_by_server(folder));
    scene.facts.push(Fact::Quiet);
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a child by device_and_server_killed_at_random_moments_lose_double_and_stall_nothing"]
async fn child() {
    let round = var("KEEPSYNC_KILL_ROUND");
    // After a kill a pull would show what arrived; without one only the operation ids can.
    let odd = round.parse().is_ok_and(|round: u64| round % 2 == 1);
    let store = open(if odd { Order::PushThenPull } else { Order::PullThenPush }).await;
    if round == "last" {
        return drain_to_the_end(&store).await;
    }
    say("ready");
    for n in 0u64.. {
        // Faster than the server takes it, the queue would only grow, and kills would meet the same
        // few entries at its head.
        while store.queue_counts().await.unwrap().total() > BACKLOG {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        session(&store, &round, n).await;
    }
}

/// One session with three sets; in between, a profile that two sessions share is edited, so that its
/// last edits fall while earlier ones are on the way.
async fn session(store: &Store, round: &str, n: u64) {
    let who = (USER, DEVICE);
    let workout = &format!("w{round}-{n}");
    let profile = &format!("p{round}-{}", n / 2);
    write(who, ("workout", workout, 0), async |body| {
        store.start_session("workout", "set_log", workout, &body).await
    })
    .await;
    for set in 0..3 {
        let slot = &set.to_string();
        let id = keepsync::session::set_id(workout, slot);
        write(who, ("set_log", &id, set), async |body| {
            store.log_set("workout", workout, slot, &body).await
        })
        .await;
        write(who, ("profile", profile, n % 2 * 3 + set), async |body| {
            store.put("profile", profile, &body).await
        })
        .await;
    }
    write(who, ("workout", workout, 1), async |body| {
        store.complete_session("workout", workout, &body).await
    })
    .await;
}
