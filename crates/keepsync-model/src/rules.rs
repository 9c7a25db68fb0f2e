//! Which protocol is looked at: within which bounds, under which policies, and with which flaw.

/// How a conflict is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// By the user.
    Ask,
    /// The device's version stands.
    ClientWins,
    /// The server's version stands.
    ServerWins,
}

/// A believable mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The server does not remember what it applied.
    NoDedup,
    /// An entry goes when it is sent, not when it is answered.
    SettleBeforeAnswer,
    /// The cursor is committed before its rows.
    CursorBeforeRows,
    /// A pulled version is passed over where something is unsent.
    SkipPullWhilePending,
    /// A restored server does not say so.
    NoEpoch,
    /// Which version of a number is meant is not looked at.
    NoBaseId,
    /// Ids of earlier epochs are not looked at.
    NoEarlier,
    /// Predecessors are not looked at.
    NoAfter,
    /// Any base is good.
    NoVersionCheck,
    /// The user's writes are committed without a sync.
    WritesNormal,
    /// A claim is committed without a sync.
    ClaimsNormal,
    /// A repeat goes under a new operation id.
    RetryUnderNewId,
    /// A write is folded into an entry that may have been sent.
    FoldIntoSent,
    /// What a restored server lost is not given again.
    NoResend,
    /// An entry that met another version goes again under its old id.
    RebaseKeepsId,
    /// The version that loses to the device is not kept.
    NoHistory,
    /// Given a cursor of another epoch, the device keeps it.
    CursorOutlivesEpoch,
    /// A request that counts in another epoch is applied all the same.
    AnyEpoch,
    /// A restored server applies a request that names no epoch.
    EpochlessTaken,
    /// An entry that goes on under another id forgets the one that was refused.
    ForgetsRefusedIds,
}

/// The size of the world, and what holds in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Writes of the user, in all.
    pub writes: usize,
    /// Messages on their way at once.
    pub messages: usize,
    /// Crashes, in all.
    pub crashes: u8,
    /// Restores of the server, in all.
    pub restores: u8,
    /// Changes in a page.
    pub page: usize,
    /// Whether a crash may be a loss of power, which takes commits back that were not synced.
    pub power: bool,
    /// Whether a batch may also be one entry.
    pub single: bool,
    /// For the parent and the child.
    pub policies: [Policy; 2],
    /// What is wrong.
    pub flaw: Option<Flaw>,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::NoDedup,
        Self::SettleBeforeAnswer,
        Self::CursorBeforeRows,
        Self::SkipPullWhilePending,
        Self::NoEpoch,
        Self::NoBaseId,
        Self::NoEarlier,
        Self::NoAfter,
        Self::NoVersionCheck,
        Self::WritesNormal,
        Self::ClaimsNormal,
        Self::RetryUnderNewId,
        Self::FoldIntoSent,
        Self::NoResend,
        Self::RebaseKeepsId,
        Self::NoHistory,
        Self::CursorOutlivesEpoch,
        Self::AnyEpoch,
        Self::EpochlessTaken,
        Self::ForgetsRefusedIds,
    ];
}

impl Rules {
    /// The whole. A crash of a device is among its steps without being counted: what it forgets is what it
    /// waits for, and that it may forget at any time. `crashes` counts losses of power, see `power`.
    pub const WHOLE: Self = Self {
        writes: 3,
        messages: 2,
        crashes: 0,
        restores: 1,
        page: 2,
        power: false,
        single: false,
        policies: [Policy::Ask, Policy::ClientWins],
        flaw: None,
    };

    /// Two writes; everything else and more: pages of one change, batches of one entry, losses of power.
    pub const DEEP: Self = Self {
        writes: 2,
        crashes: 1,
        page: 1,
        power: true,
        single: true,
        ..Self::WHOLE
    };

    /// Whether this is wrong.
    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}
