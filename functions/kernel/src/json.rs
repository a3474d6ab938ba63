//! JSON in and out of functions: both hosts decode inputs and encode outputs here, so bad input fails by the same name
//! in both.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Visitor},
};

use crate::error::Error;

/// Reads a function's input. The error names line, column and the kind of fault, never a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::BadInput(describe(&error)))
}

/// Writes a function's output.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::BadInput(describe(&error)))
}

/// Reads a member that is present, even if it is `null`: a record may be `null`, and then it is not absent.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Whether a member equals the default that readers assume if it is absent.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Describes a JSON error without the value that `serde_json` may quote.
pub fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Syntax if error.to_string().starts_with("recursion limit") => "the JSON nests too deep",
        Category::Syntax if error.to_string().starts_with("number out of range") => {
            "a number is larger than can be read"
        }
        Category::Syntax => "this is not JSON",
        Category::Data => "the JSON does not have the expected shape",
        Category::Io => "the JSON could not be read",
    };
    format!("{what}, line {} column {}", error.line(), error.column())
}

/// A string, borrowed if its JSON has no escapes.
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(V)
    }
}
