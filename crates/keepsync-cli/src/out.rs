//! What a command prints: JSON, one object a line, or text for people.

use crate::failure::Failure;
use serde::Serialize;
use std::io::{BufWriter, ErrorKind, Stdout, Write};

/// Standard output.
pub(crate) struct Out {
    pub(crate) json: bool,
    to: BufWriter<Stdout>,
}

fn cannot(problem: &std::io::Error) -> Failure {
    match problem.kind() {
        ErrorKind::BrokenPipe => Failure::unheard(),
        _ => Failure::new("output", format!("standard output: {problem}")),
    }
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            to: BufWriter::new(std::io::stdout()),
        }
    }

    /// One line, as it is.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.to, "{text}").map_err(|problem| cannot(&problem))
    }

    /// One object on a line.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|problem| Failure::new("internal", format!("a form cannot be written: {problem}")))?;
        self.line(&text)
    }

    /// Names and values below each other; the values are made harmless for a terminal.
    pub(crate) fn pairs(&mut self, pairs: &[(&str, String)]) -> Result<(), Failure> {
        let widest = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in pairs {
            self.line(format!("{name:widest$}  {}", plain(value)).trim_end())?;
        }
        Ok(())
    }

    /// Columns under their names, or `none` where there are no rows.
    pub(crate) fn table<const N: usize>(
        &mut self,
        names: [&str; N],
        rows: &[[String; N]],
        none: &str,
    ) -> Result<(), Failure> {
        if rows.is_empty() {
            return self.line(none);
        }
        let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
        let mut widths = names.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let head = names.map(str::to_uppercase);
        for row in std::iter::once(&head).chain(&rows) {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            self.line(cells.join("  ").trim_end())?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(|problem| cannot(&problem))
    }
}

/// Text from a record could steer a terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The beginning of a text that may be long.
pub(crate) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\td"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(short("Rückenübung", 6), "Rücke…");
        assert_eq!(short("kurz", 6), "kurz");
    }
}
