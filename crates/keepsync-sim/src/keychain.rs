//! What a device knows of the server besides its file: refresh tokens, in the system's keychain, and until when the
//! server asked it to wait.

use crate::{
    oracle::{Violation, broken},
    world::World,
};
use keepsync::{
    drain::Answer,
    remote::{Fault, TokenFault},
    settings::Settings,
};
use keepsync_server::storage::TokenHash;
use std::collections::BTreeMap;

/// A device, and who is signed in on it.
type Owner = (usize, &'static str);

/// The keychains of all devices.
#[derive(Debug, Default)]
pub(crate) struct Keychains {
    tokens: BTreeMap<Owner, Held>,
    /// Tokens in answers that are on their way: device, life, request.
    coming: BTreeMap<(usize, u64, u64), Vec<(Owner, TokenHash)>>,
    /// In which life each device was asked to wait, and until when.
    waiting: BTreeMap<usize, (u64, u64)>,
}

/// A refresh token.
#[derive(Debug, Clone, Copy)]
struct Held {
    token: TokenHash,
    /// Nobody would be astonished if the server did not take it: it was restored since, or a request that the
    /// device had given up has traded it.
    excused: bool,
}

impl Keychains {
    /// After a restore the server may not know what it gave out.
    pub(crate) fn server_restored(&mut self) {
        self.tokens.values_mut().for_each(|held| held.excused = true);
    }
}

impl World {
    /// The refresh token a device sends. Who is signed in has one.
    pub(crate) fn refresh_token(&mut self, at: usize) -> Result<TokenHash, Violation> {
        let owner = (at, self.devices[at].user());
        if let Some(held) = self.keychains.tokens.get(&owner) {
            return Ok(held.token);
        }
        let token = self.server.sign_in(owner.1, self.clock.true_wall_ms())?;
        let held = Held { token, excused: false };
        self.keychains.tokens.insert(owner, held);
        Ok(token)
    }

    /// A refresh arrives at the server. `asker` is its device, life and request, `None` if nobody waits for the
    /// answer any more.
    pub(crate) fn trade(
        &mut self,
        owner: Owner,
        token: &TokenHash,
        asker: Option<(usize, u64, u64)>,
    ) -> Result<Result<(), TokenFault>, Violation> {
        let next = self.server.trade(token, self.clock.true_wall_ms())?;
        let held = self.keychains.tokens.get_mut(&owner);
        if let (None, Some(held)) = (asker, held) {
            held.excused = true;
            return Ok(Ok(()));
        }
        let Some(asker) = asker else { return Ok(Ok(())) };
        let Some(next) = next else {
            let held = self.keychains.tokens.remove(&owner);
            return match held {
                Some(held) if !held.excused && held.token == *token => broken(
                    "single refresh",
                    format!(
                        "the server takes device {}'s refresh token no more, for no fault of anyone else",
                        owner.0
                    ),
                ),
                _ => Ok(Err(TokenFault::SignInNeeded)),
            };
        };
        self.keychains.coming.entry(asker).or_default().push((owner, next));
        Ok(Ok(()))
    }

    /// The user has to sign in again.
    pub(crate) fn sign_out(&mut self, owner: Owner) {
        self.keychains.tokens.remove(&owner);
    }

    /// An answer has come, and somebody waits for it.
    pub(crate) fn note_answer(&mut self, at: usize, request: u64, answer: &Answer) {
        let device = &mut self.devices[at];
        let coming = self.keychains.coming.get_mut(&(at, device.life, request));
        match answer {
            Answer::Refreshed(Ok(())) => {
                // The first that was traded is the first that comes back, mostly.
                let Some(coming) = coming.filter(|coming| !coming.is_empty()) else {
                    return;
                };
                let (owner, token) = coming.remove(0);
                device.token_valid = true;
                if let Some(held) = self.keychains.tokens.get_mut(&owner) {
                    held.token = token;
                }
            }
            Answer::Pushed(Err(Fault::Throttled { after_ms: Some(after) }))
            | Answer::Pulled(Err(Fault::Throttled { after_ms: Some(after) })) => {
                let until = self.clock.now() + (*after).min(Settings::default().throttle_cap_ms);
                self.keychains.waiting.insert(at, (device.life, until));
            }
            _ => {}
        }
    }

    /// A push or a pull leaves a device.
    pub(crate) fn check_patience(&self, at: usize) -> Result<(), Violation> {
        match self.keychains.waiting.get(&at) {
            Some(&(life, until)) if life == self.devices[at].life && self.clock.now() < until => broken(
                "retry after",
                format!("device {at} asks {} ms before it may", until - self.clock.now()),
            ),
            _ => Ok(()),
        }
    }
}
