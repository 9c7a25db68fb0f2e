//! Files with a key of the app's: what is asked of the host, and what becomes of its answers.

use async_trait::async_trait;
use keepsync_ffi::{Accounts, CollectionOptions, Host, HostError, KeepsyncError, KeyProvider, Options, Policy};
use std::{path::Path, sync::Arc};

struct Keys(Result<Vec<u8>, HostError>);

#[async_trait]
impl KeyProvider for Keys {
    async fn key(&self) -> Result<Vec<u8>, HostError> {
        self.0.clone()
    }
}

fn accounts(folder: &Path, key: Option<Result<Vec<u8>, HostError>>) -> Arc<Accounts> {
    let collection = CollectionOptions {
        name: "note".to_owned(),
        policy: Policy::LastWriteWins,
        parent: None,
        indexes: Vec::new(),
        priority: 0,
        direction: None,
        sending: None,
        first_sync: None,
        on_rejected: None,
        groups: Vec::new(),
        same_when: Vec::new(),
        without_deletes: false,
        settles_itself: false,
        announce_changes: false,
    };
    let options = Options {
        folder: folder.to_str().unwrap().to_owned(),
        collections: vec![collection],
        backend: None,
        settings: None,
        device_id: None,
    };
    let host = Host {
        keys: key.map(|key| Arc::new(Keys(key)) as Arc<dyn KeyProvider>),
        ..Host::default()
    };
    Accounts::new(options, host).unwrap()
}

fn code(error: KeepsyncError) -> String {
    let KeepsyncError::Failed { code, .. } = error;
    code
}

async fn refused(folder: &Path, key: Option<Result<Vec<u8>, HostError>>) -> String {
    match accounts(folder, key).open("me".to_owned()).await {
        Ok(_) => panic!("it opened"),
        Err(error) => code(error),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_opens_with_its_key_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let key = || Some(Ok(vec![7; 32]));
    let store = accounts(folder.path(), key()).open("me".to_owned()).await.unwrap();
    let body = r#"{"text":"nobody else's business"}"#;
    store
        .put("note".to_owned(), "n1".to_owned(), body.to_owned())
        .await
        .unwrap();
    store.close().await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("nobody else"), "in clear");
    }

    assert_eq!(refused(folder.path(), Some(Ok(vec![8; 32]))).await, "wrong_key");
    assert_eq!(refused(folder.path(), None).await, "wrong_key");
    assert_eq!(refused(folder.path(), Some(Ok(vec![7; 16]))).await, "invalid");
    let locked = HostError::Failed {
        reason: "before the first unlock".to_owned(),
    };
    assert_eq!(refused(folder.path(), Some(Err(locked))).await, "unavailable");

    let accounts = accounts(folder.path(), key());
    let known = accounts.list().await.unwrap();
    assert_eq!((known[0].account.as_deref(), known[0].unsent), (Some("me"), Some(1)));
    let store = accounts.open("me".to_owned()).await.unwrap();
    let record = store.get("note".to_owned(), "n1".to_owned()).await.unwrap().unwrap();
    assert_eq!(record.body.as_deref(), Some(body));
    // It is the same key that opens it after a suspension.
    store.suspend().await.unwrap();
    assert!(store.get("note".to_owned(), "n1".to_owned()).await.unwrap().is_some());
    store.close().await.unwrap();
}
