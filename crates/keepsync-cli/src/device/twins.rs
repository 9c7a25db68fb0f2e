//! `twins`: records that look like one and were made on different devices; what becomes of them.

use crate::{
    failure::{Exit, Failure},
    form::{RecordForm, compact, label_or, time},
    out::{Out, short},
};
use keepsync::{Store, record::Twins};
use serde::Serialize;

#[derive(Serialize)]
struct TwinsForm {
    collection: String,
    twins: Vec<TwinForm>,
}

#[derive(Serialize)]
struct TwinForm {
    #[serde(flatten)]
    record: RecordForm,
    made_by: String,
    made_by_device: String,
}

#[derive(Serialize)]
struct MergedForm {
    kept: String,
    deleted: String,
    moved: u64,
}

pub(super) async fn run(
    store: &Store,
    collection: String,
    merge: Option<Vec<String>>,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match merge.as_deref() {
        Some([keep, drop]) => {
            let moved = store.merge_into(&collection, keep, drop).await?;
            if out.json {
                out.object(&MergedForm {
                    kept: keep.clone(),
                    deleted: drop.clone(),
                    moved,
                })?;
            } else {
                out.line(&format!("{moved} moved to {keep}, {drop} deleted"))?;
            }
        }
        _ => list(&collection, &store.twins(&collection).await?, out)?,
    }
    Ok(Exit::Good)
}

fn list(collection: &str, groups: &[Twins], out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return groups.iter().try_for_each(|group| {
            out.object(&TwinsForm {
                collection: collection.to_owned(),
                twins: group
                    .iter()
                    .map(|twin| TwinForm {
                        record: RecordForm::from(&twin.record),
                        made_by: twin.made_by.clone(),
                        made_by_device: label_or(twin.made_by_label.as_ref(), &twin.made_by),
                    })
                    .collect(),
            })
        });
    }
    let mut rows: Vec<[String; 5]> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        rows.extend(group.iter().map(|twin| {
            [
                (at + 1).to_string(),
                twin.record.id.clone(),
                label_or(twin.made_by_label.as_ref(), &twin.made_by),
                time(twin.record.created_at),
                short(&compact(twin.record.body.as_deref().unwrap_or("")), 60),
            ]
        }));
    }
    out.table(["pair", "id", "made on", "created", "body"], &rows, "no twins")
}
