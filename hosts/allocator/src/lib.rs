//! The allocator of the program: mimalloc, in its second version.
//!
//! By default mimalloc returns freed pages to the system after ten milliseconds, and the kernel fills each with zeros when
//! the program allocates it again. A batch frees and allocates the same amount many times a second, so a fifth of its
//! computing time went into that. This crate lets freed pages stay for longer.

use std::{ffi::c_long, time::Duration};

use libmimalloc_sys::mi_option_set;
pub use mimalloc::MiMalloc;

/// The option `mi_option_purge_delay` in `mimalloc.h` of version 2, for which `libmimalloc-sys` has no constant.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Lets freed pages stay with the program for this time, at millisecond precision, before they return to the system.
///
/// Call it once, before the program starts threads.
pub fn retain_freed_pages(delay: Duration) {
    let milliseconds = c_long::try_from(delay.as_millis()).unwrap_or(c_long::MAX);
    #[expect(unsafe_code, reason = "mimalloc has no safe function and no build setting for this option")]
    // SAFETY: the function writes one integer of a static table; the index is that of an existing option. It is not
    // thread safe, so the caller has no other threads yet.
    unsafe {
        mi_option_set(PURGE_DELAY, milliseconds);
    }
}
