//! Contacts: their addresses, their consent, and the steps that store both.

mod block_size;
pub mod changes;
pub mod consent;
mod consent_time;
pub mod contact;
pub mod contact_line;
pub mod email;
pub mod export;
mod extra;
mod put_opt_ins;
pub mod query;
pub mod statement;
pub mod stored;
mod withdraw_opt_ins;

pub use put_opt_ins::put_opt_ins;
pub use withdraw_opt_ins::withdraw_opt_ins;
