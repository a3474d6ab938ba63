//! DynamoDB's numbers: decimals of up to 38 digits, returned in one spelling.

/// The most digits that a number may have.
const MAX_DIGITS: usize = 38;
/// The exponents of the first digit that DynamoDB accepts.
const MAGNITUDES: std::ops::RangeInclusive<i64> = -130..=125;

/// The number without an exponent and without zeros that mean nothing. An error is DynamoDB's own text.
pub(super) fn canonical(text: &str) -> Result<String, String> {
    let no_number = || format!("The parameter cannot be converted to a numeric value: {text}");
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let exponent: i64 = exponent.parse().map_err(|_| no_number())?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_number());
    }
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Ok("0".to_owned());
    }
    // The position of the point, counted from the first digit that is no zero.
    let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let point = length(whole.len()).saturating_add(exponent).saturating_sub(length(leading));
    check(significant, point)?;
    Ok(format!("{sign}{}", plain(significant, point)))
}

fn check(significant: &str, point: i64) -> Result<(), String> {
    if significant.len() > MAX_DIGITS {
        return Err("Attempting to store more than 38 significant digits in a Number".to_owned());
    }
    let magnitude = point.saturating_sub(1);
    if magnitude > *MAGNITUDES.end() {
        return Err(
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
                .to_owned(),
        );
    }
    if magnitude < *MAGNITUDES.start() {
        return Err(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
                .to_owned(),
        );
    }
    Ok(())
}

fn plain(significant: &str, point: i64) -> String {
    match usize::try_from(point) {
        Ok(point) if point >= significant.len() => {
            format!("{significant}{}", "0".repeat(point - significant.len()))
        }
        Ok(point) if point > 0 => {
            let (whole, fraction) = significant.split_at(point);
            format!("{whole}.{fraction}")
        }
        _ => {
            let zeros = usize::try_from(point.unsigned_abs()).unwrap_or_default();
            format!("0.{}{significant}", "0".repeat(zeros))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_spelling() {
        let cases = [
            ("0", "0"),
            ("-0.00", "0"),
            ("1.0", "1"),
            ("007", "7"),
            ("+1.50", "1.5"),
            ("1e3", "1000"),
            ("12.5E-2", "0.125"),
            ("-0.00120", "-0.0012"),
            (".5", "0.5"),
            ("100", "100"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ];
        for (text, number) in cases {
            assert_eq!(canonical(text).as_deref(), Ok(number), "{text}");
        }
        for text in ["", "-", "1e", "x", "1.2.3", "0x1", "NaN", "1e999999999999999999999", "1e126", "1e-131"]
        {
            assert!(canonical(text).is_err(), "{text}");
        }
        assert!(canonical("123456789012345678901234567890123456789").is_err());
    }
}
