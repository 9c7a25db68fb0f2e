//! `conflicts`: two versions that met, and the user's decision.
//!
//! A conflict is named `collection/id@version`; the version begins with that of the server's side and
//! changes with everything the user may have looked at. A resolution that names another than the current
//! one changes nothing, because what the user decided on is gone.

mod form;

use super::{json, records};
use crate::{
    args::{ConflictsVerb, Keep},
    failure::{Exit, Failure},
    form::{compact, time},
    out::{Out, short},
};
use form::{ConflictForm, here, name, there};
use keepsync::{
    Error, Store,
    conflict::{self, Conflict, Difference, Merged, Resolution},
};
use serde_json::Value;

pub(super) async fn run(store: &Store, verb: ConflictsVerb, out: &mut Out) -> Result<Exit, Failure> {
    match verb {
        ConflictsVerb::List => list(&store.conflicts().await?, out)?,
        ConflictsVerb::Show { conflict: name } => {
            let (conflict, _) = find(store.conflicts().await?, &name)?;
            show(&conflict, out)?;
        }
        ConflictsVerb::Resolve {
            conflict: name,
            keep,
            body,
        } => {
            let resolution = match (keep, body) {
                (Some(Keep::Local), _) => Resolution::KeepLocal,
                (Some(Keep::Remote), _) => Resolution::KeepRemote,
                (Some(Keep::Merge), _) => Resolution::MergeWith(Merged::default()),
                (None, Some(body)) => Resolution::Merge(json("--body", &body)?),
                (None, None) => return Err(Failure::usage("--keep or --body is needed")),
            };
            let (Conflict { collection, id, .. }, shown) = find(store.conflicts().await?, &name)?;
            let record = store
                .write(move |write| {
                    conflict::resolve(write, &collection, &id, &shown, &resolution)?;
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

/// The conflict that is named, and what was shown by that name. An id may itself end like one with a
/// version, so whole names go first.
fn find(conflicts: Vec<Conflict>, name: &str) -> Result<(Conflict, String), Failure> {
    let is = |conflict: &Conflict, key: &str| {
        let rest = key.strip_prefix(conflict.collection.as_str());
        rest.and_then(|rest| rest.strip_prefix('/')) == Some(conflict.id.as_str())
    };
    let with_version = name.rsplit_once('@');
    let whole = conflicts.iter().position(|conflict| is(conflict, name));
    let versioned = || {
        conflicts
            .iter()
            .position(|conflict| with_version.is_some_and(|(key, _)| is(conflict, key)))
    };
    let at = whole.or_else(versioned);
    let shown = with_version
        .filter(|_| whole.is_none())
        .map(|(_, shown)| shown.to_owned());
    let found = at.and_then(|at| conflicts.into_iter().nth(at));
    let conflict = found.ok_or_else(|| Error::NotFound {
        what: "conflict",
        id: name.to_owned(),
    })?;
    let shown = shown.unwrap_or_else(|| conflict.token.clone());
    Ok((conflict, shown))
}

fn list(conflicts: &[Conflict], out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return conflicts
            .iter()
            .try_for_each(|conflict| out.object(&ConflictForm::from(conflict)));
    }
    let rows: Vec<[String; 4]> = conflicts
        .iter()
        .map(|conflict| {
            [
                name(conflict),
                time(conflict.local_at),
                time(conflict.remote_at),
                there(conflict),
            ]
        })
        .collect();
    out.table(
        ["conflict", "changed here", "changed there", "there"],
        &rows,
        "no conflicts",
    )
}

fn show(conflict: &Conflict, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return out.object(&ConflictForm::from(conflict));
    }
    let text = |body: &Option<String>, none: &str| body.as_deref().map_or_else(|| none.to_owned(), compact);
    out.pairs(&[
        ("conflict", name(conflict)),
        ("here", format!("{}, {}", here(conflict), time(conflict.local_at))),
        ("local", text(&conflict.local, "deleted")),
        ("there", format!("{}, {}", there(conflict), time(conflict.remote_at))),
        ("remote", text(&conflict.remote, "deleted")),
        ("base", text(&conflict.base, "none")),
        ("merged", text(&conflict.proposal.body, "deleted")),
    ])?;
    let rows: Vec<[String; 5]> = conflict.difference.iter().map(|it| row(conflict, it)).collect();
    out.line("")?;
    out.table(["field", "base", "here", "there", "merged"], &rows, "no field differs")?;
    if rows.iter().any(|row| row[4].ends_with('?')) {
        out.line("? both sides changed it: merged is the later one's")?;
    }
    Ok(())
}

fn row(conflict: &Conflict, it: &Difference) -> [String; 5] {
    let key = (it.collection.clone(), it.id.clone());
    let child = conflict
        .children
        .iter()
        .find(|child| (&child.collection, &child.id) == (&key.0, &key.1));
    let record = child.map_or("", |child| child.slot.as_deref().unwrap_or(&child.id));
    let field = match (record, it.path.as_str()) {
        ("", "") => "(all)".to_owned(),
        ("", path) => path.to_owned(),
        (record, path) => format!("{record} {path}").trim_end().to_owned(),
    };
    let value = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), |value| short(&value.to_string(), 24));
    let merged: Option<Value> = conflict
        .proposal_of(&key)
        .and_then(|body| serde_json::from_str(body).ok());
    let mut merged = value(merged.as_ref().and_then(|body| at_path(body, &it.path)));
    let contested = conflict.proposal.contested.iter().any(|contested| {
        let inside = it.path.strip_prefix(contested.path.as_str());
        (&contested.collection, &contested.id) == (&it.collection, &it.id)
            && inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if contested {
        merged.push('?');
    }
    [
        field,
        value(it.base.as_ref()),
        value(it.local.as_ref()),
        value(it.remote.as_ref()),
        merged,
    ]
}

/// As a JSON pointer, but an element of a list with ids is named by its id.
fn at_path<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(body, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match value {
            Value::Array(list) => list.iter().find(|element| {
                let named = match &element["id"] {
                    Value::String(id) => id.clone(),
                    id => id.to_string(),
                };
                named == step
            }),
            value => value.get(&step),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_through_lists_by_id() {
        let body = json!({"a/b": {"sets": [{"id": 1, "reps": 5}, {"id": "x", "reps": 6}]}});
        assert_eq!(at_path(&body, "/a~1b/sets/x/reps"), Some(&json!(6)));
        assert_eq!(at_path(&body, "/a~1b/sets/1/reps"), Some(&json!(5)));
        assert_eq!(at_path(&body, ""), Some(&body));
        assert_eq!(at_path(&body, "/a~1b/sets/2"), None);
    }
}
