//! Refresh tokens that rotate, as a pure decision.
//!
//! 1. A token is traded for a next one, of the same family. The answer may be lost: until the next
//!    token is *used* (its own first trade), this one may be traded again, and the next that was
//!    given before is void.
//! 2. The first trade of a token spends the one before it.
//! 3. A spent token that comes again was copied: whoever has it and whoever has its successor cannot
//!    both be the device. The whole family is revoked; the user signs in again.
//!
//! All of a trade is one transaction. Stopped before its commit: nothing was traded. Stopped after it:
//! the answer is lost, and step 1 says what happens.

use crate::storage::TokenHash;

/// How long a refresh token can be traded, in milliseconds: 60 days.
const LIFE_MS: i64 = 60 * 24 * 60 * 60 * 1_000;

/// What is stored with a token that is to be traded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The token it was traded for.
    pub before: Option<TokenHash>,
    /// The token it was last traded for.
    pub next: Option<TokenHash>,
    /// Whether `next` was used.
    pub spent: bool,
    /// UTC milliseconds.
    pub expires_at: i64,
}

/// What to do with a token that is to be traded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It has expired.
    Refuse,
    /// It was copied: its family goes.
    Revoke,
    /// It gets a next token.
    Trade {
        /// This one must not come again.
        spend: Option<TokenHash>,
        /// This one was never used, and is void.
        void: Option<TokenHash>,
    },
}

/// Decides. A spent token revokes its family also when it has expired meanwhile.
pub fn step(found: &Found, now_ms: i64) -> Step {
    if found.spent {
        Step::Revoke
    } else if found.expires_at <= now_ms {
        Step::Refuse
    } else {
        Step::Trade {
            spend: found.before,
            void: found.next,
        }
    }
}

/// When a token that is made now expires, UTC milliseconds.
pub fn expires_at(now_ms: i64) -> i64 {
    now_ms.saturating_add(LIFE_MS)
}
