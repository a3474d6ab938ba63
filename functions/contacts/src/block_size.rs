//! How many contacts one store request has.

use kernel::store::Store;

/// Maximum size of one block of contacts, in the records and in the store together.
pub(crate) const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;
/// Size of the first block: the store's answer to it shows how large a contact is.
const FIRST_BLOCK_CONTACTS: usize = 16;

/// How many contacts one store request has: as many as fit into [`MAX_BLOCK_BYTES`] if they are as large as those
/// before, and [`Store::block`] at most. Keys are spread evenly, so contacts resemble those before them.
#[derive(Debug)]
pub(crate) struct BlockSize {
    max: usize,
    contacts: usize,
    bytes: usize,
}

impl BlockSize {
    /// The start: nothing is known of the contacts.
    pub(crate) fn new(store: &impl Store) -> Self {
        Self { max: store.block(), contacts: 0, bytes: 0 }
    }

    /// The size of the next block, in contacts.
    pub(crate) fn next(&self) -> usize {
        let mean = self.bytes.checked_div(self.contacts).unwrap_or(MAX_BLOCK_BYTES / FIRST_BLOCK_CONTACTS);
        (MAX_BLOCK_BYTES / mean.max(1)).clamp(1, self.max)
    }

    /// Records the size of a block.
    pub(crate) fn record(&mut self, contacts: usize, bytes: usize) {
        // The latest block counts half.
        self.contacts = self.contacts.midpoint(contacts);
        self.bytes = self.bytes.midpoint(bytes);
    }
}
