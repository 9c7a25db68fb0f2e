//! The thread that writes.

use super::transact::transact;
use crate::storage::{StorageError, StorageFuture};
use rusqlite::Connection;
use std::{
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};
use tokio::sync::{
    mpsc::{Receiver, Sender, channel, error::TrySendError},
    oneshot,
};

/// Requests that may wait; the next is told to come later.
const WAITING: usize = 1_024;
/// Requests that share a commit.
const SHARED: usize = 64;

type Answer<T> = Result<T, StorageError>;

/// The thread that writes, and the way to it.
pub(super) struct Writer {
    calls: Mutex<Option<Sender<Box<dyn Call>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A request on its way through the writer.
trait Call: Send {
    /// Does the work; an error takes it back.
    fn work(&mut self, conn: &Connection) -> Answer<()>;
    /// Sends the answer, or what became of the transaction.
    fn answer(self: Box<Self>, committed: Answer<()>);
}

struct Work<T, F> {
    work: Option<F>,
    answer: Answer<T>,
    reply: oneshot::Sender<Answer<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Answer<T> + Send> Call for Work<T, F> {
    fn work(&mut self, conn: &Connection) -> Answer<()> {
        if let Some(work) = self.work.take() {
            self.answer = work(conn);
        }
        self.answer.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn answer(self: Box<Self>, committed: Answer<()>) {
        // Nobody waits for it any more: it is done all the same.
        let _ = self.reply.send(committed.and(self.answer));
    }
}

impl Writer {
    pub(super) fn start(conn: Connection) -> Result<Self, StorageError> {
        let (calls, waiting) = channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("keepsync-writer".to_owned())
            .spawn(move || run(conn, waiting))
            .map_err(|error| StorageError::Failed(format!("thread: {}", error.kind())))?;
        Ok(Self {
            calls: Mutex::new(Some(calls)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Does `work` in the next transaction, and answers after its commit.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> StorageFuture<'static, T> {
        let (reply, answer) = oneshot::channel();
        let call = Box::new(Work {
            work: Some(work),
            answer: Err(StorageError::Closed),
            reply,
        });
        let sent = match &*self.calls.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(calls) => calls.try_send(call).map_err(|error| match error {
                TrySendError::Full(_) => StorageError::Busy,
                TrySendError::Closed(_) => StorageError::Closed,
            }),
            None => Err(StorageError::Closed),
        };
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(StorageError::Closed))
        })
    }

    /// Finishes what waits and closes the file.
    pub(super) async fn close(&self) -> Answer<()> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            Some(thread) => tokio::task::spawn_blocking(move || thread.join())
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(StorageError::Closed),
            None => Ok(()),
        }
    }
}

fn run(conn: Connection, mut waiting: Receiver<Box<dyn Call>>) {
    let mut calls = Vec::new();
    while waiting.blocking_recv_many(&mut calls, SHARED) > 0 {
        let committed = transact(&conn, &mut calls, |call, conn| call.work(conn));
        for call in calls.drain(..) {
            call.answer(committed.clone());
        }
    }
    // The log goes into the file; if it cannot, the next to open finds it.
    let _ = conn.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A writer whose thread waits in a first call, so that the next ones share a transaction.
    fn held() -> (tempfile::TempDir, Writer, mpsc::Sender<()>, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE t (n INTEGER UNIQUE, p INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
        )
        .unwrap();
        let reader = Connection::open(&path).unwrap();
        let writer = Writer::start(conn).unwrap();
        let (go, wait) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        drop(writer.call(move |_| {
            begun.send(()).unwrap();
            let _ = wait.recv();
            Ok(())
        }));
        begins.recv().unwrap();
        (folder, writer, go, reader)
    }

    fn insert(n: i64, parent: Option<i64>) -> impl FnOnce(&Connection) -> Answer<i64> + Send {
        move |conn| {
            conn.execute("INSERT INTO t VALUES (?1, ?2)", rusqlite::params![n, parent])?;
            Ok(n)
        }
    }

    fn rows(conn: &Connection) -> Vec<i64> {
        let mut statement = conn.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[tokio::test]
    async fn a_call_that_fails_takes_nothing_of_the_others_with_it() {
        let (_folder, writer, go, reader) = held();
        let first = writer.call(insert(1, None));
        let failing = writer.call(|conn| {
            insert(2, None)(conn)?;
            insert(1, None)(conn)
        });
        let last = writer.call(insert(3, None));
        go.send(()).unwrap();
        assert_eq!((first.await, last.await), (Ok(1), Ok(3)));
        assert!(matches!(failing.await, Err(StorageError::Failed(_))));
        assert_eq!(rows(&reader), [1, 3]);
        writer.close().await.unwrap();
    }

    #[tokio::test]
    async fn calls_that_wait_share_a_commit_and_are_answered_by_it() {
        let (_folder, writer, go, reader) = held();
        let first = writer.call(insert(1, None));
        // Found out at the commit alone.
        let orphan = writer.call(insert(2, Some(7)));
        let last = writer.call(insert(3, None));
        go.send(()).unwrap();
        for answer in [first.await, orphan.await, last.await] {
            assert!(matches!(answer, Err(StorageError::Failed(_))), "{answer:?}");
        }
        assert!(rows(&reader).is_empty());
        assert_eq!(
            writer.call(insert(4, None)).await,
            Ok(4),
            "the next transaction is a new one"
        );
        writer.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_call_that_finds_no_room_is_told_so_and_after_closing_none_is_taken() {
        let (_folder, writer, go, reader) = held();
        let mut calls: Vec<_> = (0..=WAITING as i64).map(|n| writer.call(insert(n, None))).collect();
        assert_eq!(calls.pop().unwrap().await, Err(StorageError::Busy));
        go.send(()).unwrap();
        writer.close().await.unwrap();
        assert_eq!(rows(&reader).len(), WAITING, "what waited is finished");
        assert_eq!(writer.call(insert(-1, None)).await, Err(StorageError::Closed));
    }
}
