//! The argument types of JSONata's functions, as far as error messages need them: <https://docs.jsonata.org>.

/// One letter per argument: `a` array, `b` boolean, `f` function, `j` any JSON, `n` number, `o` object, `s`
/// text, `x` anything, `u` one of several types. An upper-case letter is an array of such items.
const SIGNATURES: [(&str, &str); 58] = [
    ("abs", "n"),
    ("append", "xx"),
    ("assert", "bs"),
    ("average", "N"),
    ("base64decode", "s"),
    ("base64encode", "s"),
    ("boolean", "x"),
    ("ceil", "n"),
    ("contains", "su"),
    ("count", "a"),
    ("decodeUrl", "s"),
    ("decodeUrlComponent", "s"),
    ("distinct", "x"),
    ("each", "of"),
    ("encodeUrl", "s"),
    ("encodeUrlComponent", "s"),
    ("error", "s"),
    ("exists", "x"),
    ("filter", "af"),
    ("floor", "n"),
    ("formatBase", "nn"),
    ("formatInteger", "ns"),
    ("formatNumber", "nso"),
    ("fromMillis", "nss"),
    ("join", "Ss"),
    ("keys", "x"),
    ("length", "s"),
    ("lookup", "xs"),
    ("lowercase", "s"),
    ("map", "af"),
    ("match", "sfn"),
    ("max", "N"),
    ("merge", "O"),
    ("min", "N"),
    ("not", "x"),
    ("number", "u"),
    ("pad", "sns"),
    ("parseInteger", "ss"),
    ("power", "nn"),
    ("reduce", "afj"),
    ("replace", "suun"),
    ("reverse", "a"),
    ("round", "nn"),
    ("shuffle", "a"),
    ("sift", "of"),
    ("single", "af"),
    ("sort", "af"),
    ("split", "sun"),
    ("spread", "x"),
    ("sqrt", "n"),
    ("string", "xb"),
    ("substring", "snn"),
    ("substringAfter", "ss"),
    ("substringBefore", "ss"),
    ("sum", "N"),
    ("toMillis", "ss"),
    ("trim", "s"),
    ("type", "x"),
];

fn types(name: &str) -> Option<&'static str> {
    SIGNATURES
        .iter()
        .find(|(known, _)| *known == name || (name == "uppercase" && *known == "lowercase"))
        .map(|(_, types)| *types)
}

/// Whether a function may refuse this argument, counted from one, for its own type or for that of its items.
pub(super) fn may_refuse(name: &str, argument: usize, for_items: bool) -> bool {
    let letter = types(name).and_then(|types| argument.checked_sub(1).and_then(|at| types.chars().nth(at)));
    letter.is_some_and(|letter| letter.is_ascii_uppercase() == for_items)
}

/// The required type of the items in the first argument.
pub(super) fn items(name: &str) -> Option<&'static str> {
    match types(name)?.chars().next()? {
        'N' => Some("numbers"),
        'S' => Some("strings"),
        'O' => Some("objects"),
        _ => None,
    }
}
