//! The disaster of a 403 whose body says that the token is no longer valid: nothing is dropped, and all
//! goes on after the sign-in.

#![cfg(all(feature = "http", feature = "runtime"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;
#[path = "support/scripted.rs"]
mod scripted;

use keepsync::{
    Backend, Store,
    drain::Status,
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
};
use keepsync_wire::{ErrorBody, SyncRequest, code};
use local::options;
use scripted::{Reply, Scripted, answer_to};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use uuid::Uuid;

/// Gives what it has; a refused one is not replaced by itself.
#[derive(Clone)]
struct SignIn(Arc<Mutex<String>>);

impl TokenProvider for SignIn {
    fn token<'a>(
        &'a self,
        _account: &'a str,
        rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = Token::new(self.0.lock().unwrap().clone(), None);
        let same = rejected == Some(&token);
        Box::pin(async move {
            if same {
                Err(TokenFault::SignInNeeded)
            } else {
                Ok(Some(token))
            }
        })
    }
}

const OLD: &str = "old-token";
const NEW: &str = "new-token";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_403_that_means_the_token_drops_nothing_and_all_goes_on_after_the_sign_in() {
    let refusal = serde_json::to_string(&ErrorBody {
        code: code::TOKEN_INVALID.to_owned(),
        message: "the token is no longer valid".to_owned(),
    })
    .unwrap();
    let server = Scripted::start(move |request| {
        let bearer = request.header("authorization").unwrap_or_default();
        // The probe needs no token.
        if request.method == "GET" || bearer.contains(NEW) {
            Reply::ours(200, answer_to(request, 200))
        } else {
            Reply::ours(403, refusal.clone())
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let sign_in = SignIn(Arc::new(Mutex::new(OLD.to_owned())));
    let backend = Backend {
        remote: Arc::new(HttpRemote::new(HttpOptions::new(server.url())).unwrap()),
        tokens: Some(Arc::new(sign_in.clone())),
    };
    let mut options = options(folder.path());
    options.settings.automatic = false;
    let store = Store::open(options, Some(backend)).await.unwrap();
    let mut ops = BTreeSet::new();
    for w in 0..30 {
        let workout = format!("w{w}");
        ops.extend(store.put("workout", &workout, "{}").await.unwrap().op);
        let set = format!(r#"{{"workout_id":"{workout}"}}"#);
        ops.extend(store.put("set_log", &format!("s{w}"), &set).await.unwrap().op);
    }
    for _ in 0..5 {
        let report = store.sync().await.unwrap();
        assert!(report.push.failed() && report.pull.failed(), "{report:?}");
        assert_eq!((report.parked, report.accepted), (0, 0));
        assert_eq!(store.status().await.unwrap(), Status::NeedsSignIn);
    }
    let entries = store.entries(i64::MIN, 1_000).await.unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.op).collect::<BTreeSet<Uuid>>(),
        ops,
        "all of them, as they were"
    );
    for entry in &entries {
        assert_eq!((entry.attempts, entry.why.code()), (0, "needs_sign_in"));
    }

    *sign_in.0.lock().unwrap() = NEW.to_owned();
    store.signed_in();
    let report = store.sync().await.unwrap();
    assert_eq!((report.accepted, report.parked), (60, 0), "{report:?}");
    assert_eq!(store.queue_counts().await.unwrap().total(), 0);
    let taken: Vec<Uuid> = server
        .requests()
        .iter()
        .filter(|request| request.is_push() && request.header("authorization").unwrap().contains(NEW))
        .flat_map(|request| serde_json::from_slice::<SyncRequest>(&request.body).unwrap().items)
        .map(|item| item.op_id)
        .collect();
    assert_eq!(taken.len(), 60, "each once");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), ops);
    store.close().await.unwrap();
}
