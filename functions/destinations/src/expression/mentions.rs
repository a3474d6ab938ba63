//! The names after a `$` in an expression.

use std::collections::BTreeSet;

use jsonata_core::parser::{Lexer, Token};

use super::{ExpressionError, FUNCTIONS};

#[derive(Default)]
pub(super) struct Mentions {
    pub(super) all: BTreeSet<String>,
    /// The names that are called at least once.
    called: BTreeSet<String>,
    /// The names that occur at least once without a call: only there an expression can assign a value to a name.
    named: BTreeSet<String>,
}

impl Mentions {
    pub(super) fn read(source: &str) -> Result<Self, ExpressionError> {
        let mut lexer = Lexer::new(source.to_owned());
        let mut mentions = Self::default();
        let mut last: Option<String> = None;
        loop {
            let token = lexer.next_token().map_err(|error| ExpressionError::syntax(source, &error))?;
            if let Some(name) = last.take() {
                let calls = matches!(token, Token::LeftParen);
                (if calls { &mut mentions.called } else { &mut mentions.named }).insert(name);
            }
            match token {
                Token::Eof => return Ok(mentions),
                Token::Variable(name) => {
                    mentions.all.insert(name.clone());
                    last = Some(name);
                }
                _ => {}
            }
        }
    }

    /// A called function that neither the language nor the expression defines.
    pub(super) fn unknown(&self) -> Option<&str> {
        let mut called = self.called.difference(&self.named).map(String::as_str);
        called.find(|name| !FUNCTIONS.split(' ').any(|known| known == *name))
    }
}
