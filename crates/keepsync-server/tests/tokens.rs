//! Tokens: which are good, and how refresh tokens rotate.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keepsync_server::{Config, access_token, refresh_token};
use keepsync_wire::{ErrorBody, PULL_PATH, TOKEN_PATH, TokenRequest, TokenResponse, code};
use reqwest::StatusCode;
use ring::hmac;
use rusqlite::Connection;
use std::{collections::HashSet, fs, path::Path};
use support::{Client, Running, json, now_ms};

fn jwt(header: &str, claims: &str, algorithm: hmac::Algorithm, key: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test]
async fn only_a_signed_token_with_a_user_and_an_end_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Config::new(folder.path())).await;
    let key = fs::read(folder.path().join("signing-key")).unwrap();
    let hs256 = r#"{"alg":"HS256","typ":"JWT"}"#;
    let end = now_ms() / 1_000 + 600;
    let good = format!(r#"{{"sub":"ann","exp":{end}}}"#);
    let sign = |header, claims: &str| jwt(header, claims, hmac::HMAC_SHA256, &key);
    let mut client = Client::new(&running, folder.path(), "ann");
    let asks = client.asks(None, None, 10);
    for token in [
        sign(hs256, &good),
        access_token(folder.path(), "ann", 600, now_ms()).unwrap(),
    ] {
        client.token = token;
        assert_eq!(client.post(PULL_PATH, &asks).await.status(), StatusCode::OK);
    }
    let unsigned = sign(r#"{"alg":"none"}"#, &good);
    let unsigned = unsigned.rsplit_once('.').unwrap().0;
    let refused = [
        ("none", format!("{unsigned}.")),
        ("none, signed", sign(r#"{"alg":"none"}"#, &good)),
        (
            "hs256, no signature",
            format!("{}.", sign(hs256, &good).rsplit_once('.').unwrap().0),
        ),
        ("hs512", jwt(r#"{"alg":"HS512"}"#, &good, hmac::HMAC_SHA512, &key)),
        ("says hs512", sign(r#"{"alg":"HS512"}"#, &good)),
        ("rs256", sign(r#"{"alg":"RS256"}"#, &good)),
        ("unknown algorithm", sign(r#"{"alg":"HS257"}"#, &good)),
        ("no exp", sign(hs256, r#"{"sub":"ann"}"#)),
        ("exp is text", sign(hs256, &format!(r#"{{"sub":"ann","exp":"{end}"}}"#))),
        ("no sub", sign(hs256, &format!(r#"{{"exp":{end}}}"#))),
        ("empty sub", sign(hs256, &format!(r#"{{"sub":"","exp":{end}}}"#))),
        ("sub is a number", sign(hs256, &format!(r#"{{"sub":7,"exp":{end}}}"#))),
        (
            "control character",
            sign(hs256, &format!(r#"{{"sub":"ann\u0000","exp":{end}}}"#)),
        ),
        (
            "expired",
            sign(hs256, &format!(r#"{{"sub":"ann","exp":{}}}"#, end - 606)),
        ),
        (
            "expired, ours",
            access_token(folder.path(), "ann", 600, now_ms() - 606_000).unwrap(),
        ),
        ("wrong key", jwt(hs256, &good, hmac::HMAC_SHA256, &[7; 32])),
        ("empty key", jwt(hs256, &good, hmac::HMAC_SHA256, &[])),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        ("empty", String::new()),
    ];
    for (name, token) in refused {
        client.token = token;
        let response = client.post(PULL_PATH, &asks).await;
        assert_eq!(response.headers().get("www-authenticate").unwrap(), "Bearer", "{name}");
        let body: ErrorBody = json(response, StatusCode::UNAUTHORIZED).await;
        assert_eq!(body.code, code::TOKEN_INVALID, "{name}");
    }
    let none = client
        .http
        .post(running.url(PULL_PATH))
        .json_body(&asks)
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), StatusCode::UNAUTHORIZED, "no header");
    running.stop().await;
}

trait JsonBody {
    fn json_body(self, body: &impl serde::Serialize) -> Self;
}

impl JsonBody for reqwest::RequestBuilder {
    fn json_body(self, body: &impl serde::Serialize) -> Self {
        self.body(serde_json::to_vec(body).unwrap())
    }
}

struct Trader {
    running: Running,
    client: Client,
    folder: tempfile::TempDir,
}

impl Trader {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(Config::new(folder.path())).await;
        let client = Client::new(&running, folder.path(), "ann");
        Self {
            running,
            client,
            folder,
        }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    fn first(&self) -> String {
        refresh_token(self.data(), "ann", now_ms()).unwrap()
    }

    /// The next token, or none with a 401.
    async fn trade(&self, token: &str) -> Option<TokenResponse> {
        let request = TokenRequest {
            refresh_token: token.to_owned(),
        };
        let response = self.client.post(TOKEN_PATH, &request).await;
        if response.status() == StatusCode::OK {
            return Some(json(response, StatusCode::OK).await);
        }
        assert_eq!(response.headers().get("www-authenticate").unwrap(), "Bearer");
        let body: ErrorBody = json(response, StatusCode::UNAUTHORIZED).await;
        assert_eq!(body.code, code::TOKEN_INVALID);
        None
    }

    async fn next(&self, token: &str) -> String {
        self.trade(token).await.unwrap().refresh_token
    }
}

#[tokio::test]
async fn a_refresh_token_brings_tokens_of_its_user_that_work() {
    let trader = Trader::begin().await;
    let tokens = trader.trade(&trader.first()).await.unwrap();
    assert_eq!((tokens.user_id.as_str(), tokens.expires_in), ("ann", 900));
    let mut client = trader.client.clone();
    client.token = tokens.access_token;
    let asks = client.asks(None, None, 10);
    assert_eq!(client.post(PULL_PATH, &asks).await.status(), StatusCode::OK);
    assert!(trader.trade("garbage").await.is_none());
    assert!(trader.trade("").await.is_none());
    trader.running.stop().await;
}

#[tokio::test]
async fn a_token_whose_answer_was_lost_is_traded_again_and_the_lost_one_is_void() {
    let trader = Trader::begin().await;
    let first = trader.first();
    let lost = trader.next(&first).await;
    let lost_too = trader.next(&first).await;
    let second = trader.next(&first).await;
    for void in [&lost, &lost_too] {
        assert!(trader.trade(void).await.is_none());
    }
    let third = trader.next(&second).await;
    // Its answer is lost too; the chain still holds.
    let third_again = trader.next(&second).await;
    assert!(trader.trade(&third).await.is_none());
    trader.next(&third_again).await;
    trader.running.stop().await;
}

#[tokio::test]
async fn a_spent_token_that_comes_again_revokes_its_family_and_no_other() {
    let trader = Trader::begin().await;
    let (first, other) = (trader.first(), trader.first());
    let second = trader.next(&first).await;
    let third = trader.next(&second).await;
    assert!(trader.trade(&first).await.is_none(), "its successor was used");
    for revoked in [&second, &third, &first] {
        assert!(trader.trade(revoked).await.is_none());
    }
    trader.next(&other).await;
    trader.running.stop().await;
}

#[tokio::test]
async fn a_refresh_token_lives_for_sixty_days() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let trader = Trader::begin().await;
    let old = refresh_token(trader.data(), "ann", now_ms() - 60 * DAY_MS).unwrap();
    let young = refresh_token(trader.data(), "ann", now_ms() - 59 * DAY_MS).unwrap();
    assert!(trader.trade(&old).await.is_none());
    let next = trader.next(&young).await;
    let conn = Connection::open(trader.data().join("server.db")).unwrap();
    let latest: i64 = conn
        .query_row("SELECT max(expires_at) FROM refresh", [], |row| row.get(0))
        .unwrap();
    assert!(latest > now_ms() + 59 * DAY_MS, "the next one has its own sixty days");
    trader.next(&next).await;
    trader.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_trades_at_once_one_successor_is_left() {
    let trader = Trader::begin().await;
    for _ in 0..20 {
        let first = trader.first();
        let (one, two) = tokio::join!(trader.next(&first), trader.next(&first));
        let mut live = 0;
        for token in [&one, &two] {
            live += u32::from(trader.trade(token).await.is_some());
        }
        assert_eq!(live, 1);
    }
    trader.running.stop().await;
}

#[tokio::test]
async fn no_refresh_token_is_in_the_file() {
    let trader = Trader::begin().await;
    let first = trader.first();
    let second = trader.next(&first).await;
    let data = trader.data().to_owned();
    trader.running.stop().await;
    let bytes = fs::read(data.join("server.db")).unwrap();
    for token in [&first, &second] {
        let raw = URL_SAFE_NO_PAD.decode(token).unwrap();
        assert_eq!(raw.len(), 32);
        for secret in [token.as_bytes(), &raw] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[test]
fn a_key_that_many_make_at_once_is_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("deep/data");
    let now = now_ms();
    let make = || access_token(&data, "ann", 600, now).unwrap();
    let tokens: HashSet<String> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..16).map(|_| scope.spawn(make)).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    assert_eq!(tokens.len(), 1);
    let names: Vec<_> = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["signing-key"], "and nothing is left lying about");
}

#[test]
fn a_user_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    for user in ["", "a\nb", &"x".repeat(257)] {
        assert_eq!(access_token(folder.path(), user, 1, 0).unwrap_err().code(), "user");
        assert_eq!(refresh_token(folder.path(), user, 0).unwrap_err().code(), "user");
    }
    fs::write(folder.path().join("signing-key"), "short").unwrap();
    assert_eq!(
        access_token(folder.path(), "ann", 1, 0).unwrap_err().code(),
        "signing_key"
    );
}
