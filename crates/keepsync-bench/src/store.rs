//! Keepsync as an app holds it: calls wait on an async runtime while the writer's thread works.

use crate::{
    Outcome,
    ours::{options, page_query},
};
use keepsync::{record::Record, store::Store};
use std::path::Path;
use tokio::runtime::{Builder, Runtime};

pub(crate) struct Held {
    runtime: Runtime,
    store: Store,
}

impl Held {
    /// Opens the file in `folder`, or makes it, without a backend.
    pub(crate) fn open(folder: &Path, by_date: bool) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let store = runtime.block_on(Store::open(options(folder, by_date)?, None))?;
        Ok(Self { runtime, store })
    }

    pub(crate) fn start(&self, session: &str) -> Outcome<()> {
        let start = self
            .store
            .start_session("workout", "set_log", session, r#"{"name":"Mittwoch"}"#);
        self.runtime.block_on(start)?;
        Ok(())
    }

    pub(crate) fn log_set(&self, session: &str, slot: &str, body: &str) -> Outcome<()> {
        self.runtime
            .block_on(self.store.log_set("workout", session, slot, body))?;
        Ok(())
    }

    pub(crate) fn get(&self, id: &str) -> Outcome<Option<Record>> {
        Ok(self.runtime.block_on(self.store.get("set_log", id))?)
    }

    /// Fifty by date, from a date on if one is given.
    pub(crate) fn page(&self, from: Option<&str>) -> Outcome<Vec<Record>> {
        Ok(self.runtime.block_on(self.store.query(page_query(from)))?.records)
    }

    /// Waits until the file is closed.
    pub(crate) fn close(self) -> Outcome<()> {
        Ok(self.runtime.block_on(self.store.close())?)
    }
}
