//! The clocks of a local write. Pure, but for reading the bodies.

use super::{
    clocks::{Clock, Clocks, Times},
    merge,
    policy::{Keeping, keeping},
};
use crate::{body::Body, collection::Collection, hlc::Hlc};

/// A version as it is stored.
pub(crate) struct Stored<'a> {
    pub(crate) body: Option<&'a str>,
    pub(crate) hlc: Hlc,
    pub(crate) device_id: &'a str,
    pub(crate) clocks: Option<&'a str>,
}

impl Stored<'_> {
    fn times(&self) -> Times {
        let own = Clock {
            hlc: self.hlc,
            device_id: self.device_id.to_owned(),
        };
        let clocks = self.clocks.map(|text| Clocks::parse(text, self.hlc));
        Times::new(own, clocks.unwrap_or_default())
    }
}

/// What a write of `body` by `device_id` at `hlc` says of units it does not change; nothing for
/// collections that do not look at it, and where everything is new.
pub(crate) fn clocks_after(
    collection: &Collection,
    old: &Stored<'_>,
    body: Option<&str>,
    (hlc, device_id): (Hlc, &str),
) -> Option<String> {
    let keeps = keeping(&collection.policy, &collection.groups);
    let (Some(before), Some(after)) = (old.body, body) else {
        return None;
    };
    let own = || Clock {
        hlc,
        device_id: device_id.to_owned(),
    };
    let clocks = match keeps {
        Keeping::Nothing => return None,
        Keeping::Whole if before != after => return None,
        Keeping::Whole => merge::unchanged(&old.times(), &own()),
        Keeping::Units => {
            let object = |text: &str| Body::stored(text.to_owned()).object().ok();
            let (before, after) = (object(before)?, object(after)?);
            merge::stamp(
                &collection.policy,
                &collection.groups,
                (&before, &old.times()),
                &after,
                &own(),
            )
        }
    };
    clocks.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::Policy;

    #[test]
    fn writing_the_same_again_keeps_the_clocks_of_what_was_there() {
        let collection = Collection::new("profile", Policy::LastWriteWins);
        let old = Stored {
            body: Some("{\"n\":1}"),
            hlc: Hlc::at(5),
            device_id: "tablet",
            clocks: None,
        };
        let after = |body| clocks_after(&collection, &old, body, (Hlc::at(9), "phone"));
        assert_eq!(after(Some("{\"n\":2}")), None, "all of it is new");
        assert_eq!(after(None), None);
        let text = after(Some("{\"n\":1}")).unwrap();
        let own = Clock {
            hlc: Hlc::at(9),
            device_id: "phone".to_owned(),
        };
        let times = Times::new(own, Clocks::parse(&text, Hlc::at(9)));
        let before = Clock {
            hlc: Hlc::at(5),
            device_id: "tablet".to_owned(),
        };
        assert_eq!((times.record(), times.there(".")), (&before, &before));
    }
}
