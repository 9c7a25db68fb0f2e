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

/// Versions whose clocks are told, of a collection some of which goes by clocks.
fn told(policy: &Policy, base: Option<i64>, local: (Option<i64>, i64), remote: (Option<i64>, i64)) -> Action {
    let groups = [FieldGroup {
        fields: BTreeSet::from(["other".to_owned()]),
        policy: Policy::LastWriteWins,
    }];
    let body = |n: Option<i64>| n.map(|n| object(json!({ "reps": n })));
    let (base, l, r) = (body(base), body(local.0), body(remote.0));
    let none = Clocks::default();
    let side = |body, ms, device_id| Side {
        body,
        hlc: if ms == 0 { Hlc::default() } else { Hlc::at(ms) },
        device_id,
        clocks: Some(&none),
    };
    plan(
        policy,
        &groups,
        base.as_ref().map_or(Base::Apart, Base::Body),
        side(l.as_ref(), local.1, "phone"),
        side(
            r.as_ref(),
            remote.1,
            if local.1 == remote.1 { "phone" } else { "tablet" },
        ),
    )
}

#[test]
fn with_clocks_told_a_deletion_is_settled_by_them_or_by_what_was_changed() {
    use Action::{Ask as Asked, KeepLocal, LoseLocal, LoseRemote, Same, TakeRemote};
    use Policy::{Ask, LastWriteWins};
    let table = [
        // (policy, base, ours, theirs, expected)
        (LastWriteWins, Some(1), (None, 5), (None, 9), Same),
        (LastWriteWins, Some(1), (None, 9), (None, 5), KeepLocal),
        (LastWriteWins, Some(1), (None, 9), (None, 0), Same),
        (Ask, Some(1), (None, 9), (None, 5), Same),
        (LastWriteWins, Some(1), (None, 5), (Some(1), 9), LoseLocal),
        (LastWriteWins, Some(1), (None, 9), (Some(1), 5), LoseRemote),
        (LastWriteWins, Some(1), (Some(1), 9), (None, 5), LoseRemote),
        (LastWriteWins, Some(1), (Some(1), 5), (None, 9), LoseLocal),
        (LastWriteWins, Some(1), (None, 5), (Some(2), 5), LoseLocal),
        (Ask, Some(1), (None, 5), (Some(1), 9), KeepLocal),
        (Ask, Some(1), (Some(1), 9), (None, 5), TakeRemote),
        (Ask, Some(1), (None, 5), (Some(2), 9), Asked),
        (Ask, Some(1), (Some(2), 9), (None, 5), Asked),
    ];
    for (policy, base, ours, theirs, expected) in table {
        assert_eq!(
            told(&policy, base, ours, theirs),
            expected,
            "{policy:?} {base:?} {ours:?} {theirs:?}"
        );
    }
}

#[test]
fn with_clocks_told_the_later_write_stands_and_loses_nothing_that_was_not_written() {
    use Action::{KeepLocal, LoseLocal, LoseRemote, Same, TakeRemote};
    let table = [
        (Some(1), (Some(2), 9), (Some(1), 5), KeepLocal),
        (Some(1), (Some(2), 9), (Some(2), 5), KeepLocal),
        (Some(1), (Some(2), 9), (Some(3), 5), LoseRemote),
        (Some(1), (Some(2), 5), (Some(3), 9), LoseLocal),
        (Some(1), (Some(1), 5), (Some(3), 9), TakeRemote),
        (Some(1), (Some(2), 5), (Some(2), 9), Same),
    ];
    for (base, ours, theirs, expected) in table {
        let found = told(&Policy::LastWriteWins, base, ours, theirs);
        assert_eq!(found, expected, "{base:?} {ours:?} {theirs:?}");
    }
}
