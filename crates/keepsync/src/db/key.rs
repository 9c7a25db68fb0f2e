//! Encrypted files: with a key the file is SQLCipher's (format 4), with the feature `encrypted`.
//!
//! # Opening
//! 0. SQLite is readied, by one thread ([`ready`]).
//! 1. Without a key, what looks encrypted is not opened: [`Error::WrongKey`], before SQLite sees the file.
//! 2. With a log beside the file, a connection that keeps the log's index in memory tries the key. An ordinary one
//!    would make `-shm` before it could tell that the key is wrong. If somebody else has the file open, step 3 tries.
//! 3. The key is set, before anything else, and the first page is read. "Not a database" is
//!    [`Error::WrongKey`] here, always: SQLCipher cannot tell a wrong key from a damaged first page, or a plain one.
//!
//! Stopped anywhere: nothing was written. After step 3 the key is right, and what cannot be read is damage.
//!
//! # Damage
//! SQLCipher gives a connection up as soon as one page is not what was written ([`has_given_up`]): all that it
//! is asked for after that fails, too. So such a connection is replaced; and who reads around damage
//! ([`read_around_damage`]) has it go on.

use super::beside;
use crate::error::{Error, Result};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::Arc,
};

/// The key of an installation's files: 32 bytes at random, kept where the system keeps keys. Its bytes are shown
/// nowhere, and wiped when the last copy is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Arc<Secret>);

#[derive(PartialEq, Eq)]
struct Secret([u8; 32]);

impl Key {
    /// A key of these bytes, which are used as they are: they must be random, not a password.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Arc::new(Secret(bytes)))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(feature = "encrypted")]
impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// What every file begins with that is not encrypted.
const PLAIN: &[u8; 16] = b"SQLite format 3\0";
const PAGE: usize = 4_096;

/// A connection that can read the file: the key is right, or there is none.
pub(super) fn open(path: &Path, flags: OpenFlags, key: Option<&Key>) -> Result<Connection> {
    is_possible(key)?;
    ready();
    // Whatever cannot be looked at is SQLite's to tell.
    if key.is_none() && looks_encrypted(path).unwrap_or(false) {
        return Err(Error::WrongKey);
    }
    if let Some(key) = key
        && std::fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
        && try_alone(path, key) == Err(Error::WrongKey)
    {
        return Err(Error::WrongKey);
    }
    let conn = Connection::open_with_flags(path, flags)?;
    if let Some(key) = key {
        // One whose key is wrong leaves the log where it is.
        super::harden::checkpoint_on_close(&conn, false)?;
        unlock(&conn, key)?;
    }
    Ok(conn)
}

/// SQLite takes itself for ready before it has readied SQLCipher. A thread that opens its first file in between is
/// refused its key; so one thread goes first, and the others wait until a key is taken.
#[cfg(feature = "encrypted")]
pub(super) fn ready() {
    static READY: std::sync::Once = std::sync::Once::new();
    let takes_a_key =
        || Connection::open_in_memory()?.execute_batch("PRAGMA cipher_log_level = NONE; PRAGMA key = 'k'");
    READY.call_once(|| {
        // An app that has SQLite from here, too, may be readying it just now. What is wrong for longer than that is
        // told when the file's key is set.
        for _ in 0..1_000 {
            match takes_a_key() {
                Ok(()) => break,
                Err(_) => std::thread::yield_now(),
            }
        }
    });
}

#[cfg(not(feature = "encrypted"))]
pub(super) fn ready() {}

/// Refuses a key that this build cannot use: a file must never be plain where a key was given.
pub(super) fn is_possible(key: Option<&Key>) -> Result<()> {
    match key {
        Some(_) if !cfg!(feature = "encrypted") => Err(Error::invalid(
            "key",
            "this build cannot encrypt: it is without the feature `encrypted`",
        )),
        _ => Ok(()),
    }
}

/// Step 2. Reads the log as it is, and writes nothing.
fn try_alone(path: &Path, key: &Key) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    super::harden::checkpoint_on_close(&conn, false)?;
    conn.busy_timeout(std::time::Duration::ZERO)?;
    conn.execute_batch("PRAGMA locking_mode=EXCLUSIVE")?;
    unlock(&conn, key)
}

#[cfg(feature = "encrypted")]
fn unlock(conn: &Connection, key: &Key) -> Result<()> {
    use std::fmt::Write as _;
    use zeroize::Zeroizing;
    const BEGIN: &str = "PRAGMA key = \"x'";
    // Never longer than this, so that no copy of it is left behind where it grew.
    let mut sql = Zeroizing::new(String::with_capacity(BEGIN.len() + 2 * 32 + 2));
    sql.push_str(BEGIN);
    for byte in key.0.0 {
        let _ = write!(sql, "{byte:02x}");
    }
    sql.push_str("'\"");
    // SQLCipher writes what it meets to stderr or the phone's log. What it means is told by errors. The statement
    // is not cached, and its text is in no error.
    conn.execute_batch("PRAGMA cipher_log_level = NONE")?;
    conn.execute_batch(&sql)
        .map_err(|_| Error::Internal("the key could not be set".to_owned()))?;
    drop(sql);
    // Otherwise the next version of SQLCipher could mean another format by the same key.
    conn.execute_batch("PRAGMA cipher_compatibility = 4")?;
    let first = conn.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0));
    let code = first.as_ref().err().and_then(rusqlite::Error::sqlite_error_code);
    match code {
        Some(rusqlite::ErrorCode::NotADatabase) => Err(Error::WrongKey),
        // The page could be read: the key is right. Who wants to read such a file has more to set first.
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => Ok(()),
        _ => Ok(first.map(|_| ())?),
    }
}

#[cfg(not(feature = "encrypted"))]
fn unlock(_: &Connection, key: &Key) -> Result<()> {
    is_possible(Some(key))
}

/// Whether SQLCipher gave the connection up, because of a page that is not what was written.
pub(crate) fn has_given_up(conn: &Connection, key: Option<&Key>) -> bool {
    let status = || conn.query_row("PRAGMA cipher_status", [], |row| row.get::<_, String>(0));
    key.is_some() && status().is_ok_and(|status| status == "0")
}

/// Has an encrypted file's connection go on after a page that is not what was written: it reads as zeros, which
/// SQLite takes for damage. For as long as the transaction lasts that this begins.
///
/// This is SQLCipher's recovery mode: a first page whose whole content counts as plain. The true first page has been
/// read, and the transaction holds it.
pub(super) fn read_around_damage(conn: &Connection, key: Option<&Key>) -> Result<()> {
    if key.is_none() {
        return Ok(());
    }
    conn.execute_batch("BEGIN")?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    // A page without what SQLCipher adds to each: 16 bytes to begin with and 64 to check.
    conn.execute_batch(&format!("PRAGMA cipher_plaintext_header_size = {}", PAGE - 80))?;
    Ok(())
}

/// How many pages are looked at.
const SAMPLE: u64 = 16;

/// Whether a file is rather encrypted than damaged: whole pages, no plain beginning, and most of them have no order
/// at all. A plain file's pages are full of zeros and letters, also when the first of them is damaged.
fn looks_encrypted(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 || bytes % PAGE as u64 != 0 {
        return Ok(false);
    }
    let mut begin = [0; 16];
    file.read_exact(&mut begin)?;
    if begin == *PLAIN {
        return Ok(false);
    }
    let pages = bytes / PAGE as u64;
    let sampled = pages.min(SAMPLE);
    let mut page = vec![0; PAGE];
    let mut random = 0;
    for n in 0..sampled {
        file.seek(SeekFrom::Start(n * pages / sampled * PAGE as u64))?;
        file.read_exact(&mut page)?;
        random += u64::from(looks_random(&page));
    }
    Ok(random * 2 > sampled)
}

/// Whether the bytes are as often each as random ones are: the sum of squares (chi-squared, 255 degrees of freedom) is
/// near 255 then, beyond 400 once in a thousand million pages, and many thousands where there are zeros or letters.
fn looks_random(page: &[u8]) -> bool {
    let mut times = [0_i64; 256];
    for &byte in page {
        times[usize::from(byte)] += 1;
    }
    let all = i64::try_from(page.len()).unwrap_or(i64::MAX);
    let squares: i64 = times.iter().map(|n| n * n).sum();
    // sum((n - all / 256)^2) / (all / 256) < 400
    256 * squares - all * all < 400 * all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(bytes: usize) -> Vec<u8> {
        let env = crate::env::SystemEnv::default();
        let draw = || crate::env::Env::random(&env);
        (0..bytes / 16).flat_map(|_| draw()).collect()
    }

    #[test]
    fn random_pages_look_encrypted_and_pages_with_zeros_or_letters_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let is = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            looks_encrypted(&path).unwrap()
        };
        assert!(is(&random(PAGE)) && is(&random(40 * PAGE)));
        assert!(!is(&[]) && !is(&vec![0; PAGE]) && !is(&b"garbage ".repeat(PAGE / 8)));
        assert!(!is(&random(PAGE)[..PAGE - 16]), "no whole page");
        // A plain file whose first page was filled at random.
        let mut torn = random(PAGE);
        torn.extend(b"{\"date\":\"2025-11-20\",\"notes\":\"Schulter\"}\0\0".repeat(PAGE / 4));
        torn.truncate(10 * PAGE);
        assert!(!is(&torn));
        // An encrypted one whose first pages are gone.
        let mut gone = random(16 * PAGE);
        gone[..7 * PAGE].fill(0);
        assert!(is(&gone));
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let key = Key::new(*b"0123456789abcdef0123456789abcdef");
        assert_eq!(format!("{key:?} {:?}", Some(&key)), "Key Some(Key)");
    }

    #[cfg(not(feature = "encrypted"))]
    #[test]
    fn a_build_that_cannot_encrypt_refuses_a_key_and_makes_no_file() {
        use crate::{Db, OpenOptions, collection::Collections};
        let folder = tempfile::tempdir().unwrap();
        let mut options = OpenOptions::new(folder.path(), "a", Collections::new([]).unwrap());
        options.key = Some(Key::new([7; 32]));
        let refused = Db::open(options).err();
        assert!(
            matches!(&refused, Some(Error::Invalid { field, .. }) if field == "key"),
            "{refused:?}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
