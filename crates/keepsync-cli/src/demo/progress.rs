//! What a person sees while it plays: a bar on a terminal, a line every tenth elsewhere.

use std::io::{IsTerminal as _, Write as _};

const WIDTH: usize = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Bar,
    Lines,
    Silent,
}

pub(super) struct Progress {
    manner: Manner,
    done: usize,
    total: usize,
    event: &'static str,
}

impl Progress {
    pub(super) fn new(total: usize, silent: bool) -> Self {
        let manner = match (silent, std::io::stdout().is_terminal()) {
            (true, _) => Manner::Silent,
            (false, true) => Manner::Bar,
            (false, false) => Manner::Lines,
        };
        Self {
            manner,
            done: 0,
            total,
            event: "",
        }
    }

    /// A line of its own.
    pub(super) fn line(&self, text: &str) {
        if self.manner != Manner::Silent {
            write(&format!("{text}\n"));
        }
    }

    pub(super) fn event(&mut self, event: &'static str) {
        self.event = event;
        self.bar();
    }

    /// One more set is on the phone.
    pub(super) fn set(&mut self) {
        let tenth = |done: usize| done * 10 / self.total.max(1);
        let (before, now) = (tenth(self.done), tenth(self.done + 1));
        self.done += 1;
        if self.manner == Manner::Lines && now > before {
            let (done, total) = (self.done, self.total);
            self.line(&format!("{:>3} %  {done} of {total} sets logged", now * 10));
        }
        self.bar();
    }

    fn bar(&self) {
        if self.manner == Manner::Bar {
            let full = WIDTH * self.done / self.total.max(1);
            let (hashes, dots) = ("#".repeat(full), ".".repeat(WIDTH - full));
            let (done, total, event) = (self.done, self.total, self.event);
            // Back to the line's start, and what was longer before is wiped out.
            write(&format!("\r[{hashes}{dots}] {done}/{total} sets  {event}\u{1b}[K"));
        }
    }

    /// Leaves the bar's line.
    pub(super) fn end(&self) {
        if self.manner == Manner::Bar {
            write("\r\u{1b}[K");
        }
    }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // A pipe that was closed is told of by the report.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
