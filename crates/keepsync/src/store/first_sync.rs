//! What an app does about the first sync. See [`first_sync`](crate::first_sync).

use super::Store;
use crate::{
    drain::{Event, Report},
    error::Result,
    first_sync::{FirstSyncProgress, continue_without_first_sync},
};

impl Store {
    /// How far the first sync has come. [`Watch::first_sync`](super::Watch::first_sync) follows it.
    ///
    /// # Errors
    /// Those of the file; [`Error::Closed`](crate::Error::Closed).
    pub async fn first_sync(&self) -> Result<FirstSyncProgress> {
        let progress = self.read(|read| read.first_sync()).await?;
        Ok(progress.with(&self.inner.snapshot.borrow()))
    }

    /// Gives up a request that hangs and begins again, from the last page that came; for the retry
    /// button. Waits for the network.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed).
    pub async fn retry_first_sync(&self) -> Result<Report> {
        self.cancel();
        self.sync().await
    }

    /// Goes on without the first pull, where every missing collection allows it. The pull itself goes on.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) naming a collection that does not allow it.
    pub async fn continue_without_first_sync(&self) -> Result<()> {
        self.write(continue_without_first_sync).await?;
        self.wake(Event::NeedsFirstSync(false));
        Ok(())
    }
}
