//! Pass: hands its input on, or what its `Output` makes of it.

use super::Exit;
use crate::load::{Fields, Place};
use crate::query::Reach;
use crate::run::{Given, Step, Visit};

/// A Pass state.
#[derive(Debug)]
pub(crate) struct Pass {
    pub exit: Exit,
}

impl Pass {
    pub(crate) fn parse(fields: Fields<'_>, place: &Place<'_>) -> Option<Self> {
        let exit = Exit::parse(&fields, place, Reach::INPUT);
        fields.finish(&[]);
        Some(Self { exit: exit? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        visit.leave(&self.exit, "", Given::default())
    }
}
