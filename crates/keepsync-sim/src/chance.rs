//! Where a story's chance comes from: many independent streams of one seed, so that taking one kind
//! of fault, one device or one act out of a story leaves the rest of its dice as they were.

use keepsync_proxy::rng::Rng;
use std::collections::BTreeMap;

/// What is decided by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    /// The making of a device: its settings, its clocks.
    Device,
    /// When its user does something.
    Acts,
    /// When it has no network.
    Offline,
    /// When the network swallows what it sends, or what is sent to it.
    Cut,
    /// When its process dies.
    Crash,
    /// When its wall clock jumps.
    Jump,
    /// When another account signs in.
    Switch,
    /// When another version of the app is installed.
    Upgrade,
    /// When its account is wiped.
    Wipe,
    /// When its disk is full.
    Disk,
    /// What happens around and in its storage steps.
    Steps,
    /// When the server has a bad day.
    Mood,
    /// When it starts anew.
    Restart,
    /// When backups are made and restored.
    Restore,
    /// What the network does to each request.
    Network,
    /// What the users settle at the end.
    End,
    /// Which pulls a copy answers that is behind.
    Copy,
    /// Who goes off for long, and when.
    Sleep,
}

/// The streams.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: u64,
    streams: BTreeMap<(Area, usize), Rng>,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            streams: BTreeMap::new(),
        }
    }

    /// The stream of an area and a device; 0 where no device is meant.
    pub(crate) fn of(&mut self, area: Area, device: usize) -> &mut Rng {
        let seed = self.seed;
        self.streams
            .entry((area, device))
            .or_insert_with(|| Rng::new(seed, 1_000 + 100 * area as u64 + device as u64))
    }

    /// The dice of one act of a user: its own, whatever came before.
    pub(crate) fn act(&self, act: Act) -> Rng {
        let series = act.series as u64;
        Rng::new(
            self.seed,
            ((act.device as u64 + 1) << 40) | (series << 32) | u64::from(act.number),
        )
    }
}

/// Why a user acts just then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// In his own time.
    Own,
    /// In the middle of a drain's step.
    Between,
    /// At the end, when users settle what waits for them.
    End,
}

/// One act of a user, by its number among the acts of its device and series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// The device.
    pub device: usize,
    /// Of which kind.
    pub series: Series,
    /// Its number.
    pub number: u32,
}

impl std::fmt::Display for Act {
    /// `2.17`, or `2s17` between steps, `2e17` at the end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let series = match self.series {
            Series::Own => '.',
            Series::Between => 's',
            Series::End => 'e',
        };
        write!(f, "{}{series}{}", self.device, self.number)
    }
}

impl std::str::FromStr for Act {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no act: 2.17, 2s17");
        let at = text.find(['.', 's', 'e']).ok_or_else(bad)?;
        let (device, rest) = text.split_at(at);
        let series = match &rest[..1] {
            "." => Series::Own,
            "s" => Series::Between,
            _ => Series::End,
        };
        Ok(Self {
            device: device.parse().map_err(|_| bad())?,
            series,
            number: rest[1..].parse().map_err(|_| bad())?,
        })
    }
}
