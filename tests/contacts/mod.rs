//! Contacts: their listing, and their consent.

mod consent;
mod listing;
