//! The policies, and what each asks of local writes. Pure.

mod check;

use crate::collection::FieldGroup;
pub(crate) use check::check;
use std::collections::BTreeSet;

/// How conflicts in a collection, or in a group of fields, are settled. What each does, with an example
/// and every case of it: `docs/conflicts.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// What the server has stands: reference data, program data.
    ServerWins,
    /// What was written here stands: what a lifter lifted is never overwritten. A pending edit also
    /// beats a remote delete, whatever the clocks say.
    ClientWins,
    /// The later write stands, by hybrid logical clock and then by device id.
    LastWriteWins,
    /// The user decides; both versions are kept until then.
    Ask,
    /// The version whose field (an instant: RFC 3339 text with any offset, or UTC milliseconds) is the
    /// later one stands. Missing or unreadable loses; between equals the later write stands.
    LatestOf(String),
    /// Every unit is settled by its own later write. Where the body has a top-level scalar of this name,
    /// the record is one unit; otherwise each element of an array whose elements all have the key, each
    /// member of a top-level object, and each other top-level field is one.
    LwwPer(String),
    /// The larger number stands, for each number at or below this path (dotted; `*` is any member; empty
    /// is the whole body); members are united. Everything else: the later write.
    MergeMax(String),
    /// Numbers are added up: what changed here is added to what the server has. Everything else: the
    /// later write.
    Counter,
    /// Each field is settled by its own later write; the fields of a group go together.
    MergeFields(Vec<BTreeSet<String>>),
    /// The app's resolver of this name decides
    /// ([`OpenOptions::resolvers`](crate::OpenOptions::resolvers)).
    Custom(String),
}

impl Policy {
    /// [`Policy::LatestOf`] this field.
    pub fn latest_of(field: impl Into<String>) -> Self {
        Self::LatestOf(field.into())
    }

    /// [`Policy::LwwPer`] this key.
    pub fn lww_per(key: impl Into<String>) -> Self {
        Self::LwwPer(key.into())
    }

    /// [`Policy::MergeMax`] at this path.
    pub fn merge_max(path: impl Into<String>) -> Self {
        Self::MergeMax(path.into())
    }

    /// [`Policy::MergeFields`] with these groups.
    pub fn merge_fields<F: Into<String>>(groups: impl IntoIterator<Item = impl IntoIterator<Item = F>>) -> Self {
        let group = |fields: Vec<String>| fields.into_iter().collect();
        Self::MergeFields(
            groups
                .into_iter()
                .map(|fields| group(fields.into_iter().map(Into::into).collect()))
                .collect(),
        )
    }

    /// [`Policy::Custom`] by the resolver of this name.
    pub fn custom(resolver: impl Into<String>) -> Self {
        Self::Custom(resolver.into())
    }

    /// As documents and the command line spell it, without what it is about.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ServerWins => "server_wins",
            Self::ClientWins => "client_wins",
            Self::LastWriteWins => "last_write_wins",
            Self::Ask => "ask",
            Self::LatestOf(_) => "latest_of",
            Self::LwwPer(_) => "lww_per",
            Self::MergeMax(_) => "merge_max",
            Self::Counter => "counter",
            Self::MergeFields(_) => "merge_fields",
            Self::Custom(_) => "custom",
        }
    }

    /// Whether it compares the clocks of units, so that the result is the same in any order of delivery.
    pub(crate) fn goes_by_clocks(&self) -> bool {
        !matches!(self, Self::ServerWins | Self::ClientWins | Self::Ask | Self::Custom(_))
    }

    /// Whether all it settles is one unit.
    fn is_whole(&self) -> bool {
        matches!(self, Self::LastWriteWins | Self::LatestOf(_))
    }
}

/// What local writes have to note of their units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Nothing: no policy of the collection looks at it.
    Nothing,
    /// The record is one unit, whose clock is the version's, unless a write changed nothing.
    Whole,
    /// The clock of each.
    Units,
}

pub(crate) fn keeping(policy: &Policy, groups: &[FieldGroup]) -> Keeping {
    let by_clocks = policy.goes_by_clocks() || groups.iter().any(|group| group.policy.goes_by_clocks());
    if !by_clocks {
        Keeping::Nothing
    } else if groups.is_empty() && policy.is_whole() {
        Keeping::Whole
    } else {
        Keeping::Units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group<const N: usize>(fields: [&str; N], policy: Policy) -> FieldGroup {
        FieldGroup {
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            policy,
        }
    }

    #[test]
    fn only_policies_that_compare_clocks_have_them_kept() {
        assert_eq!(keeping(&Policy::Ask, &[]), Keeping::Nothing);
        assert_eq!(keeping(&Policy::custom("r"), &[]), Keeping::Nothing);
        assert_eq!(keeping(&Policy::LastWriteWins, &[]), Keeping::Whole);
        assert_eq!(keeping(&Policy::latest_of("at"), &[]), Keeping::Whole);
        assert_eq!(keeping(&Policy::Counter, &[]), Keeping::Units);
        let groups = [group(["x"], Policy::LastWriteWins)];
        assert_eq!(keeping(&Policy::Ask, &groups), Keeping::Units);
        let groups = [group(["x"], Policy::ServerWins)];
        assert_eq!(keeping(&Policy::Ask, &groups), Keeping::Nothing);
    }
}
