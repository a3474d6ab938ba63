//! CSV as crmflow writes it: RFC 4180 with line feeds, for spreadsheets and for programs.

use std::borrow::Cow;

/// Writes one row.
pub fn write_row<'a>(cells: impl IntoIterator<Item = Cow<'a, str>>, to: &mut Vec<u8>) {
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            to.push(b',');
        }
        write_cell(&cell, to);
    }
    to.push(b'\n');
}

fn write_cell(cell: &str, to: &mut Vec<u8>) {
    let needs_quotes = cell.contains([',', ';', '\t', '"', '\n', '\r'])
        || cell.starts_with(char::is_whitespace)
        || cell.ends_with(char::is_whitespace);
    if !needs_quotes {
        to.extend_from_slice(cell.as_bytes());
        return;
    }
    to.push(b'"');
    for byte in cell.bytes() {
        if byte == b'"' {
            to.push(b'"');
        }
        to.push(byte);
    }
    to.push(b'"');
}

/// Whether a spreadsheet would calculate with this cell instead of showing it. OWASP names the first characters:
/// <https://owasp.org/www-community/attacks/CSV_Injection>. A plain number with a sign (`+4917012345`, `-3.5`) is none:
/// a spreadsheet shows it as a number, as it does without the sign.
fn is_formula(cell: &str) -> bool {
    match cell.strip_prefix(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        None => false,
        Some(rest) => !(cell.starts_with(['+', '-']) && is_number(rest)),
    }
}

fn is_number(text: &str) -> bool {
    let mut parts = text.splitn(2, '.');
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.all(is_digits)
}

/// A cell that no spreadsheet calculates: a formula gets an apostrophe before it, as OWASP advises, and `guarded` counts
/// it.
pub fn guard<'a>(cell: Cow<'a, str>, guarded: &mut u64) -> Cow<'a, str> {
    if !is_formula(&cell) {
        return cell;
    }
    *guarded += 1;
    format!("'{cell}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_row(cells: &[&str], row: &str) {
        let mut out = Vec::new();
        write_row(cells.iter().map(|&cell| cell.into()), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), row);
    }

    #[test]
    fn a_row_is_quoted_where_it_must_be() {
        check_row(&["Ann", "", "true"], "Ann,,true\n");
        check_row(&["Meyer, Ann", "a;b", "5\" pipe"], "\"Meyer, Ann\",\"a;b\",\"5\"\" pipe\"\n");
        check_row(&["two\nlines", " blank", "é"], "\"two\nlines\",\" blank\",é\n");
    }

    #[test]
    fn cells_that_begin_a_formula_are_known() {
        for cell in
            ["=1+1", "+49 170 1", "+49-170", "-2+3", "@SUM(A1)", "\t=1", "+", "-", "-.", "+1.2.3", "＝1"]
        {
            assert!(is_formula(cell), "{cell:?}");
        }
        for cell in ["", "Ann", "1-2", "+491701", "-3.5", "a=b", "'=1", "ann@example.com", "{\"a\":1}"] {
            assert!(!is_formula(cell), "{cell:?}");
        }
    }
}
