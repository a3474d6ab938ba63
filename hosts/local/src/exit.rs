//! The failure of a command, with its exit code.

use std::{path::Path, process::ExitCode};

use kernel::{Error, store::StoreError};

/// A command's failure, and the exit code that it ends with.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    /// The command line, or a file that it names, is wrong: 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// The command failed: 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// Ctrl-C interrupted it: 130, as in shells.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self { code: 130, message: message.into() }
    }

    /// The reader closed the output: 0, without a message.
    pub(crate) fn silent() -> Self {
        Self { code: 0, message: String::new() }
    }

    /// The same failure with a further sentence.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }

    /// Whether a signal interrupted the command.
    pub(crate) fn is_interruption(&self) -> bool {
        self.code == 130
    }

    /// The reason why a file was refused, if it was.
    pub(crate) fn refusal(&self) -> Option<&str> {
        (self.code == 2).then_some(&self.message)
    }

    /// The same, of one file of several.
    pub(crate) fn of_file(self, path: &Path) -> Self {
        Self { message: format!("{}: {}", path.display(), self.message), ..self }
    }

    /// Several failures as one, with the gravest code; `None`: there are none.
    pub(crate) fn all(failures: Vec<Self>) -> Option<Self> {
        let code = failures.iter().map(|exit| exit.code).max()?;
        let messages: Vec<String> = failures.into_iter().map(|exit| exit.message).collect();
        Some(Self { code, message: messages.join("\ncrmflow: ") })
    }

    /// The reason, for an answer to another process.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// Prints the reason, and returns the code.
    #[expect(clippy::print_stderr, reason = "this is what a command says to a person")]
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("crmflow: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<Error> for Exit {
    fn from(error: Error) -> Self {
        match error {
            Error::BadInput(_) | Error::TooLarge(_) => Self::usage(error.to_string()),
            error => Self::failed(error.to_string()),
        }
    }
}

impl From<StoreError> for Exit {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}
