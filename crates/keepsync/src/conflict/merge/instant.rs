//! Instants in bodies. Pure.

use serde_json::Value;
use std::time::UNIX_EPOCH;

/// Nanoseconds since 1970, of RFC 3339 text (with any offset, from 1970 on) or of a number of
/// milliseconds. `None` for anything else.
pub(super) fn instant(value: Option<&Value>) -> Option<i128> {
    match value? {
        Value::Number(number) => match number.as_i128() {
            Some(ms) => ms.checked_mul(1_000_000),
            None => number.as_f64().map(|ms| (ms * 1e6) as i128),
        },
        Value::String(text) => rfc_3339(text.trim()),
        _ => None,
    }
}

fn rfc_3339(text: &str) -> Option<i128> {
    let upper = text.to_ascii_uppercase();
    let (local, offset_s) = match upper.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let at = upper.len().checked_sub(6)?;
            let (local, offset) = upper.split_at_checked(at)?;
            (local, offset_seconds(offset)?)
        }
    };
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let since = i128::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()?;
    Some(since - i128::from(offset_s) * 1_000_000_000)
}

/// `+hh:mm` or `-hh:mm`.
fn offset_seconds(text: &str) -> Option<i64> {
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two = |digits: &str, most: i64| {
        let number: i64 = digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())??;
        (digits.len() == 2 && number <= most).then_some(number)
    };
    Some(sign * (two(hours, 23)? * 3_600 + two(minutes, 59)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_moment_is_read_from_every_form() {
        let noon = Some(1_763_640_000_000_000_000);
        for value in [
            json!("2025-11-20T12:00:00Z"),
            json!("2025-11-20t12:00:00z"),
            json!("2025-11-20T14:30:00+02:30"),
            json!("2025-11-20T04:00:00-08:00"),
            json!("2025-11-20T12:00:00.000+00:00"),
            json!(" 2025-11-20T12:00:00.000000Z "),
            json!(1_763_640_000_000i64),
            json!(1_763_640_000_000.0),
        ] {
            assert_eq!(instant(Some(&value)), noon, "{value}");
        }
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for value in [
            json!(null),
            json!(true),
            json!([1]),
            json!({}),
            json!(""),
            json!("yesterday"),
            json!("2025-11-20"),
            json!("2025-11-20T12:00:00"),
            json!("2025-11-20T12:00:00+2:30"),
            json!("2025-11-20T12:00:00*02:30"),
            json!("2025-11-20T12:00:00+02:99"),
            json!("2025-13-20T12:00:00Z"),
            json!("zwölf Uhr, ungefähr ööö"),
        ] {
            assert_eq!(instant(Some(&value)), None, "{value}");
        }
        assert_eq!(instant(None), None);
    }
}
