//! What happened, line by line: hashed always, kept where it is wanted.

use std::{collections::VecDeque, fmt::Write as _};

/// Lines kept for the report of a violation.
const KEPT: usize = 80;

/// The lines of one story.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: u64,
    last: VecDeque<String>,
    print: bool,
}

impl Trace {
    /// `print` writes each line out as it happens.
    pub fn new(print: bool) -> Self {
        Self {
            print,
            ..Self::default()
        }
    }

    /// One line.
    pub fn line(&mut self, at_ms: u64, what: std::fmt::Arguments<'_>) {
        let mut line = if self.last.len() >= KEPT {
            self.last.pop_front().unwrap_or_default()
        } else {
            String::new()
        };
        line.clear();
        let (hours, rest) = (at_ms / 3_600_000, at_ms % 3_600_000);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{hours:3}:{:02}:{:06.3} {what}",
            rest / 60_000,
            (rest % 60_000) as f64 / 1_000.0
        );
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.hash = self.hash.rotate_left(5) ^ 0x9e37_79b9_7f4a_7c15;
        self.lines += 1;
        if self.print {
            print_line(&line);
        }
        self.last.push_back(line);
    }

    /// Equal for equal stories.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The last lines.
    pub fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}

#[allow(clippy::print_stdout, reason = "the trace that was asked for on the command line")]
fn print_line(line: &str) {
    println!("{line}");
}
