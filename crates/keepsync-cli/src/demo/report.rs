//! What came of it: a table for people, or one JSON object.

use super::{
    check::{Column, Findings},
    rules::Settled,
    tally::Tally,
};
use crate::{failure::Failure, out::Out};
use keepsync_proxy::Counts;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};

pub(super) struct Report<'a> {
    pub(super) seed: u64,
    pub(super) findings: &'a Findings,
    pub(super) tally: &'a Tally,
    /// One conflict of each policy.
    pub(super) settled: &'a [Settled],
    /// Of the phone's and the tablet's air.
    pub(super) counts: [Counts; 2],
    pub(super) took: Duration,
    /// Where the files are, if they were to be kept.
    pub(super) kept: Option<&'a Path>,
}

impl Report<'_> {
    pub(super) fn good(&self) -> bool {
        self.findings.good() && self.settled.iter().all(|settled| settled.good)
    }

    fn requests(&self) -> u64 {
        self.counts.iter().map(|counts| counts.requests).sum()
    }

    /// Requests without an answer of the server's: each was made again.
    fn retries(&self) -> u64 {
        let canned = ["503", "429", "captive portal"];
        let of = |counts: &Counts| {
            let in_place: u64 = canned.iter().filter_map(|name| counts.faults.get(name)).sum();
            counts.requests.saturating_sub(counts.answered) + in_place
        };
        self.counts.iter().map(of).sum()
    }

    fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut faults = BTreeMap::new();
        for (&name, &count) in self.counts.iter().flat_map(|counts| &counts.faults) {
            *faults.entry(name).or_default() += count;
        }
        faults
    }

    pub(super) fn print(&self, out: &mut Out) -> Result<(), Failure> {
        if out.json {
            out.object(&self.json())
        } else {
            self.text(out)
        }
    }

    fn json(&self) -> Value {
        let column = |column: Column| json!({ "paper": column.paper, "phone": column.phone, "tablet": column.tablet, "server": column.server });
        let (findings, tally) = (self.findings, self.tally);
        json!({
            "good": self.good(), "seed": self.seed,
            "sets": column(findings.sets), "workouts": column(findings.workouts), "exercises": column(findings.exercises),
            "lost": findings.lost, "doubled": findings.doubled, "overwritten": findings.overwritten,
            "unequal": findings.unequal, "unsent": findings.left, "wrong": findings.wrong,
            "kills": { "phone": tally.phone_kills, "server": tally.server_kills },
            "flights": tally.flights, "conflicts": tally.conflicts, "refused": tally.refused,
            "expired_tokens": tally.expired_tokens, "lost_refreshes": tally.lost_refreshes,
            "policies": self.settled.iter().map(|settled| json!({
                "policy": settled.policy, "collection": settled.collection, "as_the_rule_says": settled.good,
            })).collect::<Vec<_>>(),
            "faults": self.faults(), "requests": self.requests(), "retries": self.retries(),
            "seconds": self.took.as_secs_f64(),
            "kept": self.kept.map(|folder| folder.display().to_string()),
        })
    }

    fn text(&self, out: &mut Out) -> Result<(), Failure> {
        let (findings, tally) = (self.findings, self.tally);
        let row = |name: &str, column: Column| {
            let cells = [column.paper, column.phone, column.tablet, column.server];
            [
                name.to_owned(),
                cells[0].to_string(),
                cells[1].to_string(),
                cells[2].to_string(),
                cells[3].to_string(),
            ]
        };
        let rows = [
            row("sets", findings.sets),
            row("workouts", findings.workouts),
            row("exercises", findings.exercises),
        ];
        out.line("")?;
        out.table(["", "on paper", "phone", "tablet", "server"], &rows, "")?;
        out.line("")?;
        let faults: Vec<String> = self
            .faults()
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let pairs = [
            ("lost", findings.lost.to_string()),
            ("doubled", findings.doubled.to_string()),
            ("overwritten", findings.overwritten.to_string()),
            ("not equal", findings.unequal.to_string()),
            ("still unsent", findings.left.to_string()),
            (
                "kill -9",
                format!("phone {}, server {}", tally.phone_kills, tally.server_kills),
            ),
            ("flights", tally.flights.to_string()),
            ("faults", faults.join(", ")),
            ("refused, edited, sent", tally.refused.to_string()),
            ("conflicts resolved", tally.conflicts.to_string()),
            (
                "tokens expired",
                format!(
                    "{}, {} refresh answers lost",
                    tally.expired_tokens, tally.lost_refreshes
                ),
            ),
            (
                "requests",
                format!("{}, {} of them made again", self.requests(), self.retries()),
            ),
            ("time", format!("{:.1} s, seed {}", self.took.as_secs_f64(), self.seed)),
        ];
        out.pairs(&pairs)?;
        out.line("")?;
        for wrong in &findings.wrong {
            out.line(&format!("wrong: {wrong}"))?;
        }
        let rows: Vec<[String; 3]> = self
            .settled
            .iter()
            .map(|settled| {
                let stands = if settled.good { settled.why } else { "WRONG" };
                [settled.policy, settled.collection, stands].map(str::to_owned)
            })
            .collect();
        out.table(["policy", "collection", "one conflict of each"], &rows, "")?;
        out.line("")?;
        out.line(if self.good() {
            "Everything arrived once, and as it was written."
        } else {
            "That is not what was promised."
        })?;
        match self.kept {
            Some(folder) => out.line(&format!(
                "The files are in {}: server/server.db, phone.keepsync, tablet.keepsync, and what each process said in *.log.",
                folder.display()
            )),
            None => out.line("The files are gone; --keep DIR keeps them."),
        }
    }
}
