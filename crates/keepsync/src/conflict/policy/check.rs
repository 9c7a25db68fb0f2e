//! Which policies make sense together: what is looked at when collections are registered. Pure.

use super::Policy;
use crate::collection::{FieldGroup, check_field};
use std::collections::BTreeSet;

/// Says what is wrong with a collection's policies, if anything is, naming the field.
pub(crate) fn check(policy: &Policy, groups: &[FieldGroup]) -> std::result::Result<(), String> {
    let mut grouped: BTreeSet<&str> = BTreeSet::new();
    for group in groups {
        if group.fields.is_empty() {
            return Err("a group has no field".to_owned());
        }
        for field in &group.fields {
            named(field)?;
            if !grouped.insert(field) {
                return Err(format!("field {field:?} is in two groups"));
            }
        }
    }
    for group in groups {
        let own = |field: &str| group.fields.contains(field);
        one(&group.policy, &own, "is not in the group")?;
        if let Policy::Custom(_) = group.policy {
            let field = group.fields.first().map_or("", String::as_str);
            return Err(format!(
                "field {field:?}: a resolver settles whole records, not a group"
            ));
        }
    }
    if let (Policy::Custom(_), Some(field)) = (policy, grouped.first()) {
        return Err(format!(
            "field {field:?}: a resolver settles whole records, so there can be no group"
        ));
    }
    one(
        policy,
        &|field| !grouped.contains(field),
        "has a policy of its own in a group",
    )
}

fn named(field: &str) -> std::result::Result<(), String> {
    check_field(field).map_err(|problem| format!("field {field:?}: {problem}"))
}

/// `own` says whether a field is the policy's to settle; `problem` what is wrong if it is not.
fn one(policy: &Policy, own: &dyn Fn(&str) -> bool, problem: &str) -> std::result::Result<(), String> {
    let theirs = |field: &str| match own(field) {
        true => Ok(()),
        false => Err(format!("{}: field {field:?} {problem}", policy.as_str())),
    };
    match policy {
        Policy::LatestOf(field) if field.is_empty() => Err("latest_of names no field".to_owned()),
        Policy::LatestOf(field) => named(field).and_then(|()| theirs(field)),
        Policy::LwwPer(key) => named(key),
        Policy::MergeMax(path) if path.is_empty() => Ok(()),
        Policy::MergeMax(path) => {
            if path.split('.').any(str::is_empty) {
                return Err(format!("merge_max: path {path:?} has an empty step"));
            }
            match path.split('.').next() {
                Some(field) if field != "*" => named(field).and_then(|()| theirs(field)),
                _ => Ok(()),
            }
        }
        Policy::MergeFields(groups) => {
            let mut seen = BTreeSet::new();
            for group in groups {
                if group.is_empty() {
                    return Err("merge_fields: a group has no field".to_owned());
                }
                for field in group {
                    named(field)?;
                    theirs(field)?;
                    if !seen.insert(field) {
                        return Err(format!("field {field:?} is in two groups"));
                    }
                }
            }
            Ok(())
        }
        Policy::Custom(name) if name.is_empty() => Err("custom names no resolver".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group<const N: usize>(fields: [&str; N], policy: Policy) -> FieldGroup {
        FieldGroup {
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            policy,
        }
    }

    #[test]
    fn policies_that_cannot_work_are_refused_by_the_name_of_their_field() {
        let table = [
            (Policy::latest_of(""), vec![], "latest_of names no field"),
            (Policy::latest_of("a b"), vec![], "field \"a b\""),
            (
                Policy::latest_of("at"),
                vec![group(["at"], Policy::ServerWins)],
                "latest_of: field \"at\" has a policy of its own",
            ),
            (
                Policy::Ask,
                vec![group(["x"], Policy::latest_of("at"))],
                "latest_of: field \"at\" is not in the group",
            ),
            (Policy::lww_per(""), vec![], "field \"\""),
            (Policy::merge_max("a..b"), vec![], "empty step"),
            (
                Policy::Ask,
                vec![group(["x"], Policy::merge_max("y.*"))],
                "merge_max: field \"y\" is not in the group",
            ),
            (
                Policy::merge_fields([["a", "b"], ["c", "a"]]),
                vec![],
                "field \"a\" is in two groups",
            ),
            (Policy::MergeFields(vec![BTreeSet::new()]), vec![], "has no field"),
            (Policy::merge_fields([["a'"]]), vec![], "field \"a'\""),
            (Policy::custom(""), vec![], "names no resolver"),
            (
                Policy::Ask,
                vec![group(["x"], Policy::custom("r"))],
                "field \"x\": a resolver",
            ),
            (
                Policy::custom("r"),
                vec![group(["x"], Policy::Ask)],
                "field \"x\": a resolver",
            ),
            (Policy::Ask, vec![group([], Policy::Ask)], "a group has no field"),
            (
                Policy::Ask,
                vec![group(["x"], Policy::Ask), group(["x"], Policy::Counter)],
                "field \"x\" is in two groups",
            ),
        ];
        for (policy, groups, problem) in table {
            let found = check(&policy, &groups).unwrap_err();
            assert!(found.contains(problem), "{policy:?} {groups:?}: {found}");
        }
    }

    #[test]
    fn policies_that_work_are_taken() {
        let session = [
            group(["schedule"], Policy::ServerWins),
            group(["sets"], Policy::ClientWins),
            group(["logged_at", "result"], Policy::latest_of("logged_at")),
            group(["tags"], Policy::Ask),
            group(["done"], Policy::Counter),
            group(["best"], Policy::merge_max("best.*")),
            group(["a", "b"], Policy::merge_fields([["a", "b"]])),
        ];
        for policy in [
            Policy::Ask,
            Policy::LastWriteWins,
            Policy::merge_max(""),
            Policy::merge_max("*.sets"),
            Policy::lww_per("day"),
        ] {
            assert_eq!(check(&policy, &session), Ok(()), "{policy:?}");
        }
    }
}
