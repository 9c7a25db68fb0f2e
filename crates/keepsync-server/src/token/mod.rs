//! Who asks: access tokens that are verified without looking anything up, and refresh tokens that are
//! looked up and rotate.

mod jwt;
pub mod rotate;

use crate::{
    ServerError,
    folder::Folder,
    storage::{TokenHash, sqlite},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::path::Path;

pub(crate) use jwt::Keys;

/// Bytes of a user's name, at most.
const USER_BYTES: usize = 256;

/// An access token for `user` that expires `expires_in_s` seconds after `now_ms` (UTC milliseconds).
/// Makes the data folder and its signing key if absent; works beside a running server.
///
/// # Errors
///
/// The folder cannot be used, or the name is not one.
pub fn access_token(data: &Path, user: &str, expires_in_s: u64, now_ms: i64) -> Result<String, ServerError> {
    let keys = Keys::new(&Folder::make(data)?.signing_key()?);
    keys.sign(user, expires_in_s, now_ms)
}

/// The first refresh token of a new family for `user`. Makes the data folder if absent; works beside a
/// running server.
///
/// # Errors
///
/// The folder or the file in it cannot be used, or the name is not one.
pub fn refresh_token(data: &Path, user: &str, now_ms: i64) -> Result<String, ServerError> {
    if !is_user(user) {
        return Err(ServerError::User);
    }
    let folder = Folder::make(data)?;
    let (token, hash) = fresh()?;
    sqlite::add_family(&folder.database(), user, &hash, now_ms)?;
    Ok(token)
}

/// Whether this can be a user: 1 to 256 bytes without control characters.
pub(crate) fn is_user(user: &str) -> bool {
    (1..=USER_BYTES).contains(&user.len()) && !user.chars().any(char::is_control)
}

/// A refresh token and what is stored of it.
pub(crate) fn fresh() -> Result<(String, TokenHash), ServerError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| ServerError::Random)?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash(&token);
    Ok((token, hash))
}

/// What is stored of a refresh token. Its 32 bytes are random, so no slow hash is needed.
pub fn hash(token: &str) -> TokenHash {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let mut hash = TokenHash::default();
    hash.copy_from_slice(digest.as_ref());
    hash
}
