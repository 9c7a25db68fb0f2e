//! Access tokens: JWT, signed with HMAC-SHA-256 and the folder's key, and nothing else. Which algorithm
//! a token says it has is only ever compared with that one.

use super::is_user;
use crate::{ServerError, folder::KEY_BYTES};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use ring::hmac;
use serde::{Deserialize, Serialize};
use signature::{Signer, Verifier};

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

/// Signs and verifies access tokens.
pub(crate) struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// Names users in logs.
    alias: hmac::Key,
}

impl Keys {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        // Another user of the crate in this process may have chosen a provider; any can do HS256.
        let _ = PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.leeway = 0;
        Self {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
            alias: hmac::Key::new(hmac::HMAC_SHA256, &[key.as_slice(), b" user alias"].concat()),
        }
    }

    /// A token for `user`, good for `expires_in_s` seconds from `now_ms` on.
    pub(crate) fn sign(&self, user: &str, expires_in_s: u64, now_ms: i64) -> Result<String, ServerError> {
        if !is_user(user) {
            return Err(ServerError::User);
        }
        let claims = Claims {
            sub: user.to_owned(),
            exp: u64::try_from(now_ms / 1_000).unwrap_or(0).saturating_add(expires_in_s),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(|_| ServerError::Token)
    }

    /// Whose token it is; `None` if it is not good, whatever the reason.
    pub(crate) fn verify(&self, token: &str) -> Option<String> {
        let claims: Claims = jsonwebtoken::decode(token, &self.decoding, &self.validation)
            .ok()?
            .claims;
        Some(claims.sub).filter(|user| is_user(user))
    }

    /// A name for a user in the logs, which only who has the key can trace back.
    pub(crate) fn alias(&self, user: &str) -> String {
        let tag = hmac::sign(&self.alias, user.as_bytes());
        tag.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// HS256 by ring, which is in the tree already.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => Ok(Box::new(Hs256::new(key.as_bytes())) as Box<dyn JwtSigner>),
        _ => Err(Error::from(ErrorKind::InvalidAlgorithm)),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)) as Box<dyn JwtVerifier>),
        _ => Err(Error::from(ErrorKind::InvalidAlgorithm)),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(hmac::Key);

impl Hs256 {
    fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// In constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
