//! How far a first sync is, told on standard error while it runs, for people.

use keepsync::{
    Store,
    first_sync::{CollectionProgress, FirstSyncProgress, FirstSyncState},
    store::Watch,
};
use std::{future::Future, io::Write as _};

/// Waits for `doing`, and tells of the first sync as often as a page comes. One that fits into a page is
/// not spoken of.
pub(super) async fn told<T>(store: &Store, doing: impl Future<Output = T>) -> T {
    let mut doing = std::pin::pin!(doing);
    let Ok(mut watch) = store.subscribe(Watch::first_sync()) else {
        return doing.await;
    };
    let mut last = String::new();
    loop {
        tokio::select! {
            done = &mut doing => return done,
            progress = watch.next() => {
                // It cannot be told what cannot be read; the sync itself says why.
                let Ok(progress) = progress else { return doing.await };
                if let Some(line) = line(&progress).filter(|line| *line != last) {
                    // Nowhere is left to say that it could not be said.
                    let _ = writeln!(std::io::stderr(), "keepsync: {line}");
                    last = line;
                }
            }
        }
    }
}

fn line(progress: &FirstSyncProgress) -> Option<String> {
    let total = progress
        .total
        .filter(|&total| progress.done > 0 && progress.done < total)?;
    let open = |it: &&CollectionProgress| it.total.is_some_and(|total| it.done < total);
    let left: Vec<String> = progress
        .collections
        .iter()
        .filter(open)
        .map(|it| format!("{} {} of {}", it.name, it.done, it.total.unwrap_or(it.done)))
        .collect();
    let stalled = if progress.state == FirstSyncState::Stalled {
        "; nothing more comes"
    } else {
        ""
    };
    Some(format!(
        "first sync: {} of {total} ({}){stalled}",
        progress.done,
        left.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, total: Option<u64>) -> FirstSyncProgress {
        let one = |name: &str, done, total| CollectionProgress {
            name: name.to_owned(),
            done,
            total,
            complete: false,
            required: false,
        };
        FirstSyncProgress {
            state: FirstSyncState::Running,
            may_continue: true,
            done,
            total,
            collections: vec![
                one("workout", 100, Some(100)),
                one("set_log", done - 100, total.map(|all| all - 100)),
            ],
        }
    }

    #[test]
    fn what_is_open_is_told_and_nothing_of_what_is_through_or_unknown() {
        let told = line(&progress(250, Some(600)));
        assert_eq!(told.as_deref(), Some("first sync: 250 of 600 (set_log 150 of 500)"));
        let stalled = FirstSyncProgress {
            state: FirstSyncState::Stalled,
            ..progress(250, Some(600))
        };
        assert!(line(&stalled).unwrap().ends_with("; nothing more comes"));
        assert_eq!(line(&progress(600, Some(600))), None);
        assert_eq!(line(&progress(250, None)), None);
    }
}
