//! What calls cost in Rust, without any binding: the yardstick of `scripts/cost`. One JSON object a line, medians in
//! microseconds; Kotlin's and Swift's benches measure the same calls in the same way.

use keepsync::{
    OpenOptions, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    record::{Mutation, Query},
};
use serde_json::json;
use std::{
    error::Error,
    io::Write,
    time::{Duration, Instant},
};

const WARM: usize = 500;
const ROUNDS: usize = 801;

fn body() -> String {
    format!(r#"{{"weight":100,"reps":5,"rpe":8.5,"note":"{}"}}"#, "x".repeat(120))
}

/// The median of many calls, after some that are not counted.
async fn measure(
    call: &str,
    mut once: impl AsyncFnMut(usize) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut took = Vec::with_capacity(ROUNDS);
    for n in 0..WARM + ROUNDS {
        let begin = Instant::now();
        once(n).await?;
        took.push(begin.elapsed());
    }
    tell(call, took.split_off(WARM))
}

fn tell(call: &str, mut took: Vec<Duration>) -> Result<(), Box<dyn Error>> {
    took.sort();
    let median = took[took.len() / 2].as_secs_f64() * 1e6;
    let line = json!({ "language": "rust", "call": call, "median_us": median, "rounds": took.len() });
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
        Collection::new("exercise", Policy::ServerWins),
        Collection::new("profile", Policy::LastWriteWins),
    ])?;
    let store = &Store::open(OpenOptions::new(folder.path(), "ada", collections), None).await?;
    let body = &body();
    store.start_session("workout", "set_log", "w", "{}").await?;
    let put = |n: usize| Mutation::Put {
        collection: "exercise".to_owned(),
        id: format!("e{n}"),
        body: body.clone(),
    };
    store.write_all((0..1_000).map(put).collect()).await?;
    store.kv_set("k", &"v".repeat(500)).await?;

    measure("get", async |n| {
        store.get("exercise", &format!("e{}", n % 1_000)).await?;
        Ok(())
    })
    .await?;
    measure("kv_get_500", async |_| {
        store.kv_get("k").await?;
        Ok(())
    })
    .await?;
    measure("page_100", async |_| {
        let page = store.query(Query::new("exercise").limit(100)).await?;
        match page.records.len() {
            100 => Ok(()),
            _ => Err("not a page of 100".into()),
        }
    })
    .await?;
    measure("log_set", async |n| {
        store
            .log_set("workout", "w", &format!("squat/{}", n % 20), body)
            .await?;
        Ok(())
    })
    .await?;
    measure("put", async |n| {
        store.put("profile", "p", &format!(r#"{{"m":{n}}}"#)).await?;
        Ok(())
    })
    .await?;

    // From the call to whoever listens.
    let mut feed = store.feed()?;
    let mut took = Vec::with_capacity(ROUNDS);
    for n in 0..ROUNDS {
        let begin = Instant::now();
        let body = format!(r#"{{"n":{n}}}"#);
        let (written, told) = tokio::join!(store.put("profile", "p", &body), async {
            let changes = feed.next().await;
            (changes, begin.elapsed())
        });
        written?;
        told.0?;
        took.push(told.1);
    }
    tell("put_to_listener", took)?;
    store.close().await?;
    Ok(())
}
