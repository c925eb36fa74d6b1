//! Numbers between JSON text and WIT, exactly: an integer never passes through a float.
//!
//! JavaScript reads integers beyond 2^53 as something else, so 64-bit integers are taken as
//! decimal strings as well. JSON has no word for what is no finite number; three strings
//! stand for it.

/// More digits than any integer of 64 bits has, leading zeros aside.
const DIGITS: usize = 38;

/// The integer that a JSON number stands for, however it is written: `7`, `7.0`, `70e-1`.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_end_matches('0');
    let trailing = all.len() - significant.len();
    let digits = significant.trim_start_matches('0');
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.is_empty() {
        return (!all.is_empty()).then_some(0);
    }
    // Zeros that follow the digits once the exponent is applied; less than none is a fraction.
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(i64::try_from(trailing).ok()?)?;
    let zeros = usize::try_from(zeros).ok()?;
    if digits.len().checked_add(zeros)? > DIGITS {
        return None;
    }
    let size: i128 = format!("{digits}{}", "0".repeat(zeros)).parse().ok()?;
    Some(if negative { -size } else { size })
}

/// The integer that a string of decimal digits stands for.
pub(super) fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// What stands for a number that is not finite.
pub(super) const NAN: &str = "NaN";
/// See [`NAN`].
pub(super) const INFINITY: &str = "Infinity";
/// See [`NAN`].
pub(super) const NEGATIVE_INFINITY: &str = "-Infinity";

/// The float that such a string stands for.
pub(super) fn not_finite(text: &str) -> Option<f64> {
    match text {
        NAN => Some(f64::NAN),
        INFINITY => Some(f64::INFINITY),
        NEGATIVE_INFINITY => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A JSON number that fits 64 bits; one too large is refused rather than made infinite.
pub(super) fn float64(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The same for 32 bits, rounded once.
pub(super) fn float32(text: &str) -> Option<f32> {
    text.parse().ok().filter(|number: &f32| number.is_finite())
}

/// The JSON of a 64-bit float: the shortest text that reads back as the same.
pub(super) fn write64(out: &mut Vec<u8>, number: f64) {
    if !write_special(out, number) {
        out.extend(format!("{number:?}").bytes());
    }
}

/// The same for 32 bits.
pub(super) fn write32(out: &mut Vec<u8>, number: f32) {
    if !write_special(out, f64::from(number)) {
        out.extend(format!("{number:?}").bytes());
    }
}

fn write_special(out: &mut Vec<u8>, number: f64) -> bool {
    let word = if number.is_nan() {
        NAN
    } else if number == f64::INFINITY {
        INFINITY
    } else if number == f64::NEG_INFINITY {
        NEGATIVE_INFINITY
    } else {
        return false;
    };
    out.push(b'"');
    out.extend(word.bytes());
    out.push(b'"');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_however_they_are_written() {
        let table = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0.000e99999999999999999999", Some(0)),
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("70e-1", Some(7)),
            ("0.7E+1", Some(7)),
            ("7.5", None),
            ("75e-1", None),
            ("1e2", Some(100)),
            ("100e-2", Some(1)),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("18446744073709551615.0", Some(u64::MAX.into())),
            ("1844674407370955161.5e1", Some(u64::MAX.into())),
            ("-9223372036854775808", Some(i64::MIN.into())),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("1e37", Some(10_i128.pow(37))),
            ("1e99", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("1e9223372036854775807", None),
            ("", None),
            ("-", None),
            ("x", None),
        ];
        for (text, expected) in table {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn decimal_strings_are_digits_only() {
        for text in ["", "-", "+1", " 1", "1.0", "1e2", "0x1", "١"] {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(decimal("-007"), Some(-7));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX.into()));
        assert_eq!(decimal(&"9".repeat(1_000)), None);
    }

    #[test]
    fn floats_are_written_as_json_that_reads_back_the_same() {
        for number in [0.0, -0.0, 0.1, 1.0, 1e300, f64::MIN_POSITIVE, f64::MAX, 5e-324] {
            let mut out = Vec::new();
            write64(&mut out, number);
            let text = String::from_utf8(out).unwrap();
            assert!(serde_json::from_str::<serde_json::Number>(&text).is_ok(), "{text}");
            assert_eq!(float64(&text).unwrap().to_bits(), number.to_bits(), "{text}");
        }
        let mut out = Vec::new();
        write32(&mut out, 0.1);
        assert_eq!(out, b"0.1");
        assert_eq!(float64("1e309"), None);
        assert_eq!(float32("1e39"), None);
    }
}
