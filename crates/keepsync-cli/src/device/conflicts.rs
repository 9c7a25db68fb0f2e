//! `conflicts`: two versions that met, and the user's decision.
//!
//! A conflict is named `collection/id@version`; the version is that of the server's side. A resolution
//! that names another than the current one changes nothing, because what the user decided on is gone.

use super::{Named, json, records};
use crate::{
    args::{ConflictsVerb, Keep},
    failure::{Exit, Failure},
    form::{ConflictForm, compact, remote_device, time},
    out::Out,
};
use keepsync::{
    Error, Store,
    conflict::{self, Conflict, Resolution},
};

pub(super) async fn run(store: &Store, named: &Named, verb: ConflictsVerb, out: &mut Out) -> Result<Exit, Failure> {
    let label = named.place.label.clone().filter(|label| !label.is_empty());
    let here = label.unwrap_or_else(|| store.device_id().to_owned());
    match verb {
        ConflictsVerb::List => list(&store.conflicts().await?, &here, out)?,
        ConflictsVerb::Show { conflict: name } => {
            let (conflict, _) = find(store.conflicts().await?, &name)?;
            show(&conflict, &here, out)?;
        }
        ConflictsVerb::Resolve {
            conflict: name,
            keep,
            body,
        } => {
            let resolution = match (keep, body) {
                (Some(Keep::Local), _) => Resolution::KeepLocal,
                (Some(Keep::Remote), _) => Resolution::KeepRemote,
                (None, Some(body)) => Resolution::Merge(json("--body", &body)?),
                (None, None) => return Err(Failure::usage("--keep or --body is needed")),
            };
            let (Conflict { collection, id, .. }, shown) = find(store.conflicts().await?, &name)?;
            let record = store
                .write(move |write| {
                    conflict::resolve(write, &collection, &id, shown, &resolution)?;
                    write.read().record(&collection, &id)
                })
                .await?;
            if let Some(record) = record {
                records::show(&record, out)?;
            }
        }
    }
    Ok(Exit::Good)
}

/// The conflict that is named, and the server's version it is named with. An id may itself end like
/// one with a version, so whole names go first.
fn find(conflicts: Vec<Conflict>, name: &str) -> Result<(Conflict, i64), Failure> {
    let is = |conflict: &Conflict, key: &str| {
        let rest = key.strip_prefix(conflict.collection.as_str());
        rest.and_then(|rest| rest.strip_prefix('/')) == Some(conflict.id.as_str())
    };
    let with_version = name
        .rsplit_once('@')
        .and_then(|(key, version)| Some((key, version.parse::<i64>().ok()?)));
    for conflict in conflicts {
        if is(&conflict, name) {
            let current = conflict.remote_version;
            return Ok((conflict, current));
        }
        if let Some((key, version)) = with_version
            && is(&conflict, key)
        {
            return Ok((conflict, version));
        }
    }
    Err(Error::NotFound {
        what: "conflict",
        id: name.to_owned(),
    }
    .into())
}

fn list(conflicts: &[Conflict], here: &str, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return conflicts
            .iter()
            .try_for_each(|conflict| out.object(&ConflictForm::new(conflict, here)));
    }
    let rows: Vec<[String; 4]> = conflicts
        .iter()
        .map(|conflict| {
            [
                name(conflict),
                time(conflict.local_at),
                time(conflict.remote_at),
                remote_device(conflict),
            ]
        })
        .collect();
    out.table(
        ["conflict", "changed here", "changed there", "there"],
        &rows,
        "no conflicts",
    )
}

fn name(conflict: &Conflict) -> String {
    format!("{}/{}@{}", conflict.collection, conflict.id, conflict.remote_version)
}

fn show(conflict: &Conflict, here: &str, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return out.object(&ConflictForm::new(conflict, here));
    }
    let text = |body: &Option<String>, none: &str| body.as_deref().map_or_else(|| none.to_owned(), compact);
    out.pairs(&[
        ("conflict", name(conflict)),
        ("here", format!("{here}, {}", time(conflict.local_at))),
        ("local", text(&conflict.local, "deleted")),
        (
            "there",
            format!("{}, {}", remote_device(conflict), time(conflict.remote_at)),
        ),
        ("remote", text(&conflict.remote, "deleted")),
        ("base", text(&conflict.base, "none")),
    ])
}
