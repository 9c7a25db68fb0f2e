use super::*;
use serde_json::json;
use std::collections::BTreeSet;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn run(policy: &Policy, base: Option<i64>, local: (Option<i64>, i64), remote: (Option<i64>, i64)) -> Action {
    let body = |n: Option<i64>| n.map(|n| object(json!({ "reps": n })));
    let (base, l, r) = (body(base), body(local.0), body(remote.0));
    let side = |body, ms, device_id| Side {
        body,
        hlc: Hlc::at(ms),
        device_id,
        clocks: None,
    };
    plan(
        policy,
        &[],
        base.as_ref().map_or(Base::Apart, Base::Body),
        side(l.as_ref(), local.1, "phone"),
        side(r.as_ref(), remote.1, "tablet"),
    )
}

#[test]
fn policy_table() {
    use Action::{Ask as Asked, KeepLocal, LoseLocal, LoseRemote, Same, TakeRemote};
    use Policy::{Ask, ClientWins, LastWriteWins, ServerWins};
    let (early, late) = (1, 2);
    for policy in [
        ServerWins,
        ClientWins,
        LastWriteWins,
        Ask,
        Policy::Counter,
        Policy::custom("r"),
    ] {
        assert_eq!(
            run(&policy, Some(1), (Some(2), late), (Some(2), early)),
            Same,
            "{policy:?}: equal bodies"
        );
        assert_eq!(
            run(&policy, Some(1), (None, late), (None, early)),
            Same,
            "{policy:?}: both deleted"
        );
        assert_eq!(
            run(&policy, Some(1), (Some(2), early), (Some(1), late)),
            KeepLocal,
            "{policy:?}: remote unchanged"
        );
        assert_eq!(
            run(&policy, Some(1), (Some(1), late), (Some(2), early)),
            TakeRemote,
            "{policy:?}: local unchanged"
        );
    }
    let edits = |policy: &Policy, local, remote| run(policy, Some(1), (Some(2), local), (Some(3), remote));
    let remote_delete = |policy: &Policy, local, remote| run(policy, Some(1), (Some(2), local), (None, remote));
    let local_delete = |policy: &Policy, local, remote| run(policy, Some(1), (None, local), (Some(3), remote));
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
            edits(&policy, l, r),
            edit,
            "{policy:?}, local later: {local_later}, edit/edit"
        );
        assert_eq!(
            remote_delete(&policy, l, r),
            remote_gone,
            "{policy:?}, local later: {local_later}, remote deleted"
        );
        assert_eq!(
            local_delete(&policy, l, r),
            local_gone,
            "{policy:?}, local later: {local_later}, local deleted"
        );
    }
}

#[test]
fn equal_clocks_are_settled_by_device_id_the_same_way_on_both_sides() {
    let on_phone = run(&Policy::LastWriteWins, None, (Some(1), 5), (Some(2), 5));
    assert_eq!(on_phone, Action::LoseLocal, "tablet is greater than phone");
}

#[test]
fn two_records_made_apart_follow_the_policy() {
    assert_eq!(run(&Policy::Ask, None, (Some(1), 1), (Some(2), 2)), Action::Ask);
    assert_eq!(
        run(&Policy::ClientWins, None, (Some(1), 1), (Some(2), 2)),
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
        clocks: None,
    };
    let action = plan(
        &Policy::Ask,
        &groups,
        Base::Body(&base),
        side(&local, 1),
        side(&remote, 2),
    );
    // A weight and its reps never come from two devices; the note changed on one side only.
    let merged = object(json!({"planned": 3, "weight": 20, "reps": 1, "note": "b"}));
    let Action::Merge(found) = action else {
        panic!("{action:?}")
    };
    assert_eq!(found.body, merged);
    let clash = object(json!({"planned": 1, "weight": 10, "reps": 1, "note": "c"}));
    assert_eq!(
        plan(
            &Policy::Ask,
            &groups,
            Base::Body(&base),
            side(&clash, 1),
            side(&remote, 2)
        ),
        Action::Ask
    );
}
