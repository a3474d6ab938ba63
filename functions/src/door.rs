//! The one door for JSON: both hosts decode what a function gets and encode what it gives here, so bad
//! input fails by the same name in both.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::Error;

/// Reads a function's input. The error names line, column and the kind of fault, never a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::BadInput(describe(&error)))
}

/// Writes a function's output.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::BadInput(describe(&error)))
}

/// What is wrong with some JSON, without the value that `serde_json` may quote.
pub fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Syntax if error.to_string().starts_with("recursion limit") => "the JSON nests too deep",
        Category::Syntax => "this is not JSON",
        Category::Data => "the JSON does not have the expected shape",
        Category::Io => "the JSON could not be read",
    };
    format!("{what}, line {} column {}", error.line(), error.column())
}
