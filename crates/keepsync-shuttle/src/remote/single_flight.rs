//! One trade of tokens at a time, whoever asks, and none is cut off.

use super::{RemoteFuture, Token, TokenFault, TokenProvider, token::Tokens};
use shuttle::future::{block_on, spawn, yield_now};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

/// Notices two trades at once, and one that was cut off.
#[derive(Default)]
struct Trader {
    trading: AtomicUsize,
    trades: AtomicUsize,
}

impl TokenProvider for Trader {
    fn token<'a>(&'a self, _: &'a str, _: Option<&'a Token>) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move {
            assert_eq!(self.trading.fetch_add(1, SeqCst), 0, "two trades at once");
            yield_now().await;
            let number = self.trades.fetch_add(1, SeqCst) + 1;
            yield_now().await;
            self.trading.fetch_sub(1, SeqCst);
            Ok(Some(Token::new(format!("token-{number}"), None)))
        })
    }
}

fn tokens() -> (Arc<Trader>, Arc<Tokens>) {
    let trader = Arc::new(Trader::default());
    let tokens = Arc::new(Tokens::new(trader.clone(), "ann"));
    (trader, tokens)
}

/// Three requests are refused with the same token: one trade, and all go on with what it brought.
pub(crate) fn refused_together() {
    block_on(async {
        let (trader, tokens) = tokens();
        let old = tokens.current().await.unwrap().unwrap();
        let each = [0; 3].map(|_| {
            let (tokens, old) = (tokens.clone(), old.clone());
            spawn(async move { tokens.refresh(&old).await })
        });
        for one in each {
            let token = one.await.unwrap().unwrap().unwrap();
            assert_eq!(token.secret(), "token-2");
        }
        assert_eq!(trader.trades.load(SeqCst), 2);
    });
}

/// Three requests want the first token, on threads of their own.
pub(crate) fn asked_together() {
    let (trader, tokens) = tokens();
    let each = [0; 3].map(|_| {
        let tokens = tokens.clone();
        shuttle::thread::spawn(move || block_on(tokens.current()))
    });
    for one in each {
        assert_eq!(one.join().unwrap().unwrap().unwrap().secret(), "token-1");
    }
    assert_eq!(trader.trades.load(SeqCst), 1);
}

/// Who began the trade is cancelled at any moment; another drives it on.
pub(crate) fn the_first_goes_away() {
    block_on(async {
        let (trader, tokens) = tokens();
        let ask = |tokens: Arc<Tokens>| spawn(async move { tokens.current().await });
        let first = ask(tokens.clone());
        let others = [ask(tokens.clone()), ask(tokens.clone())];
        yield_now().await;
        first.abort();
        for other in others {
            assert_eq!(other.await.unwrap().unwrap().unwrap().secret(), "token-1");
        }
        assert_eq!(trader.trades.load(SeqCst), 1);
    });
}
