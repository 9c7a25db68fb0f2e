//! Key-value storage with AsyncStorage's interface, for what is not synced.

use crate::{Store, error::Result};
use std::collections::HashMap;

#[uniffi::export]
impl Store {
    /// The value of a key.
    pub async fn kv_get(&self, key: String) -> Result<Option<String>> {
        self.call(move |store| async move { store.kv_get(&key).await }).await
    }

    /// Sets a key.
    pub async fn kv_set(&self, key: String, value: String) -> Result<()> {
        self.call(move |store| async move { store.kv_set(&key, &value).await })
            .await
    }

    /// Removes a key.
    pub async fn kv_remove(&self, key: String) -> Result<()> {
        self.call(move |store| async move { store.kv_remove(&key).await }).await
    }

    /// Merges a JSON object into a key's.
    pub async fn kv_merge(&self, key: String, value: String) -> Result<()> {
        self.call(move |store| async move { store.kv_merge(&key, &value).await })
            .await
    }

    /// The values of those keys that have one.
    pub async fn kv_multi_get(&self, keys: Vec<String>) -> Result<HashMap<String, String>> {
        self.call(move |store| async move {
            let pairs = store.kv_multi_get(keys).await?;
            Ok(pairs
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect::<HashMap<_, _>>())
        })
        .await
    }

    /// Sets several keys as one.
    pub async fn kv_multi_set(&self, pairs: HashMap<String, String>) -> Result<()> {
        self.call(move |store| async move { store.kv_multi_set(pairs.into_iter().collect()).await })
            .await
    }

    /// Removes several keys as one.
    pub async fn kv_multi_remove(&self, keys: Vec<String>) -> Result<()> {
        self.call(move |store| async move { store.kv_multi_remove(keys).await })
            .await
    }

    /// All keys.
    pub async fn kv_keys(&self) -> Result<Vec<String>> {
        self.call(|store| async move { store.kv_keys().await }).await
    }

    /// Removes every key.
    pub async fn kv_clear(&self) -> Result<()> {
        self.call(|store| async move { store.kv_clear().await }).await
    }
}
