//! Accounts, killed while they are opened for the first time (and their file is made), imported into, signed
//! out and wiped. No server: what is unsent shows what is there.
//!
//! After each kill all is looked at: what returned is there; an import that was stopped goes on; an account
//! whose wiping was begun is there as it was, or gone with all its files.

use super::{
    play::{DEVICE, collections, name, say, shown, tell, var, write},
    process::{Playing, log},
};
use keepsync::{
    OpenOptions,
    accounts::Accounts,
    carry::{Import, Imported},
    settings::Settings,
};
use keepsync_oracle::{Fact, Key};
use keepsync_proxy::rng::Rng;
use serde_json::json;
use std::{collections::BTreeSet, path::Path, time::Duration};

/// More than go into one commit.
const IMPORTED: u64 = 320;

/// Kills before a new folder.
const PER_FOLDER: u64 = 8;

/// What came of it.
pub(crate) struct Ends {
    pub(crate) facts: Vec<Fact>,
    pub(crate) wiped: usize,
    pub(crate) kills_while: Vec<String>,
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        settings: Settings {
            wal_bytes: 128 * 1024,
            ..Settings::default()
        },
        ..OpenOptions::new(folder, "", collections())
    }
}

fn accounts(folder: &Path) -> Accounts {
    Accounts::new(options(folder), |_| None).unwrap()
}

pub(crate) fn ends(folder: &Path, kills: u64, seed: u64) -> Ends {
    let mut random = Rng::new(seed, 1);
    let runtime = super::runtime();
    let mut facts = super::collection_facts();
    let (mut wiped, mut kills_while): (BTreeSet<String>, _) = (BTreeSet::new(), Vec::new());
    for round in 0..kills {
        // Not too many accounts: each is opened after each kill.
        let data = folder.join(format!("accounts{}", round / PER_FOLDER));
        std::fs::create_dir_all(&data).unwrap();
        let is_last = (round + 1) % PER_FOLDER == 0 || round + 1 == kills;
        let round = round.to_string();
        let with = [
            ("KEEPSYNC_KILL_FOLDER", data.as_os_str()),
            ("KEEPSYNC_KILL_ROUND", round.as_ref()),
        ];
        let mut child = Playing::start("ends::child", &with, log(folder, "ends.log"));
        child.until_ready(&mut facts);
        std::thread::sleep(Duration::from_micros(random.below(300_000)));
        let (words, _) = child.kill(&mut facts);
        let last = words.iter().rev().find_map(|word| word.split_once(' '));
        let began = last.map(|(what, account)| (what.to_owned(), account.to_owned()));
        if let Some((what, account)) = &began {
            kills_while.push(what.clone());
            // Begun and not told of as done: there, or gone.
            if what == "wiping" && !is_wiped(&facts, account) && !runtime.block_on(is_there(&data, account)) {
                facts.push(Fact::Wiped {
                    user: account.clone(),
                    device: DEVICE.to_owned(),
                });
            }
        }
        for fact in &facts {
            if let Fact::Wiped { user, .. } = fact {
                wiped.insert(user.clone());
            }
        }
        runtime.block_on(look(&data, &wiped));
        if is_last {
            facts.extend(runtime.block_on(all_shown(&data)));
            std::fs::remove_dir_all(&data).unwrap();
        }
    }
    Ends {
        facts,
        wiped: wiped.len(),
        kills_while,
    }
}

fn is_wiped(facts: &[Fact], account: &str) -> bool {
    facts
        .iter()
        .any(|fact| matches!(fact, Fact::Wiped { user, .. } if user == account))
}

async fn is_there(folder: &Path, account: &str) -> bool {
    let known = accounts(folder).list().await.unwrap();
    known.iter().any(|known| known.account.as_deref() == Some(account))
}

/// Every account can be opened, none that was wiped is there, and no file is nobody's.
async fn look(folder: &Path, wiped: &BTreeSet<String>) {
    let accounts = accounts(folder);
    let mut stems = BTreeSet::from(["device-id".to_owned()]);
    for known in accounts.list().await.unwrap() {
        // A file without an account is one whose making was stopped.
        let Some(account) = &known.account else { continue };
        assert!(!wiped.contains(account), "{account} was wiped, and is there");
        assert_eq!(known.problem, None);
        accounts.open(account).await.unwrap().close().await.unwrap();
    }
    for known in accounts.list().await.unwrap() {
        let stem = known.file.file_name().unwrap().to_string_lossy().into_owned();
        stems.insert(stem);
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            stems.iter().any(|stem| file.starts_with(stem.as_str())),
            "{file} is nobody's"
        );
    }
}

async fn all_shown(folder: &Path) -> Vec<Fact> {
    let accounts = accounts(folder);
    let mut facts = Vec::new();
    for known in accounts.list().await.unwrap() {
        let Some(account) = &known.account else { continue };
        let store = accounts.open(account).await.unwrap();
        facts.extend(shown(&store, &super::play::COLLECTIONS).await);
        store.close().await.unwrap();
    }
    facts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a child by accounts_killed_while_they_are_made_filled_and_wiped_lose_nothing_else"]
async fn child() {
    let (folder, round) = (var("KEEPSYNC_KILL_FOLDER"), var("KEEPSYNC_KILL_ROUND"));
    let accounts = accounts(Path::new(&folder));
    say("ready");
    let mut before: Option<String> = None;
    for k in 0u64.. {
        let account = format!("user{round}-{k}");
        say(&format!("opening {account}"));
        let store = accounts.switch(&account).await.unwrap();
        say(&format!("writing {account}"));
        for n in 0..5 {
            let id = &format!("mine{n}");
            let name_of = (account.as_str(), DEVICE);
            write(name_of, ("profile", &format!("{id}@{account}"), n), async |body| {
                store.put("profile", &format!("{id}@{account}"), &body).await
            })
            .await;
        }
        say(&format!("importing {account}"));
        import(&store, &account).await;
        say(&format!("signing_out {account}"));
        assert!(accounts.sign_out(&account).await.unwrap() >= 5);
        if let Some(before) = before.replace(account) {
            let losses = accounts.losses(&before).await.unwrap();
            say(&format!("wiping {before}"));
            accounts.wipe(&before, &losses).await.unwrap();
            tell(Fact::Wiped {
                user: before,
                device: DEVICE.to_owned(),
            });
        }
    }
}

async fn import(store: &keepsync::Store, account: &str) {
    let id = |n: u64| format!("in{n}@{account}");
    let mut text =
        json!({"keepsync_export": 1, "exported_at": "2025-11-20T00:53:20.000Z", "records": IMPORTED, "sessions": 0})
            .to_string();
    for n in 0..IMPORTED {
        let line =
            json!({"collection": "profile", "id": id(n), "state": "synced", "body": {"m": name("profile", &id(n), n)}});
        text.push_str(&format!("\n{}", json!({ "record": line })));
        tell(Fact::Tried {
            write: name("profile", &id(n), n),
            user: account.to_owned(),
            device: DEVICE.to_owned(),
            key: Key::new("profile", id(n)),
            deletes: false,
            saw: Vec::new(),
        });
    }
    text.push('\n');
    let import = std::sync::Arc::new(Import::parse(text.as_bytes(), &collections(), &Settings::default()).unwrap());
    let (mut so_far, mut told) = (Imported::default(), 0);
    while !import.is_done(so_far) {
        let bring = std::sync::Arc::clone(&import);
        so_far = store.write(move |write| bring.bring(write, so_far)).await.unwrap();
        for n in told..so_far.written {
            tell(Fact::Returned {
                write: name("profile", &id(n), n),
                op: None,
            });
        }
        told = so_far.written;
    }
    assert_eq!(store.get("profile", &id(0)).await.unwrap().is_some(), IMPORTED > 0);
}
