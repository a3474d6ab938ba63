//! Words of consent: the meaning of a text, and the refused records whose consent field is not understood.
//!
//! An opt-out that is not understood leaves a person opted in. So a word counts only if no reader could mistake it for
//! its opposite (`x`, `s` and `o` do not). A record with any other word is reported, not only quarantined.

use serde::Deserialize;
use serde_json::value::RawValue;
use unicode_normalization::UnicodeNormalization;

use kernel::{
    fault::{Fault, rule},
    raw_record::RawRecord,
};

/// The words for yes and the words for no, one line per language; in lower case, without spaces, hyphens and
/// underscores.
const WORDS: [(&[&str], &[&str]); 7] = [
    (
        &["true", "yes", "1", "1.0", "y", "t", "on", "subscribed", "optin", "optedin", "granted"],
        &[
            "false",
            "no",
            "0",
            "0.0",
            "n",
            "f",
            "off",
            "unsubscribe",
            "unsubscribed",
            "notsubscribed",
            "nonsubscribed",
            "neversubscribed",
            "optout",
            "optedout",
            "notoptedin",
            "denied",
            "withdrawn",
        ],
    ),
    // German.
    (&["ja", "j", "wahr", "angemeldet", "abonniert"], &["nein", "falsch", "abgemeldet", "widerrufen"]),
    // French; with accents and without.
    (
        &["oui", "vrai", "inscrit", "inscrite", "abonné", "abonnée", "abonne", "abonnee"],
        &[
            "non",
            "faux",
            "désinscrit",
            "désinscrite",
            "désabonné",
            "désabonnée",
            "desinscrit",
            "desinscrite",
            "desabonne",
            "desabonnee",
        ],
    ),
    // Spanish.
    (
        &["sí", "si", "verdadero", "suscrito", "suscrita"],
        &["falso", "baja", "dadodebaja", "dadadebaja", "nosuscrito", "nosuscrita"],
    ),
    // Italian.
    (&["sì", "vero", "iscritto", "iscritta"], &["disiscritto", "disiscritta", "noniscritto", "noniscritta"]),
    // Dutch.
    (&["waar", "aangemeld", "ingeschreven"], &["nee", "neen", "onwaar", "afgemeld", "uitgeschreven"]),
    // Portuguese.
    (
        &["sim", "verdadeiro", "inscrito", "inscrita", "subscrito", "subscrita"],
        &["não", "nao", "descadastrado", "descadastrada", "cancelado", "cancelada"],
    ),
];

/// The meaning of a consent text; `None`: it is not understood.
pub fn read(text: &str) -> Option<bool> {
    let text = text.trim();
    match text {
        "true" => return Some(true),
        "false" => return Some(false),
        _ => {}
    }
    let is_between = |c: char| c.is_whitespace() || matches!(c, '-' | '_' | '\u{2010}'..='\u{2015}');
    let word: String = text.nfc().flat_map(char::to_lowercase).filter(|&c| !is_between(c)).collect();
    WORDS.iter().find_map(|(yes, no)| match &*word {
        word if yes.contains(&word) => Some(true),
        word if no.contains(&word) => Some(false),
        _ => None,
    })
}

/// The fault of a CSV cell whose consent text is not understood.
pub fn unread_cell() -> Fault {
    Fault::new(
        "/optIn",
        rule::CONSENT,
        "says neither yes nor no: its column takes yes/no, true/false, 1/0, y/n, t/f, on/off, subscribed/unsubscribed, \
         opted in/opted out, and yes and no in German, French, Spanish, Italian, Dutch and Portuguese",
    )
}

/// Whether a refused record has a consent field that is not known to be a yes: the person may then stay opted in
/// against their word. A record without such a field changes nothing.
pub fn is_unread(record: &RawRecord<'_>) -> bool {
    let mut faults =
        record.faults.iter().filter(|fault| fault.pointer == "/optIn" && fault.rule != "required");
    let Some(fault) = faults.next() else { return false };
    fault.rule == rule::UNIQUE_NAMES || !record.record.is_some_and(says_yes_or_nothing)
}

fn says_yes_or_nothing(record: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "optIn", default)]
        opt_in: serde_json::Value,
    }
    match serde_json::from_str(record.get()) {
        Ok(Said { opt_in: serde_json::Value::Null }) => true,
        Ok(Said { opt_in: serde_json::Value::String(text) }) => {
            text.trim().is_empty() || read(&text) == Some(true)
        }
        Ok(Said { opt_in }) => opt_in.as_i64() == Some(1),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], said: Option<bool>) {
        for word in words {
            for text in [(*word).to_owned(), word.to_uppercase(), format!(" \t{word}\u{a0}")] {
                assert_eq!(read(&text), said, "{text}");
            }
        }
    }

    #[test]
    fn the_usual_words_are_understood() {
        check(
            &["yes", "true", "1", "y", "t", "on", "Subscribed", "opt-in", "Opted in", "opted_in"],
            Some(true),
        );
        check(
            &["no", "false", "0", "n", "f", "off", "Unsubscribed", "opt-out", "Opted out", "not subscribed"],
            Some(false),
        );
        check(
            &["ja", "oui", "sí", "si", "sì", "sim", "wahr", "vrai", "verdadero", "vero", "waar"],
            Some(true),
        );
        check(
            &["nein", "non", "nee", "não", "nao", "na\u{303}o", "falsch", "faux", "falso", "onwaar"],
            Some(false),
        );
        check(&["abgemeldet", "désabonné", "dado de baja", "disiscritto", "uitgeschreven"], Some(false));
    }

    #[test]
    fn ambiguous_words_are_not_understood() {
        check(
            &[
                "", "-", "x", "s", "o", "maybe", "pending", "cleaned", "null", "n/a", "2", "yes no", "✓",
                "✗", "?",
            ],
            None,
        );
    }

    #[test]
    fn no_word_means_both() {
        let all: Vec<&str> = WORDS.iter().flat_map(|(yes, no)| yes.iter().chain(*no)).copied().collect();
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|word| read(word).is_some()));
    }

    #[track_caller]
    fn check_record(record: &str, is_said: bool) {
        let raw: &RawValue = serde_json::from_str(record).unwrap();
        let faults = crate::contact::check(record).unwrap_err();
        assert_eq!(is_unread(&RawRecord { faults, ..RawRecord::json(0, 0, raw) }), is_said, "{record}");
    }

    #[test]
    fn possible_opt_outs_are_reported() {
        for opt_in in [r#""unsubscribed""#, r#""N""#, r#""false""#, r#""x""#, "0", "2", "[]", "{}"] {
            check_record(&format!(r#"{{"name":"A","email":"a@b.example","optIn":{opt_in}}}"#), true);
        }
        check_record(r#"{"name":"A","email":"a@b.example","optIn":true,"optIn":false}"#, true);
        for opt_in in [r#""yes""#, r#""true""#, r#""""#, "1", "null"] {
            check_record(&format!(r#"{{"name":"A","email":"a@b.example","optIn":{opt_in}}}"#), false);
        }
        check_record(r#"{"name":"A","email":"a@b.example"}"#, false);
        check_record(r#"{"name":"A","email":"a b.example","optIn":false}"#, false);
    }
}
