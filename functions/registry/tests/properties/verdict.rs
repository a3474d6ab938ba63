//! The typed parser and the schema agree on every object (design, contract 4).

use std::collections::BTreeSet;

use contacts::{contact, email::EmailKey};
use proptest::prelude::*;
use serde_json::Value;

use crate::{addresses, quoted};

/// A field: its name as JSON, its value as JSON.
fn fields() -> impl Strategy<Value = (String, String)> {
    let names = prop::sample::select(vec![
        r#""name""#,
        r#""email""#,
        r#""optIn""#,
        r#""interests""#,
        r#""Email""#,
        r#""x""#,
        r#""""#,
        r#""n\u0061me""#,
    ]);
    (names.prop_map(ToOwned::to_owned), values())
}

fn values() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "true",
        "false",
        "null",
        "0",
        "-1.50",
        "1e400",
        "123456789012345678901234567890",
        "\"\"",
        "\"true\"",
        "[]",
        "{}",
        "[\"a\"]",
        "[\"a\",1]",
        "[\"\\u00e9\",\"\\\"\"]",
        "[[]]",
        "{\"a\":{\"a\":1}}",
        "{\"a\":1,\"a\":2}",
        "[ \"a\" , \"b\" ]",
    ]);
    prop_oneof![
        5 => odd.prop_map(ToOwned::to_owned),
        3 => addresses().prop_map(|address| quoted(&address)),
        1 => "\\PC{0,8}".prop_map(|text| quoted(&text)),
    ]
}

/// An object, mostly with all members that a contact needs.
fn objects() -> impl Strategy<Value = Vec<(String, String)>> {
    let needed = (addresses(), any::<bool>()).prop_map(|(email, opt_in)| {
        let field = |name: &str, value: String| (format!("\"{name}\""), value);
        vec![field("name", quoted("N")), field("email", quoted(&email)), field("optIn", opt_in.to_string())]
    });
    (prop::option::weighted(0.7, needed), prop::collection::vec(fields(), 0..5), any::<prop::sample::Index>())
        .prop_map(|(needed, more, at)| {
            let mut all = needed.unwrap_or_default();
            let at = at.index(all.len() + 1);
            all.splice(at..at, more);
            all
        })
}

fn text(fields: &[(String, String)], space: &str) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{space}{name}{space}:{space}{value}")).collect();
    format!("{{{}{space}}}", fields.join(","))
}

fn has_repeated_names(fields: &[(String, String)]) -> bool {
    let mut names: Vec<String> = fields.iter().map(|(name, _)| serde_json::from_str(name).unwrap()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    names.len() < all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn typed_parser_and_schema_agree(fields in objects(), space in prop::sample::select(vec!["", " ", "\n\t"])) {
        let record = text(&fields, space);
        // A number beyond a double is JSON, but no parser here reads it.
        let value: Value = match serde_json::from_str(&record) {
            Ok(value) => value,
            Err(_) => {
                prop_assert!(record.contains("1e400"));
                return Ok(());
            }
        };
        let is_address = value["email"].as_str().is_some_and(|email| EmailKey::parse(email).is_some());
        let expected = contact::schema_faults(&value).is_empty() && is_address && !has_repeated_names(&fields);
        match contact::check(&record) {
            Ok((contact, key)) => {
                prop_assert!(expected, "{record}");
                prop_assert_eq!(Some(key), EmailKey::parse(value["email"].as_str().unwrap()));
                prop_assert_eq!(&*contact.name, value["name"].as_str().unwrap());
                prop_assert_eq!(contact.opt_in, value["optIn"].as_bool().unwrap());
                // Null clears a field; it is not a value of it.
                let nulls = value.as_object().unwrap().iter().filter(|(_, value)| value.is_null());
                let nulls: BTreeSet<&str> = nulls.map(|(name, _)| &**name).collect();
                prop_assert_eq!(contact.cleared.iter().map(|name| &**name).collect::<BTreeSet<_>>(), nulls);
                let extra: serde_json::Map<String, Value> =
                    serde_json::from_str(contact.extra.as_deref().unwrap_or("{}")).unwrap();
                prop_assert!(extra.values().all(|value| !value.is_null()), "{record}");
                let named = 3 + usize::from(contact.interests.is_some());
                prop_assert_eq!(extra.len() + contact.cleared.len() + named, fields.len());
            }
            Err(faults) => {
                prop_assert!(!expected, "{record}: {faults:?}");
                prop_assert!(!faults.is_empty(), "{record}");
            }
        }
    }

    /// No record panics, and no fault quotes a word of its record.
    #[test]
    fn no_record_panics(record in "\\PC{0,40}|[{}\\[\\]\",:a-z0-9 ]{0,40}") {
        if let Err(faults) = contact::check(&record) {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn no_fault_holds_a_value(secret in "[A-Z]{12}", field in 0..4_usize) {
        let mut values = [quoted("N"), quoted("a@b.example"), "true".to_owned(), "[\"art\"]".to_owned()];
        values[field] = format!("{{\"{secret}\":\"{secret}\"}}");
        let [name, email, opt_in, interests] = values;
        let record =
            format!("{{\"name\":{name},\"email\":{email},\"optIn\":{opt_in},\"interests\":{interests},\"{secret}\":1,\"{secret}\":2}}");
        let faults = contact::check(&record).unwrap_err();
        prop_assert!(!format!("{faults:?}").contains(&secret), "{faults:?}");
    }
}
