//! Connections that read.

use super::open;
use crate::storage::{StorageError, StorageFuture};
use rusqlite::Connection;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// Reads at a time; more wait.
const READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            places: Arc::new(Semaphore::new(READERS)),
            idle: Arc::default(),
        }
    }

    /// Reads in one transaction, on a thread that may block.
    pub(super) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> StorageFuture<'static, T> {
        let places = Arc::clone(&self.places);
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        Box::pin(async move {
            let place = places.acquire_owned().await.map_err(|_| StorageError::Closed)?;
            let read = move || {
                let _place = place;
                let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut conn = match taken {
                    Some(conn) => conn,
                    None => open::reader(&path)?,
                };
                let transaction = conn.transaction()?;
                let answer = work(&transaction)?;
                transaction.commit()?;
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
                Ok(answer)
            };
            tokio::task::spawn_blocking(read)
                .await
                .unwrap_or(Err(StorageError::Closed))
        })
    }

    pub(super) fn close(&self) {
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
