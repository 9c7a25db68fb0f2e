//! The C interface: SQLite's calls, turned into calls of [`State`](crate::disk::State).
//!
//! Why the `unsafe` here is sound, beside what each place says:
//! - SQLite calls a file's methods with the pointer that it gave to `xOpen`, between a successful `xOpen` and
//!   `xClose`, and never two at once on one file (<https://sqlite.org/c3ref/io_methods.html>). `xOpen` puts a
//!   [`Handle`] behind that pointer before it names the methods, and `xClose` takes it away.
//! - The VFS and its methods live as long as the process.
//! - Nothing unwinds into C: a panic in an `extern "C"` function ends the process.

use crate::{
    disk::{self, Access, Failed, Shared},
    fault::Fault,
    node::Region,
};
use rusqlite::ffi;
use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    io::{self, ErrorKind},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::Path,
    ptr::null_mut,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering, fence},
    },
};

/// SQLite's own VFS, which does everything elsewhere.
struct Plain(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite's VFS objects are made to be used by all threads, and it is never changed here.
unsafe impl Send for Plain {}
// SAFETY: as above.
unsafe impl Sync for Plain {}

static PLAIN: OnceLock<Option<Plain>> = OnceLock::new();

/// Makes this VFS SQLite's default, once per process. [`Disk::at`](crate::Disk::at) does it too.
///
/// # Errors
/// SQLite has no VFS of its own, or takes none.
pub fn install() -> io::Result<()> {
    let plain = PLAIN.get_or_init(|| {
        // SQLite keeps count of its memory under one lock, for which the threads of a simulator would wait.
        // SAFETY: this option takes a number. Refused once SQLite is in use, it changes nothing.
        let _ = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, c_int::from(false)) };
        // SAFETY: no name asks for the default; what is registered lives as long as the process.
        let plain = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        (!plain.is_null()).then_some(Plain(plain))
    });
    let refused = || io::Error::other("SQLite takes no VFS");
    let plain = plain.as_ref().ok_or_else(refused)?.0;
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: `plain` was found above and is never unregistered.
        let own = unsafe { &*plain };
        let vfs = Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: own.szOsFile.max(size_of::<Open>() as c_int),
            mxPathname: own.mxPathname,
            pNext: null_mut(),
            zName: c"keepsync-disk".as_ptr(),
            pAppData: null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(get_last_error),
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        });
        // SAFETY: it is never freed, so it lives as long as the process.
        unsafe { ffi::sqlite3_vfs_register(Box::leak(vfs), 1) }
    });
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(refused()) }
}

fn plain() -> *mut ffi::sqlite3_vfs {
    PLAIN.get().and_then(Option::as_ref).map_or(null_mut(), |plain| plain.0)
}

/// Calls a method of SQLite's own VFS.
macro_rules! plainly {
    ($method:ident($($argument:expr),*), or $missing:expr) => {{
        let plain = plain();
        // SAFETY: `plain` is null or SQLite's own VFS, which lives as long as the process.
        match unsafe { plain.as_ref() }.and_then(|vfs| vfs.$method) {
            // SAFETY: it gets the arguments that SQLite made for the method of the same name.
            Some(method) => unsafe { method(plain, $($argument),*) },
            None => $missing,
        }
    }};
}

/// What SQLite has of an open file: it gives the room, `szOsFile` bytes.
#[repr(C)]
struct Open {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

/// An open file.
struct Handle {
    disk: Arc<Shared>,
    node: u64,
    who: u64,
    level: c_int,
    delete_on_close: bool,
}

/// # Safety
/// `file` was opened by [`open`] and is not closed.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: `open` put a leaked box there, which `close` takes back; SQLite uses a file from one thread at once.
    unsafe { &mut *(*file.cast::<Open>()).handle }
}

/// # Safety
/// `name` is null or a C string that outlives `'a`.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    // SAFETY: as promised.
    (!name.is_null()).then(|| Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())))
}

/// What SQLite is told.
fn code(failed: &Failed, io: c_int) -> c_int {
    match failed {
        Failed::Planned(Fault::Full) => ffi::SQLITE_FULL,
        Failed::Planned(Fault::Stop | Fault::IoError) => io,
        Failed::Io(error) => match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ffi::SQLITE_FULL,
            _ => io,
        },
    }
}

fn told(done: disk::Result<()>, io: c_int) -> c_int {
    done.map_or_else(|failed| code(&failed, io), |()| ffi::SQLITE_OK)
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a file name or null.
    let named = unsafe { path(name) };
    let Some((path, disk)) = named.and_then(|path| Some((path, disk::of(path)?))) else {
        return plainly!(xOpen(name, file, flags, flags_out), or ffi::SQLITE_CANTOPEN);
    };
    let open = file.cast::<Open>();
    // SAFETY: SQLite gives room for `szOsFile` bytes, which is at least an `Open`. Without methods it does not close
    // what could not be opened.
    unsafe { (*open).base.pMethods = std::ptr::null() };
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let who = NEXT.fetch_add(1, Ordering::Relaxed);
    let access = Access {
        write: flags & ffi::SQLITE_OPEN_READWRITE != 0,
        create: flags & ffi::SQLITE_OPEN_CREATE != 0,
        exclusive: flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0,
        mode: mode(path, flags),
    };
    let opened = disk.state().open(path, access, who);
    let (node, writable) = match opened {
        Ok(opened) => opened,
        Err(_) => return ffi::SQLITE_CANTOPEN,
    };
    let handle = Handle {
        disk,
        node,
        who,
        level: 0,
        delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
    };
    // SAFETY: room as above; `flags_out` is null or a place for an int.
    unsafe {
        (*open).handle = Box::into_raw(Box::new(handle));
        (*open).base.pMethods = &raw const METHODS;
        if let Some(out) = flags_out.as_mut() {
            *out = if access.write && !writable {
                flags & !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE) | ffi::SQLITE_OPEN_READONLY
            } else {
                flags
            };
        }
    }
    ffi::SQLITE_OK
}

/// A log and a journal are for those whom the database is for.
fn mode(path: &Path, flags: c_int) -> u32 {
    let name = path.as_os_str().as_bytes();
    let beside = match flags {
        _ if flags & ffi::SQLITE_OPEN_WAL != 0 => name.strip_suffix(b"-wal"),
        _ if flags & ffi::SQLITE_OPEN_MAIN_JOURNAL != 0 => name.strip_suffix(b"-journal"),
        _ => None,
    };
    let main = beside.and_then(|name| std::fs::metadata(OsStr::from_bytes(name)).ok());
    main.map_or(0o644, |meta| meta.permissions().mode() & 0o777)
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite gives a file name.
    let named = unsafe { path(name) };
    let Some((path, disk)) = named.and_then(|path| Some((path, disk::of(path)?))) else {
        return plainly!(xDelete(name, sync_folder), or ffi::SQLITE_IOERR_DELETE);
    };
    let deleted = disk.state().delete(path, sync_folder != 0);
    match deleted {
        Ok(true) => ffi::SQLITE_OK,
        Ok(false) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(_: *mut ffi::sqlite3_vfs, name: *const c_char, flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a file name.
    let disk = unsafe { path(name) }.and_then(disk::of);
    if disk.is_some_and(|disk| disk.state().is_dead()) {
        return ffi::SQLITE_IOERR_ACCESS;
    }
    plainly!(xAccess(name, flags, out), or ffi::SQLITE_IOERR_ACCESS)
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    plainly!(xFullPathname(name, room, out), or ffi::SQLITE_CANTOPEN)
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    let mut rng = crate::rng::Rng::new(0x6b65_6570);
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: SQLite gives room for `count` bytes.
        unsafe { *out.add(at) = rng.next() as c_char };
    }
    count
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    plainly!(xSleep(microseconds), or 0)
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    plainly!(xCurrentTime(out), or ffi::SQLITE_ERROR)
}

unsafe extern "C" fn current_time_int64(_: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    plainly!(xCurrentTimeInt64(out), or ffi::SQLITE_ERROR)
}

unsafe extern "C" fn get_last_error(_: *mut ffi::sqlite3_vfs, room: c_int, out: *mut c_char) -> c_int {
    plainly!(xGetLastError(room, out), or 0)
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: opened and not closed; the box is taken back once, as no method is called after this one.
    let handle = unsafe {
        (*file).pMethods = std::ptr::null();
        Box::from_raw((*file.cast::<Open>()).handle)
    };
    let mut state = handle.disk.state();
    if handle.delete_on_close
        && let Ok(path) = state.node(handle.node).map(|node| node.path.clone())
    {
        // Nobody knows its name.
        let _ = state.delete(&path, false);
    }
    state.close(handle.node, handle.who);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(count), Ok(at)) = (usize::try_from(count), u64::try_from(at)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: the file is open; SQLite gives room for `count` bytes.
    let (handle, into) = unsafe {
        into.cast::<u8>().write_bytes(0, count);
        (handle(file), std::slice::from_raw_parts_mut(into.cast::<u8>(), count))
    };
    let done = handle.disk.state().read(handle.node, at, into);
    match done {
        Ok(done) if done == count => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(failed) => code(&failed, ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(count), Ok(at)) = (usize::try_from(count), u64::try_from(at)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: the file is open; SQLite gives `count` bytes.
    let (handle, bytes) = unsafe { (handle(file), std::slice::from_raw_parts(from.cast::<u8>(), count)) };
    told(
        handle.disk.state().write(handle.node, at, bytes),
        ffi::SQLITE_IOERR_WRITE,
    )
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    let Ok(len) = u64::try_from(len) else {
        return ffi::SQLITE_IOERR_TRUNCATE;
    };
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    told(handle.disk.state().resize(handle.node, len), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    told(handle.disk.state().sync(handle.node), ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = handle.disk.state();
    if state.is_dead() {
        return ffi::SQLITE_IOERR_FSTAT;
    }
    match state.node(handle.node).map(|node| node.len()) {
        Ok(len) => {
            // SAFETY: SQLite gives a place for the number.
            unsafe { *out = ffi::sqlite3_int64::try_from(len).unwrap_or(ffi::sqlite3_int64::MAX) };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    if handle.level >= level {
        return ffi::SQLITE_OK;
    }
    let mut state = handle.disk.state();
    let Ok(node) = state.node(handle.node) else {
        return ffi::SQLITE_IOERR;
    };
    match node.lock.lock(handle.who, level) {
        Ok(()) => {
            handle.level = level;
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_BUSY,
    }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = handle.disk.state();
    let Ok(node) = state.node(handle.node) else {
        return ffi::SQLITE_IOERR;
    };
    // Also one that is waited for and not had: a pending lock of a writer that gave up.
    node.lock.unlock(handle.who, level);
    handle.level = handle.level.min(level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = handle.disk.state();
    let Ok(node) = state.node(handle.node) else {
        return ffi::SQLITE_IOERR;
    };
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = c_int::from(node.lock.is_reserved()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    if what != ffi::SQLITE_FCNTL_HAS_MOVED {
        return ffi::SQLITE_NOTFOUND;
    }
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let moved = handle.disk.state().has_moved(handle.node);
    // SAFETY: for this question the argument is a place for an int.
    unsafe { *argument.cast::<c_int>() = c_int::from(moved) };
    ffi::SQLITE_OK
}

/// What SQLite's own VFS says on Linux, so that SQLite does here what it does on a phone.
unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As above.
unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let (Ok(region), Ok(size)) = (usize::try_from(region), usize::try_from(size)) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = handle.disk.state();
    let Ok(node) = state.node(handle.node) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    if !node.mapped.contains(&handle.who) {
        node.mapped.push(handle.who);
    }
    while node.index.len() <= region && extend != 0 {
        node.index
            .push((0..size.div_ceil(8)).map(|_| AtomicU64::new(0)).collect::<Region>());
    }
    // The memory is behind atomics, so that writing to it through this pointer is allowed; it stays where it is
    // until the last connection has let go of it.
    let place = node
        .index
        .get(region)
        .map_or(null_mut(), |region| region.as_ptr().cast_mut().cast::<c_void>());
    // SAFETY: SQLite gives a place for the pointer.
    unsafe { *out = place };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    let (Ok(first), Ok(count)) = (usize::try_from(first), usize::try_from(count)) else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = handle.disk.state();
    let Ok(node) = state.node(handle.node) else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        node.index_lock.unlock(handle.who, first, count);
        return ffi::SQLITE_OK;
    }
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    match node.index_lock.lock(handle.who, first, count, exclusive) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_BUSY,
    }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: the file is open. The lock orders what other threads do, as in SQLite's own VFS.
    drop(unsafe { handle(file) }.disk.state());
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    handle.disk.state().unmap(handle.node, handle.who);
    ffi::SQLITE_OK
}
