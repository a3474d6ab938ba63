//! A file that accepts numbered pieces in any order, and writes them in the order of their numbers.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

/// The file, and the pieces that wait for an earlier one: at most about one for each thread.
pub(super) struct Ordered(Mutex<State>);

struct State {
    file: File,
    next: usize,
    waiting: BTreeMap<usize, Vec<u8>>,
}

impl Ordered {
    pub(super) fn new(file: File) -> Self {
        Self(Mutex::new(State { file, next: 0, waiting: BTreeMap::new() }))
    }

    /// Adds piece `number`. The caller adds every number from zero exactly once. `bytes` is empty afterwards, for reuse.
    pub(super) fn put(&self, number: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let state = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if number != state.next {
            state.waiting.insert(number, std::mem::take(bytes));
            return Ok(());
        }
        state.file.write_all(bytes)?;
        bytes.clear();
        state.next += 1;
        while let Some(bytes) = state.waiting.remove(&state.next) {
            state.file.write_all(&bytes)?;
            state.next += 1;
        }
        Ok(())
    }

    pub(super) fn into_inner(self) -> io::Result<File> {
        Ok(self.0.into_inner().unwrap_or_else(PoisonError::into_inner).file)
    }
}
