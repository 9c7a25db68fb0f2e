//! One conflict of each policy: the same record is written on the phone in the air and on the tablet on the
//! ground, and what then stands on both is compared with what the policy's rule says.
//!
//! 1. Both devices know every record ([`Rule::base`]).
//! 2. The phone has no network. The tablet writes its side, and the server has it; where the phone's side
//!    is the later one by the rule, the phone writes after that, otherwise before.
//! 3. The phone lands. What a policy can settle is settled; what asks is decided for the phone's side.
//! 4. Both devices are synced and must show [`Rule::stands`].

use super::{
    hand::Hand,
    order::{How, Order, Shown, State},
    play::Play,
    tally::Edit,
};
use crate::failure::Failure;
use keepsync_proxy::Fault;
use serde_json::Value;

/// Whose side is written later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Later {
    Phone,
    Tablet,
}

/// One policy, and a conflict that shows it.
struct Rule {
    policy: &'static str,
    collection: &'static str,
    base: &'static str,
    phone: &'static str,
    tablet: &'static str,
    later: Later,
    stands: &'static str,
    /// For a person: what was written, and what stands.
    why: &'static str,
}

const ID: &str = "rule";
const LIBRARY: &str = "exercise";

const RULES: [Rule; 9] = [
    Rule {
        policy: "ask",
        collection: "progression",
        base: r#"{"squat":100}"#,
        phone: r#"{"squat":105}"#,
        tablet: r#"{"squat":102.5}"#,
        later: Later::Tablet,
        stands: r#"{"squat":105}"#,
        why: "squat 105 on the phone, 102.5 on the tablet: the user was asked, and kept 105",
    },
    Rule {
        policy: "server_wins",
        collection: LIBRARY,
        base: r#"{"name":"Zercher squat","level":"expert"}"#,
        phone: r#"{"name":"Zercher squat","level":"beginner"}"#,
        tablet: r#"{"name":"Zercher squat","level":"intermediate"}"#,
        later: Later::Phone,
        stands: r#"{"name":"Zercher squat","level":"intermediate"}"#,
        why: "a level changed on both: the server's stands, though the phone's was later",
    },
    Rule {
        policy: "client_wins",
        collection: "task",
        base: r#"{"text":"count plates","isCompleted":false}"#,
        phone: r#"{"text":"count plates","isCompleted":true}"#,
        tablet: r#"{"text":"count the plates","isCompleted":false}"#,
        later: Later::Tablet,
        stands: r#"{"text":"count plates","isCompleted":true}"#,
        why: "done on the phone, renamed on the tablet later: the phone's, which was in the field",
    },
    Rule {
        policy: "last_write_wins",
        collection: "user_profile",
        base: r#"{"unit":"kg"}"#,
        phone: r#"{"unit":"lb"}"#,
        tablet: r#"{"unit":"stone"}"#,
        later: Later::Phone,
        stands: r#"{"unit":"lb"}"#,
        why: "pounds on the phone, stone on the tablet: the later, pounds",
    },
    Rule {
        policy: "latest_of",
        collection: "session_log",
        base: r#"{"rpe":7,"logged_at":"2025-01-01T10:00:00Z"}"#,
        phone: r#"{"rpe":8,"logged_at":"2025-01-01T12:30:00Z"}"#,
        tablet: r#"{"rpe":9,"logged_at":"2025-01-01T13:00:00+02:00"}"#,
        later: Later::Tablet,
        stands: r#"{"rpe":8,"logged_at":"2025-01-01T12:30:00Z"}"#,
        why: "effort 8 logged at 12:30 UTC, 9 logged at 11:00: the one logged later, 8",
    },
    Rule {
        policy: "lww_per",
        collection: "recovery",
        base: r#"{"2025-01-01":{"sleep":7},"2025-01-02":{"sleep":6}}"#,
        phone: r#"{"2025-01-01":{"sleep":8},"2025-01-02":{"sleep":6}}"#,
        tablet: r#"{"2025-01-01":{"sleep":7},"2025-01-02":{"sleep":5}}"#,
        later: Later::Tablet,
        stands: r#"{"2025-01-01":{"sleep":8},"2025-01-02":{"sleep":5}}"#,
        why: "Wednesday changed on the phone, Thursday on the tablet: both",
    },
    Rule {
        policy: "merge_max",
        collection: "volume",
        base: r#"{"muscleGroups":{"chest":{"sets":10},"back":{"sets":8}}}"#,
        phone: r#"{"muscleGroups":{"chest":{"sets":14},"back":{"sets":9}}}"#,
        tablet: r#"{"muscleGroups":{"chest":{"sets":12},"back":{"sets":11}}}"#,
        later: Later::Tablet,
        stands: r#"{"muscleGroups":{"chest":{"sets":14},"back":{"sets":11}}}"#,
        why: "chest 14 and back 9, chest 12 and back 11: 14 and 11",
    },
    Rule {
        policy: "counter",
        collection: "tally",
        base: r#"{"workouts":100}"#,
        phone: r#"{"workouts":103}"#,
        tablet: r#"{"workouts":102}"#,
        later: Later::Tablet,
        stands: r#"{"workouts":105}"#,
        why: "100 workouts, 3 more on the phone and 2 more on the tablet: 105",
    },
    Rule {
        policy: "merge_fields",
        collection: "body_metric",
        base: r#"{"waist":80,"height":180}"#,
        phone: r#"{"waist":81,"height":180}"#,
        tablet: r#"{"waist":80,"height":181}"#,
        later: Later::Tablet,
        stands: r#"{"waist":81,"height":181}"#,
        why: "waist changed on the phone, height on the tablet: both",
    },
];

/// What came of one.
pub(super) struct Settled {
    pub(super) policy: &'static str,
    pub(super) collection: &'static str,
    pub(super) why: &'static str,
    /// What stands on both devices is what the rule says.
    pub(super) good: bool,
}

impl Play<'_> {
    pub(super) async fn rules(&mut self) -> Result<Vec<Settled>, Failure> {
        for rule in &RULES {
            write(&mut self.tablet, rule.collection, rule.base).await?;
            // What the phone sends over the tablet's version is what the rule says.
            self.tally.edits.push(Edit::new("phone", rule.collection, ID, 2));
        }
        self.tablet.synced().await?;
        self.phone.synced().await?;
        self.phone.air.always(Some(Fault::Refuse));
        let () = self.phone.ask(&Order::Network { there: false }).await?;
        for rule in RULES.iter().filter(|rule| rule.later == Later::Tablet) {
            write(&mut self.phone, rule.collection, rule.phone).await?;
        }
        for rule in &RULES {
            write(&mut self.tablet, rule.collection, rule.tablet).await?;
        }
        self.tablet.synced().await?;
        for rule in RULES.iter().filter(|rule| rule.later == Later::Phone) {
            write(&mut self.phone, rule.collection, rule.phone).await?;
        }
        self.phone.air.always(None);
        let () = self.phone.ask(&Order::Network { there: true }).await?;
        for rule in RULES.iter().filter(|rule| rule.policy == "ask") {
            self.keep_phones(rule.collection).await?;
        }
        self.phone.synced().await?;
        self.tablet.synced().await?;
        self.phone.synced().await?;
        let mut settled = Vec::new();
        for rule in &RULES {
            let stands: Value = serde_json::from_str(rule.stands).unwrap_or_default();
            let phone = shown(&mut self.phone, rule.collection).await?;
            let tablet = shown(&mut self.tablet, rule.collection).await?;
            settled.push(Settled {
                policy: rule.policy,
                collection: rule.collection,
                why: rule.why,
                good: phone.as_ref() == Some(&stands) && tablet.as_ref() == Some(&stands),
            });
        }
        // The library is to be as it is on paper.
        let (collection, id) = (LIBRARY.to_owned(), ID.to_owned());
        let _: String = self.tablet.ask(&Order::Delete { collection, id }).await?;
        self.tablet.synced().await?;
        self.phone.synced().await?;
        Ok(settled)
    }

    async fn keep_phones(&mut self, collection: &str) -> Result<(), Failure> {
        let met = |state: &State| state.conflicts.iter().any(|conflict| conflict.id == ID);
        let state = self.phone.until("the conflict shows", met).await?;
        let Some(conflict) = state.conflicts.into_iter().find(|conflict| conflict.id == ID) else {
            return Err(Failure::new("conflict", "it is gone again"));
        };
        let order = Order::Resolve {
            collection: collection.to_owned(),
            id: ID.to_owned(),
            token: conflict.token,
            how: How::KeepLocal,
        };
        let _: Shown = self.phone.ask(&order).await?;
        Ok(())
    }
}

async fn write(hand: &mut Hand, collection: &str, body: &str) -> Result<(), Failure> {
    let order = Order::PutAll {
        collection: collection.to_owned(),
        records: vec![(ID.to_owned(), body.to_owned())],
    };
    let _: usize = hand.ask(&order).await?;
    Ok(())
}

async fn shown(hand: &mut Hand, collection: &str) -> Result<Option<Value>, Failure> {
    let (collection, id) = (collection.to_owned(), ID.to_owned());
    let shown: Option<Shown> = hand.ask(&Order::Get { collection, id }).await?;
    Ok(shown.map(|shown| shown.body))
}
