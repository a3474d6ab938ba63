//! Succeed: ends its flow well.

use crate::load::Fields;
use crate::machine::Transition;
use crate::query::Reach;
use crate::run::{Given, Step, Visit};
use crate::state::Exit;

/// A Succeed state.
#[derive(Debug)]
pub(crate) struct Succeed {
    exit: Exit,
}

impl Succeed {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let output = fields.template("Output", Reach::INPUT);
        fields.finish(&[]);
        Self { exit: Exit { to: Transition::End, output, assign: Vec::new() } }
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        visit.leave(&self.exit, "", Given::default())
    }
}
