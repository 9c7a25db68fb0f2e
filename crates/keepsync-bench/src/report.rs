//! What was found, and how it is shown.

use crate::measure::Pairs;
use serde_json::json;

/// What a finding is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// Nothing; it is there to be read.
    None,
    /// No more than this.
    AtMost(f64),
    /// This, and nothing else.
    Exactly(f64),
}

/// What the bar is laid on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// Ours to the yardstick's.
    Ratio,
    /// Ours less the yardstick's.
    Difference,
    /// Ours alone.
    Ours,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    what: &'static str,
    unit: &'static str,
    ours: f64,
    yardstick: f64,
    ratio: f64,
    compared: Compared,
    bar: Bar,
}

impl Finding {
    pub(crate) fn ratio(check: &'static str, what: &'static str, unit: &'static str, pairs: &Pairs, bar: Bar) -> Self {
        Self {
            check,
            what,
            unit,
            ours: pairs.ours(),
            yardstick: pairs.theirs(),
            ratio: pairs.ratio(),
            compared: Compared::Ratio,
            bar,
        }
    }

    /// The same side twice, on a large file and on a small one.
    pub(crate) fn growth(check: &'static str, what: &'static str, pairs: &Pairs, bar: Bar) -> Self {
        Self::ratio(check, what, "us CPU", pairs, bar)
    }

    pub(crate) fn difference(
        check: &'static str,
        what: &'static str,
        unit: &'static str,
        pairs: &Pairs,
        bar: Bar,
    ) -> Self {
        Self {
            compared: Compared::Difference,
            ..Self::ratio(check, what, unit, pairs, bar)
        }
    }

    pub(crate) fn plain(
        check: &'static str,
        what: &'static str,
        unit: &'static str,
        ours: f64,
        yardstick: f64,
        bar: Bar,
    ) -> Self {
        Self {
            check,
            what,
            unit,
            ours,
            yardstick,
            ratio: ours / yardstick,
            compared: Compared::Ours,
            bar,
        }
    }

    fn figure(&self) -> f64 {
        match self.compared {
            Compared::Ratio => self.ratio,
            Compared::Difference => self.ours - self.yardstick,
            Compared::Ours => self.ours,
        }
    }

    /// Whether the bar was met; `None` where there is none.
    pub(crate) fn ok(&self) -> Option<bool> {
        match self.bar {
            Bar::None => None,
            Bar::AtMost(most) => Some(self.figure() <= most),
            Bar::Exactly(number) => Some(self.figure() == number),
        }
    }

    fn bar_text(&self) -> String {
        let unit = match self.compared {
            Compared::Ratio => String::new(),
            Compared::Difference => format!(" {} more", self.unit),
            Compared::Ours => format!(" {}", self.unit),
        };
        match self.bar {
            Bar::None => String::new(),
            Bar::AtMost(most) => format!("<= {most}{unit}"),
            Bar::Exactly(number) => format!("= {number}{unit}"),
        }
    }

    /// One JSON object.
    pub(crate) fn json(&self) -> String {
        let compared = match self.compared {
            Compared::Ratio => "ratio",
            Compared::Difference => "difference",
            Compared::Ours => "ours",
        };
        let bar = match self.bar {
            Bar::None => None,
            Bar::AtMost(number) | Bar::Exactly(number) => Some(number),
        };
        json!({
            "check": self.check, "what": self.what, "unit": self.unit, "ours": self.ours,
            "yardstick": self.yardstick, "ratio": self.ratio, "compared": compared, "bar": bar, "ok": self.ok(),
        })
        .to_string()
    }
}

/// A plain table.
pub(crate) fn table(findings: &[Finding]) -> String {
    let head = ["check", "what", "ours", "yardstick", "unit", "ratio", "bar", "ok"].map(str::to_owned);
    let line = |finding: &Finding| {
        [
            finding.check.to_owned(),
            finding.what.to_owned(),
            format!("{:.2}", finding.ours),
            format!("{:.2}", finding.yardstick),
            finding.unit.to_owned(),
            format!("{:.2}", finding.ratio),
            finding.bar_text(),
            finding.ok().map_or("", |ok| if ok { "yes" } else { "NO" }).to_owned(),
        ]
    };
    let lines: Vec<[String; 8]> = std::iter::once(head).chain(findings.iter().map(line)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let numbers = [2, 3, 5];
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            if numbers.contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
