use super::*;
use uuid::Uuid;

fn item() -> SyncItem {
    SyncItem {
        op_id: Uuid::from_u128(1),
        entity_type: "note".to_owned(),
        entity_id: "n".to_owned(),
        operation: Operation::Update,
        data: serde_json::value::RawValue::from_string("{}".to_owned()).ok(),
        version: 2,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        timestamp: 0,
        hlc: Hlc::default(),
        clocks: None,
    }
}

fn facts(version: i64) -> Facts {
    let current = (version > 0).then(|| Version {
        data: None,
        version,
        hlc: Hlc::default(),
        clocks: None,
        op_id: None,
        device_id: String::new(),
        device_label: None,
        server_id: None,
        created_at: 5,
        updated_at: 6,
    });
    Facts {
        after_applied: true,
        current,
        ..Facts::default()
    }
}

fn told(item: &SyncItem, refusal: Option<&Refusal>, facts: Facts) -> String {
    match decide(item, &fingerprint(item), refusal, facts) {
        Decision::Answer(answer) => answer.code.unwrap_or_else(|| format!("again {}", answer.change)),
        Decision::Apply { version, created_at } => format!("apply {version} {created_at:?}"),
    }
}

#[test]
fn each_fact_has_its_outcome_and_the_earlier_one_wins() {
    let refusal = Refusal {
        code: code::VALIDATION,
        message: String::new(),
    };
    let mut chained = item();
    chained.base_op = Some(Uuid::from_u128(9));
    let mut meant = item();
    meant.base_id = Some(Uuid::from_u128(7));
    let mut meant_and_chained = chained.clone();
    meant_and_chained.base_id = Some(Uuid::from_u128(7));
    let mut first = item();
    first.version = 0;
    let remembered = |fingerprint| Facts {
        remembered: Some(Remembered {
            fingerprint,
            version: 3,
            change: 7,
            updated_at: 8,
        }),
        ..Facts::default()
    };
    let blocked = Facts {
        after_applied: false,
        ..facts(2)
    };
    let earlier = |facts| Facts {
        earlier: remembered([0; 32]).remembered,
        ..facts
    };
    let made_by = |op, version| {
        let mut facts = facts(version);
        if let Some(current) = &mut facts.current {
            current.op_id = Some(Uuid::from_u128(op));
        }
        facts
    };
    let produced = |version, current| Facts {
        produced: Some(version),
        ..facts(current)
    };
    let floored = |current| Facts {
        floor: 40,
        ..facts(current)
    };
    let cases = [
        (
            told(&item(), Some(&refusal), remembered(fingerprint(&item()))),
            "again 7",
        ),
        (told(&item(), Some(&refusal), remembered([0; 32])), code::OP_REUSED),
        (told(&item(), Some(&refusal), blocked.clone()), code::VALIDATION),
        (told(&item(), None, blocked), code::BLOCKED),
        (told(&chained, None, facts(2)), code::BLOCKED),
        (told(&chained, None, produced(2, 2)), "apply 3 Some(5)"),
        (told(&chained, None, produced(1, 2)), code::VERSION_MISMATCH),
        (told(&item(), None, facts(2)), "apply 3 Some(5)"),
        (told(&item(), None, facts(3)), code::VERSION_MISMATCH),
        (told(&item(), None, facts(0)), code::VERSION_MISMATCH),
        (told(&first, None, facts(0)), "apply 1 None"),
        (told(&first, None, floored(0)), "apply 41 None"),
        (told(&item(), None, floored(2)), "apply 3 Some(5)"),
        // The number alone does not say which version is meant, once a server was restored.
        (told(&meant, None, made_by(7, 2)), "apply 3 Some(5)"),
        (told(&meant, None, made_by(8, 2)), code::VERSION_MISMATCH),
        (told(&meant, None, made_by(7, 3)), code::VERSION_MISMATCH),
        (told(&meant, None, facts(2)), "apply 3 Some(5)"),
        (told(&item(), None, made_by(8, 2)), "apply 3 Some(5)"),
        (
            told(
                &meant_and_chained,
                None,
                Facts {
                    produced: Some(2),
                    ..made_by(8, 2)
                },
            ),
            "apply 3 Some(5)",
        ),
        // Applied before under another id, whatever else is wrong with it now.
        (told(&item(), Some(&refusal), earlier(facts(5))), "again 7"),
    ];
    for (at, (told, wanted)) in cases.iter().enumerate() {
        assert_eq!(told, wanted, "case {at}");
    }
}

#[test]
fn a_fingerprint_tells_apart_what_must_be_the_same_and_nothing_else() {
    let changes: [fn(&mut SyncItem); 7] = [
        |it| it.entity_type.push('s'),
        |it| it.entity_id.push('s'),
        |it| it.operation = Operation::Create,
        |it| it.data = None,
        |it| it.data = serde_json::value::RawValue::from_string("{ }".to_owned()).ok(),
        |it| it.version = 3,
        |it| it.base_op = Some(Uuid::from_u128(1)),
    ];
    let changed = changes.map(|change| {
        let mut item = item();
        change(&mut item);
        fingerprint(&item)
    });
    let mut all = changed.to_vec();
    all.push(fingerprint(&item()));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8);
    let mut same = item();
    same.after.push(Uuid::from_u128(3));
    // A repeat may come with these or without.
    (same.base_id, same.earlier) = (Some(Uuid::from_u128(4)), vec![Uuid::from_u128(5)]);
    (same.timestamp, same.hlc) = (9, Hlc::at(9));
    assert_eq!(fingerprint(&same), fingerprint(&item()));
    // With a base operation the number is not looked at.
    let with_base = |version| {
        let mut item = item();
        (item.version, item.base_op) = (version, Some(Uuid::from_u128(1)));
        fingerprint(&item)
    };
    assert_eq!(with_base(1), with_base(2));
}
