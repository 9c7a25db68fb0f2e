//! One account's token: asked for once, however many requests want it.
//!
//! The app owns the sign-in and hands out tokens through a [`TokenProvider`]. [`Tokens`] stands
//! between it and the requests, and keeps four rules:
//!
//! 1. **One call at a time.** While a call to the provider is under way, everybody who wants a token
//!    waits for that call and takes its result, a fault included.
//! 2. **A call once begun is finished.** Whoever waits drives it; when a waiter is cancelled the
//!    next one drives it on from where it stood. A provider that trades a refresh token for a new
//!    one is so never cut off between the two.
//! 3. **Mine only.** A token of another account is not returned, whether the provider says so
//!    ([`Token::subject`]) or the token itself does (the `sub` of a JWT).
//! 4. **A refused token does not come back.** The provider is told which one was refused until it
//!    gives another.
//!
//! Nothing here has a clock: the caller bounds how long it waits.

use super::{RemoteFuture, Token, TokenFault, TokenProvider};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use std::{
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
};

type Answer = Result<Option<Token>, TokenFault>;

/// The tokens of one account, between the app's [`TokenProvider`] and the requests: one call to the
/// provider at a time whoever asks, a call once begun is finished though its waiters are cancelled,
/// and another account's token or the one just refused is never returned.
///
/// It has no clock; the caller bounds how long it waits for a provider.
pub struct Tokens {
    provider: Arc<dyn TokenProvider>,
    account: String,
    /// Held for moments only, never while the provider works.
    known: Mutex<Known>,
    /// The call under way. Whoever holds this lock drives it; it stays when they go.
    call: tokio::sync::Mutex<Option<RemoteFuture<'static, Answer>>>,
}

#[derive(Default)]
struct Known {
    /// The token in use.
    token: Option<Token>,
    /// The last one the backend refused, until another is in use.
    refused: Option<Token>,
    /// How many calls have ended, and how the last one did.
    ended: u64,
    last: Option<Answer>,
}

impl Tokens {
    /// The tokens `provider` gives for `account`. Asks for none yet.
    pub fn new(provider: Arc<dyn TokenProvider>, account: impl Into<String>) -> Self {
        Self {
            provider,
            account: account.into(),
            known: Mutex::default(),
            call: tokio::sync::Mutex::new(None),
        }
    }

    /// The token to send with the next request; `None` when the backend needs none, which is asked
    /// anew each time.
    ///
    /// # Errors
    ///
    /// [`TokenFault::SignInNeeded`] also when the provider gives another account's token, or the
    /// one that was refused; [`TokenFault::Offline`] also when the provider panics.
    pub async fn current(&self) -> Result<Option<Token>, TokenFault> {
        self.obtain().await
    }

    /// Another token than `rejected`, which the backend has just refused. If another is in use
    /// already, that one, without a call.
    ///
    /// # Errors
    ///
    /// As [`Tokens::current`]; and [`TokenFault::SignInNeeded`] when the provider now says that no
    /// token is needed, since the backend said otherwise.
    pub async fn refresh(&self, rejected: &Token) -> Result<Option<Token>, TokenFault> {
        {
            let mut known = self.known();
            match &known.token {
                Some(token) if token == rejected => known.refused = known.token.take(),
                // A later token is in use, or was refused in its turn.
                Some(_) => {}
                None if known.refused.is_some() => {}
                None => known.refused = Some(rejected.clone()),
            }
        }
        self.obtain().await
    }

    /// Forgets the token in use and the one that was refused: after the user has signed in again.
    pub fn forget(&self) {
        let mut known = self.known();
        known.token = None;
        known.refused = None;
    }

    async fn obtain(&self) -> Answer {
        let seen = {
            let known = self.known();
            if known.token.is_some() {
                return Ok(known.token.clone());
            }
            known.ended
        };
        let mut call = self.call.lock().await;
        if call.is_none() {
            let known = self.known();
            if known.token.is_some() {
                return Ok(known.token.clone());
            }
            // A call that ended while this one waited for it. A token it brought would be in use
            // now, unless it has been refused since; then it is asked again.
            if let Some(last @ (Err(_) | Ok(None))) = &known.last
                && known.ended != seen
            {
                return last.clone();
            }
        }
        let call_under_way = call.get_or_insert_with(|| self.begin());
        let answer = poll_fn(|context| {
            // A panic ends the call like any other fault of the token service: the account waits
            // and asks again. The process's panic hook has already reported it.
            catch_unwind(AssertUnwindSafe(|| call_under_way.as_mut().poll(context)))
                .unwrap_or(Poll::Ready(Err(TokenFault::Offline)))
        })
        .await;
        *call = None;
        self.end(answer)
    }

    /// A call that owns what it needs, so that it outlives the waiter who began it.
    fn begin(&self) -> RemoteFuture<'static, Answer> {
        let provider = Arc::clone(&self.provider);
        let account = self.account.clone();
        let refused = self.known().refused.clone();
        Box::pin(async move { provider.token(&account, refused.as_ref()).await })
    }

    /// What the provider's answer comes to.
    fn end(&self, answer: Answer) -> Answer {
        let mut known = self.known();
        let answer = match answer {
            Ok(Some(token)) if !is_for(&token, &self.account) => Err(TokenFault::SignInNeeded),
            Ok(token) if known.refused.is_some() && (token.is_none() || token == known.refused) => {
                Err(TokenFault::SignInNeeded)
            }
            other => other,
        };
        if let Ok(Some(token)) = &answer {
            known.token = Some(token.clone());
            known.refused = None;
        }
        known.ended = known.ended.wrapping_add(1);
        // The token itself is kept in one place only.
        known.last = match &answer {
            Ok(Some(_)) => None,
            other => Some(other.clone()),
        };
        answer
    }

    /// Nothing that can panic runs under this lock.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("has_token", &self.known().token.is_some())
            .finish_non_exhaustive()
    }
}

/// Whether nothing says that `token` belongs to somebody else.
fn is_for(token: &Token, account: &str) -> bool {
    match token.subject() {
        Some(subject) => subject == account,
        None => jwt_subject(token.secret()).is_none_or(|subject| subject == account),
    }
}

/// The `sub` of a JWT. The signature is not looked at: this only finds mix-ups, the backend does
/// the verifying. Whatever is not a JWT has none.
fn jwt_subject(secret: &str) -> Option<String> {
    let mut parts = secret.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    match claims.get("sub")? {
        Value::String(subject) => Some(subject.clone()),
        // Some issuers number their users.
        Value::Number(subject) => Some(subject.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::Future,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Waker},
    };
    use tokio::sync::Notify;

    type Script = dyn Fn(usize, Option<&Token>) -> Answer + Send + Sync;

    /// Answers by the number of the call, once it is let go.
    struct Provider {
        calls: AtomicUsize,
        gate: Option<Arc<Notify>>,
        script: Box<Script>,
    }

    impl TokenProvider for Provider {
        fn token<'a>(&'a self, account: &'a str, rejected: Option<&'a Token>) -> RemoteFuture<'a, Answer> {
            assert_eq!(account, "ada");
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if let Some(gate) = &self.gate {
                    gate.notified().await;
                }
                (self.script)(call, rejected)
            })
        }
    }

    fn tokens(
        gate: Option<Arc<Notify>>,
        script: impl Fn(usize, Option<&Token>) -> Answer + Send + Sync + 'static,
    ) -> (Arc<Tokens>, Arc<Provider>) {
        let script = Box::new(script);
        let provider = Arc::new(Provider {
            calls: AtomicUsize::new(0),
            gate,
            script,
        });
        (Arc::new(Tokens::new(provider.clone(), "ada")), provider)
    }

    fn token(secret: &str) -> Token {
        Token::new(secret, Some("ada".to_owned()))
    }

    fn numbered(call: usize, _: Option<&Token>) -> Answer {
        Ok(Some(token(&format!("token-{call}"))))
    }

    fn jwt(claims: &str) -> Token {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        Token::new(format!("{}.{}.c2ln", part(r#"{"alg":"ES256"}"#), part(claims)), None)
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_kept() {
        let (tokens, provider) = tokens(None, numbered);
        assert_eq!(tokens.current().await, Ok(Some(token("token-0"))));
        assert_eq!(tokens.current().await, Ok(Some(token("token-0"))));
        assert_eq!(provider.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_refresh_that_another_has_already_done_costs_no_call() {
        let (tokens, provider) = tokens(None, numbered);
        let first = tokens.current().await.unwrap().unwrap();
        assert_eq!(tokens.refresh(&first).await, Ok(Some(token("token-1"))));
        assert_eq!(tokens.refresh(&first).await, Ok(Some(token("token-1"))));
        assert_eq!(provider.calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_thousand_concurrent_refreshes_are_one_call() {
        let gate = Arc::new(Notify::new());
        let (tokens, provider) = tokens(Some(gate.clone()), numbered);
        let waiters: Vec<_> = (0..1_000)
            .map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { tokens.refresh(&token("old")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        gate.notify_one();
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), Ok(Some(token("token-0"))));
        }
        assert_eq!(provider.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_thousand_concurrent_waiters_share_one_failure() {
        let gate = Arc::new(Notify::new());
        let (tokens, provider) = tokens(Some(gate.clone()), |_, _| Err(TokenFault::Offline));
        let waiters: Vec<_> = (0..1_000)
            .map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { tokens.refresh(&token("old")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        gate.notify_one();
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), Err(TokenFault::Offline));
        }
        assert_eq!(provider.calls.load(Ordering::SeqCst), 1);
        gate.notify_one();
        assert_eq!(tokens.current().await, Err(TokenFault::Offline));
        assert_eq!(provider.calls.load(Ordering::SeqCst), 2, "a later one asks again");
    }

    #[tokio::test]
    async fn a_cancelled_waiter_does_not_lose_the_refresh_for_the_others() {
        let gate = Arc::new(Notify::new());
        let (tokens, provider) = tokens(Some(gate.clone()), numbered);
        let old = token("old");
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut first = pin!(tokens.refresh(&old));
            assert!(first.as_mut().poll(&mut context).is_pending());
            // Dropped here, with the call under way.
        }
        gate.notify_one();
        assert_eq!(tokens.refresh(&old).await, Ok(Some(token("token-0"))));
        assert_eq!(provider.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_waiter_behind_a_cancelled_one_takes_over() {
        let gate = Arc::new(Notify::new());
        let (tokens, provider) = tokens(Some(gate.clone()), numbered);
        let spawn = |tokens: Arc<Tokens>| tokio::spawn(async move { tokens.refresh(&token("old")).await });
        let first = spawn(tokens.clone());
        tokio::task::yield_now().await;
        let second = spawn(tokens.clone());
        tokio::task::yield_now().await;
        first.abort();
        assert!(first.await.is_err());
        gate.notify_one();
        assert_eq!(second.await.unwrap(), Ok(Some(token("token-0"))));
        assert_eq!(provider.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_of_another_account_is_never_returned() {
        let foreign = [
            Token::new("opaque", Some("bob".to_owned())),
            jwt(r#"{"sub":"bob"}"#),
            jwt(r#"{"sub":7}"#),
        ];
        for foreign in foreign {
            let (tokens, _) = tokens(None, move |_, _| Ok(Some(foreign.clone())));
            assert_eq!(tokens.current().await, Err(TokenFault::SignInNeeded));
            assert_eq!(tokens.refresh(&token("old")).await, Err(TokenFault::SignInNeeded));
        }
        let own = [
            Token::new("opaque", None),
            Token::new("not.a.jwt", None),
            Token::new("one.two.three.four.five", None),
            jwt(r#"{"sub":"ada"}"#),
            jwt(r#"{"aud":"app"}"#),
            // What the provider says outweighs what the token says.
            Token::new(jwt(r#"{"sub":"auth0|17"}"#).secret(), Some("ada".to_owned())),
        ];
        for own in own {
            let given = own.clone();
            let (tokens, _) = tokens(None, move |_, _| Ok(Some(given.clone())));
            assert_eq!(tokens.current().await, Ok(Some(own)));
        }
    }

    #[tokio::test]
    async fn a_refused_token_does_not_come_back() {
        let (tokens, _) = tokens(None, |call, rejected| match call {
            0 | 1 => Ok(Some(token("stubborn"))),
            2 => {
                assert_eq!(rejected, Some(&token("stubborn")), "still told after a failure");
                Ok(None)
            }
            _ => Ok(Some(token("fresh"))),
        });
        let stubborn = tokens.current().await.unwrap().unwrap();
        assert_eq!(tokens.refresh(&stubborn).await, Err(TokenFault::SignInNeeded));
        assert_eq!(
            tokens.current().await,
            Err(TokenFault::SignInNeeded),
            "none is no answer"
        );
        assert_eq!(tokens.current().await, Ok(Some(token("fresh"))));
        tokens.forget();
        assert_eq!(tokens.current().await, Ok(Some(token("fresh"))));
    }

    #[tokio::test]
    async fn a_backend_without_tokens_is_asked_each_time() {
        let (tokens, provider) = tokens(None, |_, _| Ok(None));
        assert_eq!(tokens.current().await, Ok(None));
        assert_eq!(tokens.current().await, Ok(None));
        assert_eq!(provider.calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_provider_that_panics_does_no_lasting_harm() {
        let (tokens, _) = tokens(None, |call, rejected| match call {
            0 => panic!("a planted panic"),
            _ => numbered(call, rejected),
        });
        assert_eq!(tokens.current().await, Err(TokenFault::Offline));
        assert_eq!(tokens.current().await, Ok(Some(token("token-1"))));
    }

    #[tokio::test]
    async fn the_secret_is_not_in_any_debug_text() {
        let (tokens, _) = tokens(None, |_, _| Ok(Some(token("s3cret"))));
        let current = tokens.current().await;
        assert!(!format!("{current:?} {tokens:?}").contains("s3cret"));
    }
}
