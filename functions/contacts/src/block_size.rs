//! How many contacts go to the store at once.

use kernel::store::Store;

/// How many bytes one block of contacts may have, in the records and in the store together.
pub(crate) const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;
/// How many contacts the first block has: the store's answer to it says how large a contact is.
const FIRST_BLOCK_CONTACTS: usize = 16;

/// How many contacts go to the store at once: as many as take [`MAX_BLOCK_BYTES`] where they are as large as those
/// before, and [`Store::block`] at the most. Keys are spread evenly, so those before are like those that follow.
#[derive(Debug)]
pub(crate) struct BlockSize {
    max: usize,
    contacts: usize,
    bytes: usize,
}

impl BlockSize {
    /// Nothing is known of the contacts.
    pub(crate) fn new(store: &impl Store) -> Self {
        Self { max: store.block(), contacts: 0, bytes: 0 }
    }

    /// How many the next block has.
    pub(crate) fn next(&self) -> usize {
        let mean = self.bytes.checked_div(self.contacts).unwrap_or(MAX_BLOCK_BYTES / FIRST_BLOCK_CONTACTS);
        (MAX_BLOCK_BYTES / mean.max(1)).clamp(1, self.max)
    }

    /// A block of so many contacts was of so many bytes.
    pub(crate) fn was(&mut self, contacts: usize, bytes: usize) {
        // The latest block counts half.
        self.contacts = self.contacts.midpoint(contacts);
        self.bytes = self.bytes.midpoint(bytes);
    }
}
