//! How far a collection has come: `"{up}"`, or `"{up}<{below}"` while its backfill is under way.
//!
//! A pull from the start fixes the account's head as `up` and goes down from there; `below` is the last
//! change it has come to. So everything from `below` to `up` was given, what is above `up` is new, and
//! what is below `below` is still to come. New changes move `up`, the backfill moves `below`, and when
//! there is nothing below any more the cursor is `"{up}"`.
//!
//! A cursor can be continued if no tombstone above `up` was forgotten: the device could have the record
//! it was for. One at or below `up` was given, or is of a record that was never given.

/// How far a collection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// Changes up to here were given, but for those below `below`.
    pub(super) up: i64,
    /// Where the backfill has come to.
    pub(super) below: Option<i64>,
}

impl At {
    /// Where a pull from the start begins.
    pub(super) fn start(head: i64) -> Self {
        Self {
            up: head,
            below: Some(head.saturating_add(1)),
        }
    }

    /// The reverse of its text; `None` for a text that this server did not give.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<i64>().ok();
        match text.split_once('<') {
            None => Some(Self {
                up: number(text)?,
                below: None,
            }),
            Some((up, below)) => {
                let (up, below) = (number(up)?, number(below)?);
                (below <= up.saturating_add(1)).then_some(Self { up, below: Some(below) })
            }
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.below {
            Some(below) => write!(f, "{}<{below}", self.up),
            None => write!(f, "{}", self.up),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given_and_others_are_told_apart() {
        for text in ["0", "12", "12<13", "12<1"] {
            assert_eq!(At::parse(text).unwrap().to_string(), text);
        }
        for other in ["", "<", "3<", "<3", "3<4<5", "3<5", "3.4", "x"] {
            assert_eq!(At::parse(other), None, "{other}");
        }
    }
}
