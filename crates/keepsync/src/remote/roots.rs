//! Whom to trust on Android, without the Java side.
//!
//! The platform's verifier is reached over JNI there. It panics at the first request of an app that has not handed it a
//! JVM and a context, and that has not packed its Kotlin half, which comes from a Maven folder inside a crate. So the
//! certificates of the system are read from where they lie, as Conscrypt reads them:
//!
//! 1. The folders in their order; the first that holds a certificate counts, alone. Since Android 14 the list comes with
//!    the updates of Play and lies in a module of its own; the folder of the system image is as old as the image, and
//!    still holds what the list has since dropped.
//! 2. Without those that the user has switched off in the settings.
//! 3. Where no folder holds any, Mozilla's list, as old as this library.
//!
//! What is no certificate is passed over. Nothing here fails, and nothing panics.
//!
//! Not done, and the platform's verifier would do it: certificates that the user or an employer has installed count
//! where an app's network security configuration says so (by default, since Android 7, they do not; here they never
//! do), pins of that configuration count, and a revoked certificate is refused where its server staples the answer.

use rustls::RootCertStore;
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// Android gives each user of a device so many numbers for apps.
const UIDS_PER_USER: u32 = 100_000;

/// Where certificates lie.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folders {
    /// Those of the system, the best first.
    pub(super) trusted: Vec<PathBuf>,
    /// Those that the user has switched off.
    pub(super) switched_off: PathBuf,
}

impl Folders {
    /// On Android, for an app that runs under the number `uid`.
    pub(super) fn of_android(uid: u32) -> Self {
        let user = uid / UIDS_PER_USER;
        Self {
            trusted: vec![
                "/apex/com.android.conscrypt/cacerts".into(),
                "/system/etc/security/cacerts".into(),
            ],
            switched_off: format!("/data/misc/user/{user}/cacerts-removed").into(),
        }
    }

    /// On this device.
    #[cfg(target_os = "android")]
    pub(super) fn of_this_device() -> Self {
        use std::os::unix::fs::MetadataExt as _;

        Self::of_android(fs::metadata("/proc/self").map_or(0, |it| it.uid()))
    }
}

/// Whom to trust. Nobody, if the user has switched off every certificate of the system.
pub(super) fn roots(folders: &Folders) -> RootCertStore {
    let switched_off = switched_off(&folders.switched_off);
    for folder in &folders.trusted {
        let found = rustls_native_certs::load_certs_from_paths(None, Some(folder)).certs;
        let (off, on): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| switched_off.contains(it.as_ref()));
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(on);
        if !roots.is_empty() || !off.is_empty() {
            return roots;
        }
    }
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// The bytes of each certificate in `folder`. Android writes them there in binary.
fn switched_off(folder: &Path) -> HashSet<Vec<u8>> {
    let Ok(files) = fs::read_dir(folder) else {
        return HashSet::new();
    };
    files.filter_map(|file| fs::read(file.ok()?.path()).ok()).collect()
}

#[cfg(test)]
mod tests;
