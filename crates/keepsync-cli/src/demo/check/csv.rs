//! Reads the log once more, with code of its own: a mistake in the reader that fed the phone must not
//! hide itself here.

/// Rows of fields, the header left out. RFC 4180: quoted fields may hold delimiters and line ends; two
/// quotes in them are one.
pub(super) fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows.retain(|row| row.iter().any(|field| !field.is_empty()));
    if !rows.is_empty() {
        rows.remove(0);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_delimiters_line_ends_and_quotes() {
        let text = "h,h\r\na,\"b,\n\"\"c\"\"\"\r\n\n\"\",ü";
        assert_eq!(rows(text), [["a", "b,\n\"c\""], ["", "ü"]]);
    }
}
