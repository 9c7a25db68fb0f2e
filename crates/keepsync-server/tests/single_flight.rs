//! The devices' own remote and tokens against the real server.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::remote::{
    Fault, PullRequest, Remote as _, RemoteFuture, Token, TokenFault, TokenProvider, Tokens,
    http::{HttpOptions, HttpRemote},
};
use keepsync_server::{Config, Rate, access_token, refresh_token};
use keepsync_wire::{TOKEN_PATH, TokenRequest, TokenResponse};
use reqwest::StatusCode;
use rusqlite::Connection;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use support::{Client, Running, json, now_ms};

/// An app's sign-in: it has an expired access token, and a refresh token to trade.
struct SignIn {
    client: Client,
    expired: Mutex<Option<String>>,
    refresh: Mutex<String>,
    trades: AtomicUsize,
}

impl TokenProvider for SignIn {
    fn token<'a>(
        &'a self,
        _account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move {
            if let Some(expired) = self.expired.lock().unwrap().take() {
                return Ok(Some(Token::new(expired, None)));
            }
            self.trades.fetch_add(1, Ordering::SeqCst);
            let refresh_token = self.refresh.lock().unwrap().clone();
            let response = self.client.post(TOKEN_PATH, &TokenRequest { refresh_token }).await;
            let tokens: TokenResponse = json(response, StatusCode::OK).await;
            *self.refresh.lock().unwrap() = tokens.refresh_token;
            Ok(Some(Token::new(tokens.access_token, Some(tokens.user_id))))
        })
    }
}

fn asks(account: &str) -> PullRequest {
    PullRequest {
        account: account.to_owned(),
        device_id: "phone".to_owned(),
        epoch: None,
        cursors: vec![("note".to_owned(), None)],
        limit: 10,
        ..PullRequest::default()
    }
}

async fn started() -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    let rate = Rate {
        per_second: 100_000,
        burst: 100_000,
    };
    (config.limits.per_user, config.limits.per_address) = (rate, rate);
    let running = Running::start(config).await;
    (folder, running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_with_an_expired_token_make_one_trade() {
    let (folder, running) = started().await;
    let sign_in = Arc::new(SignIn {
        client: Client::new(&running, folder.path(), "ann"),
        expired: Mutex::new(Some(
            access_token(folder.path(), "ann", 60, now_ms() - 120_000).unwrap(),
        )),
        refresh: Mutex::new(refresh_token(folder.path(), "ann", now_ms()).unwrap()),
        trades: AtomicUsize::new(0),
    });
    let tokens = Arc::new(Tokens::new(sign_in.clone(), "ann"));
    let mut options = HttpOptions::new(running.url(""));
    options.connect_ms = 60_000;
    let remote = Arc::new(HttpRemote::new(options).unwrap());
    let expired = tokens.current().await.unwrap().unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    let all: Vec<_> = (0..1_000)
        .map(|_| {
            let (remote, tokens, refused, token) = (remote.clone(), tokens.clone(), refused.clone(), expired.clone());
            tokio::spawn(async move {
                match remote.pull(Some(&token), asks("ann")).await {
                    Err(Fault::SignIn) => refused.fetch_add(1, Ordering::SeqCst),
                    other => panic!("{other:?}"),
                };
                let token = tokens.refresh(&token).await.unwrap().unwrap();
                remote.pull(Some(&token), asks("ann")).await.unwrap();
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(refused.load(Ordering::SeqCst), 1_000);
    assert_eq!(sign_in.trades.load(Ordering::SeqCst), 1);
    running.stop().await;
    // The server's own word: the first token, and the one it was traded for.
    let conn = Connection::open(folder.path().join("server.db")).unwrap();
    let rows: i64 = conn
        .query_row("SELECT count(*) FROM refresh", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn a_token_of_another_account_is_not_used_and_would_apply_nothing() {
    let (folder, running) = started().await;
    let bens = access_token(folder.path(), "ben", 600, now_ms()).unwrap();
    let sign_in = Arc::new(SignIn {
        client: Client::new(&running, folder.path(), "ann"),
        expired: Mutex::new(Some(bens.clone())),
        refresh: Mutex::new(refresh_token(folder.path(), "ben", now_ms()).unwrap()),
        trades: AtomicUsize::new(0),
    });
    let tokens = Tokens::new(sign_in, "ann");
    // Once by what the token itself says, once by what the trade said.
    assert_eq!(tokens.current().await, Err(TokenFault::SignInNeeded));
    assert_eq!(tokens.current().await, Err(TokenFault::SignInNeeded));
    let remote = HttpRemote::new(HttpOptions::new(running.url(""))).unwrap();
    let refused = remote.pull(Some(&Token::new(bens, None)), asks("ann")).await;
    assert_eq!(refused.unwrap_err(), Fault::Unrecognised { status: 403 });
    assert!(remote.probe().await.is_ok());
    running.stop().await;
}
