//! Records: what the app sees of a document, and what the server last confirmed of it.
//!
//! A record has a *visible* body and a *base* (the last body and version the server confirmed).
//! While nothing is unsent the two are the same and stored once. A local write changes the visible
//! body and the queue in one transaction; a pulled version always changes the base, and
//! [`conflict`](crate::conflict) decides what it means for the visible body.

mod device;
mod elsewhere;
mod history;
mod merge_into;
mod query;
mod row;
mod twins;
mod write;

pub use elsewhere::{Elsewhere, just_changed_elsewhere};
pub use history::Version;
pub use merge_into::merge_into;
pub use query::{Compare, Filter, Page, Query};
pub use row::{Record, RecordState};
pub use twins::{Twin, Twins};
pub use write::{Mutation, Written, delete, patch, put, write};

pub(crate) use device::{learn as learn_device, name as name_devices};
pub(crate) use elsewhere::warn as warn_of_change;
pub(crate) use history::{add as add_history, prune as prune_history};
pub(crate) use row::{Base, Row, UNSEEN, find, insert_confirmed, settle_state, show_unsent};
pub(crate) use write::{Local, check_id, parent_of, write_local};

use crate::{db::Read, error::Result};

impl Read<'_> {
    /// The record, unless it is not there or deleted.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub fn get(&self, collection: &str, id: &str) -> Result<Option<Record>> {
        self.shared.collections.get(collection)?;
        Ok(row::shown(self, collection, id)?.filter(|record| record.body.is_some()))
    }

    /// The record, also when it is deleted: then it has no body.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub fn record(&self, collection: &str, id: &str) -> Result<Option<Record>> {
        self.shared.collections.get(collection)?;
        row::shown(self, collection, id)
    }

    /// A page of records.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection), and
    /// [`Error::Invalid`](crate::Error::Invalid) naming the part of the query.
    pub fn query(&self, query: &Query) -> Result<Page> {
        let mut page = query::run(self, query)?;
        name_devices(self, &mut page.records)?;
        Ok(page)
    }

    /// Versions of a record that lost, and writes to it that were thrown away; newest first.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub fn history(&self, collection: &str, id: &str) -> Result<Vec<Version>> {
        self.shared.collections.get(collection)?;
        history::list(self.conn, collection, id)
    }
}
