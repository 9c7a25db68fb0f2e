//! How a conflict is settled. Pure.

use crate::{collection::FieldGroup, hlc::Hlc};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How conflicts in a collection, or in a group of fields, are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// What the server has stands: reference data, program data.
    ServerWins,
    /// What was written here stands: what a lifter lifted is never overwritten. A pending edit also
    /// beats a remote delete, whatever the clocks say.
    ClientWins,
    /// The later write stands, by hybrid logical clock and then by device id.
    LastWriteWins,
    /// The user decides; both versions are kept until then.
    Ask,
}

/// One of the two versions that met.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The body; `None` for a deletion.
    pub body: Option<&'a Map<String, Value>>,
    /// When it was written.
    pub hlc: Hlc,
    /// The installation that wrote it; decides between equal clocks.
    pub device_id: &'a str,
}

impl Side<'_> {
    fn later_than(&self, other: &Side<'_>) -> bool {
        (self.hlc, self.device_id) > (other.hlc, other.device_id)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Both sides say the same: what is unsent has arrived in effect.
    Same,
    /// The remote version stands, and the local one changed nothing against the base.
    TakeRemote,
    /// The remote version stands, and a local change is lost to it.
    LoseLocal,
    /// The local version stands on top of the remote one, which changed nothing against the base.
    KeepLocal,
    /// The local version stands on top of the remote one, whose change is lost to it.
    LoseRemote,
    /// This body stands on top of the remote one; both sides have a part in it.
    Merge(Map<String, Value>),
    /// The user decides.
    Ask,
}

/// Settles `local` against `remote`, which were both made on `base` (`None`: made apart).
///
/// With field groups each group is settled by its own policy and what is left over by the
/// collection's; a group that would ask makes the whole record ask. A deletion on either side is a
/// matter of the whole record.
pub fn plan(
    policy: Policy,
    groups: &[FieldGroup],
    base: Option<&Map<String, Value>>,
    local: Side<'_>,
    remote: Side<'_>,
) -> Action {
    if local.body == remote.body {
        return Action::Same;
    }
    if let (Some(base), Some(remote_body)) = (base, remote.body)
        && base == remote_body
    {
        return Action::KeepLocal;
    }
    if base.is_some() && base == local.body {
        return Action::TakeRemote;
    }
    let (Some(local_body), Some(remote_body)) = (local.body, remote.body) else {
        return settle_delete(policy, &local, &remote);
    };
    if groups.is_empty() {
        return match settle(policy, &local, &remote) {
            Winner::Local => Action::LoseRemote,
            Winner::Remote => Action::LoseLocal,
            Winner::User => Action::Ask,
        };
    }
    let empty = Map::new();
    merge(
        policy,
        groups,
        base.unwrap_or(&empty),
        (local_body, &local),
        (remote_body, &remote),
    )
}

enum Winner {
    Local,
    Remote,
    User,
}

fn settle(policy: Policy, local: &Side<'_>, remote: &Side<'_>) -> Winner {
    match policy {
        Policy::ServerWins => Winner::Remote,
        Policy::ClientWins => Winner::Local,
        Policy::LastWriteWins if local.later_than(remote) => Winner::Local,
        Policy::LastWriteWins => Winner::Remote,
        Policy::Ask => Winner::User,
    }
}

/// Delete against edit. The later one wins, except where the policy says whose word counts.
fn settle_delete(policy: Policy, local: &Side<'_>, remote: &Side<'_>) -> Action {
    let local_edit = local.body.is_some();
    let local_wins = match policy {
        Policy::Ask => return Action::Ask,
        Policy::ServerWins => false,
        Policy::ClientWins if local_edit => true,
        Policy::ClientWins | Policy::LastWriteWins => local.later_than(remote),
    };
    if local_wins {
        Action::LoseRemote
    } else {
        Action::LoseLocal
    }
}

fn merge(
    policy: Policy,
    groups: &[FieldGroup],
    base: &Map<String, Value>,
    (local_body, local): (&Map<String, Value>, &Side<'_>),
    (remote_body, remote): (&Map<String, Value>, &Side<'_>),
) -> Action {
    let grouped: BTreeSet<&str> = groups
        .iter()
        .flat_map(|group| &group.fields)
        .map(String::as_str)
        .collect();
    let all: BTreeSet<&str> = local_body
        .keys()
        .chain(remote_body.keys())
        .map(String::as_str)
        .collect();
    let left_over: BTreeSet<&str> = all.into_iter().filter(|field| !grouped.contains(field)).collect();
    let parts = groups
        .iter()
        .map(|group| {
            (
                group.policy,
                group.fields.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            )
        })
        .chain([(policy, left_over)]);
    let mut merged = Map::new();
    for (policy, fields) in parts {
        let same =
            |a: &Map<String, Value>, b: &Map<String, Value>| fields.iter().all(|field| a.get(*field) == b.get(*field));
        let from = if same(remote_body, base) || same(local_body, remote_body) {
            local_body
        } else if same(local_body, base) {
            remote_body
        } else {
            match settle(policy, local, remote) {
                Winner::Local => local_body,
                Winner::Remote => remote_body,
                Winner::User => return Action::Ask,
            }
        };
        for field in &fields {
            if let Some(value) = from.get(*field) {
                merged.insert((*field).to_owned(), value.clone());
            }
        }
    }
    if merged == *remote_body {
        Action::LoseLocal
    } else if merged == *local_body {
        Action::LoseRemote
    } else {
        Action::Merge(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn run(policy: Policy, base: Option<i64>, local: (Option<i64>, i64), remote: (Option<i64>, i64)) -> Action {
        let body = |n: Option<i64>| n.map(|n| object(json!({ "reps": n })));
        let (base, l, r) = (body(base), body(local.0), body(remote.0));
        let side = |body, ms, device_id| Side {
            body,
            hlc: Hlc::at(ms),
            device_id,
        };
        plan(
            policy,
            &[],
            base.as_ref(),
            side(l.as_ref(), local.1, "phone"),
            side(r.as_ref(), remote.1, "tablet"),
        )
    }

    #[test]
    fn policy_table() {
        use Action::{Ask as Asked, KeepLocal, LoseLocal, LoseRemote, Same, TakeRemote};
        use Policy::{Ask, ClientWins, LastWriteWins, ServerWins};
        let (early, late) = (1, 2);
        for policy in [ServerWins, ClientWins, LastWriteWins, Ask] {
            assert_eq!(
                run(policy, Some(1), (Some(2), late), (Some(2), early)),
                Same,
                "{policy:?}: equal bodies"
            );
            assert_eq!(
                run(policy, Some(1), (None, late), (None, early)),
                Same,
                "{policy:?}: both deleted"
            );
            assert_eq!(
                run(policy, Some(1), (Some(2), early), (Some(1), late)),
                KeepLocal,
                "{policy:?}: remote unchanged"
            );
            assert_eq!(
                run(policy, Some(1), (Some(1), late), (Some(2), early)),
                TakeRemote,
                "{policy:?}: local unchanged"
            );
        }
        let edits = |policy, local, remote| run(policy, Some(1), (Some(2), local), (Some(3), remote));
        let remote_delete = |policy, local, remote| run(policy, Some(1), (Some(2), local), (None, remote));
        let local_delete = |policy, local, remote| run(policy, Some(1), (None, local), (Some(3), remote));
        let table = [
            // policy, local later?, edit/edit, remote deleted, local deleted
            (ServerWins, true, LoseLocal, LoseLocal, LoseLocal),
            (ServerWins, false, LoseLocal, LoseLocal, LoseLocal),
            (ClientWins, true, LoseRemote, LoseRemote, LoseRemote),
            (ClientWins, false, LoseRemote, LoseRemote, LoseLocal),
            (LastWriteWins, true, LoseRemote, LoseRemote, LoseRemote),
            (LastWriteWins, false, LoseLocal, LoseLocal, LoseLocal),
            (Ask, true, Asked, Asked, Asked),
            (Ask, false, Asked, Asked, Asked),
        ];
        for (policy, local_later, edit, remote_gone, local_gone) in table {
            let (l, r) = if local_later { (late, early) } else { (early, late) };
            assert_eq!(
                edits(policy, l, r),
                edit,
                "{policy:?}, local later: {local_later}, edit/edit"
            );
            assert_eq!(
                remote_delete(policy, l, r),
                remote_gone,
                "{policy:?}, local later: {local_later}, remote deleted"
            );
            assert_eq!(
                local_delete(policy, l, r),
                local_gone,
                "{policy:?}, local later: {local_later}, local deleted"
            );
        }
    }

    #[test]
    fn equal_clocks_are_settled_by_device_id_the_same_way_on_both_sides() {
        let on_phone = run(Policy::LastWriteWins, None, (Some(1), 5), (Some(2), 5));
        assert_eq!(on_phone, Action::LoseLocal, "tablet is greater than phone");
    }

    #[test]
    fn two_records_made_apart_follow_the_policy() {
        assert_eq!(run(Policy::Ask, None, (Some(1), 1), (Some(2), 2)), Action::Ask);
        assert_eq!(
            run(Policy::ClientWins, None, (Some(1), 1), (Some(2), 2)),
            Action::LoseRemote
        );
    }

    #[test]
    fn field_groups_have_policies_of_their_own() {
        let groups = [
            FieldGroup {
                fields: BTreeSet::from(["planned".to_owned()]),
                policy: Policy::ServerWins,
            },
            FieldGroup {
                fields: BTreeSet::from(["weight".to_owned(), "reps".to_owned()]),
                policy: Policy::ClientWins,
            },
        ];
        let base = object(json!({"planned": 1, "weight": 10, "reps": 1, "note": "a"}));
        let local = object(json!({"planned": 2, "weight": 20, "reps": 1, "note": "a"}));
        let remote = object(json!({"planned": 3, "weight": 10, "reps": 2, "note": "b"}));
        let side = |body, ms| Side {
            body: Some(body),
            hlc: Hlc::at(ms),
            device_id: "d",
        };
        let action = plan(Policy::Ask, &groups, Some(&base), side(&local, 1), side(&remote, 2));
        // A weight and its reps never come from two devices; the note changed on one side only.
        let merged = object(json!({"planned": 3, "weight": 20, "reps": 1, "note": "b"}));
        assert_eq!(action, Action::Merge(merged));
        let clash = object(json!({"planned": 1, "weight": 10, "reps": 1, "note": "c"}));
        assert_eq!(
            plan(Policy::Ask, &groups, Some(&base), side(&clash, 1), side(&remote, 2)),
            Action::Ask
        );
    }
}
