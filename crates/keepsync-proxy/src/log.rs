//! When each request was under way: from its last byte read until an answer to it began to go down. Shorter
//! than the truth on both sides, so that two that overlap here did overlap.

use std::time::Instant;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its path.
    pub path: String,
    /// When all of it had been read.
    pub began: Instant,
    /// When it was over, one way or the other; `None` while it is under way.
    pub ended: Option<Instant>,
    /// Its bytes, head included.
    pub request_bytes: usize,
    /// Bytes of the server's answer, head included; 0 if none came whole.
    pub answer_bytes: usize,
}

impl Exchange {
    /// Whether it was under way at a moment that the other was under way too.
    pub fn overlaps(&self, other: &Self) -> bool {
        let before = |a: &Self, b: &Self| a.ended.is_some_and(|ended| ended <= b.began);
        !before(self, other) && !before(other, self)
    }
}

/// All of a proxy's.
#[derive(Debug, Default)]
pub(super) struct Log {
    exchanges: Vec<Exchange>,
}

impl Log {
    pub(super) fn begin(&mut self, path: &str, request_bytes: usize) -> usize {
        self.exchanges.push(Exchange {
            path: path.to_owned(),
            began: Instant::now(),
            ended: None,
            request_bytes,
            answer_bytes: 0,
        });
        self.exchanges.len() - 1
    }

    pub(super) fn answered(&mut self, at: usize, bytes: usize) {
        if let Some(exchange) = self.exchanges.get_mut(at) {
            exchange.answer_bytes = bytes;
        }
    }

    pub(super) fn end(&mut self, at: usize) {
        if let Some(exchange) = self.exchanges.get_mut(at) {
            exchange.ended.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn all(&self) -> &[Exchange] {
        &self.exchanges
    }
}
