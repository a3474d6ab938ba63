//! The line of a valid contact: the members that later steps need are at its front.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{contact::Contact, email::EmailKey};
use kernel::{error::Error, json};

/// One line of the valid records. The contact stays unparsed until a step needs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactLine<'a> {
    /// The record's index in the batch, from zero.
    pub index: u64,
    /// The key of its address.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// Whether the contact opted in.
    pub opt_in: bool,
    /// The [`Contact`].
    #[serde(borrow)]
    pub contact: &'a RawValue,
}

impl<'a> ContactLine<'a> {
    /// Reads one line.
    pub fn parse(line: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| Error::BadInput(json::describe(&error)))
    }

    /// The contact.
    pub fn contact(&self) -> Result<Contact<'a>, Error> {
        serde_json::from_str(self.contact.get()).map_err(|error| Error::BadInput(json::describe(&error)))
    }

    /// Writes the line of a contact, without the line feed.
    pub fn write(index: u64, key: &EmailKey, contact: &Contact<'_>, to: &mut Vec<u8>) -> Result<(), Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Line<'a> {
            index: u64,
            key: &'a str,
            opt_in: bool,
            contact: &'a Contact<'a>,
        }
        let line = Line { index, key: key.as_str(), opt_in: contact.opt_in, contact };
        serde_json::to_writer(to, &line).map_err(|error| Error::BadInput(json::describe(&error)))
    }
}
