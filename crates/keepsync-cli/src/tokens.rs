//! Where the device's tokens come from: the flags, and a file beside the device's.
//!
//! With `--token` alone there is one token, and when the server refuses it the user has to give
//! another. With `--refresh-token` a refused access token is replaced:
//!
//! 1. The file `FILE.tokens` is locked, so that two commands at once trade one after the other.
//! 2. It is read again: another command may have brought a new access token meanwhile.
//! 3. The refresh token is traded at the server. Stopped here, or the answer lost: the old one may be
//!    traded again, because the server spends it only when the new one is used.
//! 4. What came is written to the file: beside it, synced, renamed. Stopped before the rename: as 3.
//! 5. Only then is the new access token used. Stopped here: the next command finds both.
//!
//! The file belongs to one user and one refresh token of the command line, told by a hash: the same
//! command line works again and again, and another value on it begins anew.

use crate::{
    device::{Named, files::replace},
    failure::Failure,
};
use keepsync::remote::{Fault, RemoteFuture, Token, TokenFault, TokenProvider, http::HttpRemote};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

/// What is kept between commands.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// Of the user and the flag's refresh token.
    owner: Uuid,
    /// Of the flag's access token when the one below was brought; another flag goes first.
    flag: Option<Uuid>,
    access_token: String,
    refresh_token: String,
}

/// The tokens of one command line.
pub(crate) struct Flags {
    remote: Arc<HttpRemote>,
    user: String,
    token: Option<String>,
    refresh_token: Option<String>,
    file: PathBuf,
    json: bool,
}

/// `None` where the command line has no tokens: then none is sent.
pub(crate) fn provider(named: &Named, remote: &Arc<HttpRemote>) -> Option<Arc<dyn TokenProvider>> {
    let (token, refresh_token) = (named.place.token.clone(), named.place.refresh_token.clone());
    if token.is_none() && refresh_token.is_none() {
        return None;
    }
    let mut file = named.db.clone().into_os_string();
    file.push(".tokens");
    Some(Arc::new(Flags {
        remote: Arc::clone(remote),
        user: named.user.clone(),
        token,
        refresh_token,
        file: file.into(),
        json: named.json,
    }))
}

/// Tells one secret from another. Not to be undone is not asked of it: it lies beside the secrets.
fn hash(parts: &[&str]) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_2a9e_7d11_4b0b_8a35_6b65_6570_746b);
    Uuid::new_v5(&NAMESPACE, parts.join("\n").as_bytes())
}

impl TokenProvider for Flags {
    fn token<'a>(
        &'a self,
        _account: &'a str,
        rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move {
            let rejected = rejected.map(Token::secret);
            if let Some(token) = self.at_hand(self.kept().as_ref(), rejected) {
                return Ok(Some(self.mine(token)));
            }
            let Some(refresh_token) = &self.refresh_token else {
                return Err(TokenFault::SignInNeeded);
            };
            let _lock = self.lock().await?;
            let kept = self.kept();
            if let Some(token) = self.at_hand(kept.as_ref(), rejected) {
                return Ok(Some(self.mine(token)));
            }
            let current = kept.map_or_else(|| refresh_token.clone(), |kept| kept.refresh_token);
            let traded = self.remote.trade(&current).await.map_err(|fault| match fault {
                Fault::SignIn => TokenFault::SignInNeeded,
                _ => TokenFault::Offline,
            })?;
            let kept = Kept {
                owner: self.owner(refresh_token),
                flag: self.flag(),
                access_token: traded.access_token.clone(),
                refresh_token: traded.refresh_token,
            };
            // Using the access token is safe only once the refresh token cannot be lost.
            let bytes = serde_json::to_vec(&kept).map_err(|_| TokenFault::Offline)?;
            replace(&self.file, &bytes).map_err(|problem| {
                // The fault says only that there is no token; the user can do something about this one.
                Failure::file(&self.file, &problem).report(self.json);
                TokenFault::Offline
            })?;
            Ok(Some(Token::new(traded.access_token, Some(traded.user_id))))
        })
    }
}

impl Flags {
    fn owner(&self, refresh_token: &str) -> Uuid {
        hash(&[&self.user, refresh_token])
    }

    fn flag(&self) -> Option<Uuid> {
        self.token.as_deref().map(|token| hash(&[token]))
    }

    /// Whose a token of the flags is, only the token itself can say.
    fn mine(&self, token: String) -> Token {
        Token::new(token, None)
    }

    /// An access token that was not refused: the kept one, unless the flag has another value since it
    /// was brought. Then the flag's own is the newer one, and when it is refused, the older one is not
    /// worth a try: a sync replaces a refused token once.
    fn at_hand(&self, kept: Option<&Kept>, rejected: Option<&str>) -> Option<String> {
        let kept = kept.filter(|kept| kept.flag == self.flag());
        let token = kept.map(|kept| &kept.access_token).or(self.token.as_ref());
        token.filter(|token| rejected != Some(token.as_str())).cloned()
    }

    /// What earlier commands kept for this user and these flags. A file that cannot be read is like
    /// none: the flag's own refresh token is tried.
    fn kept(&self) -> Option<Kept> {
        let refresh_token = self.refresh_token.as_ref()?;
        let kept: Kept = serde_json::from_slice(&std::fs::read(&self.file).ok()?).ok()?;
        (kept.owner == self.owner(refresh_token)).then_some(kept)
    }

    async fn lock(&self) -> Result<File, TokenFault> {
        let path = beside(&self.file, ".lock");
        let locking = tokio::task::spawn_blocking(move || {
            let file = File::create(path)?;
            file.lock().map(|()| file)
        });
        match locking.await {
            Ok(Ok(file)) => Ok(file),
            Ok(Err(_)) | Err(_) => Err(TokenFault::Offline),
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}
