//! Limits of the system: open files, and computing time.

use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// Number of threads that can compute concurrently.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Raises the limit of open files, up to `most`; returns the limit.
pub(crate) fn open_files(most: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(most).min(most);
    let has = current.unwrap_or(most);
    if has >= wanted || setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_err() {
        return has;
    }
    wanted
}

/// Gives this thread the lowest priority: a twentieth of the time of a thread with [`lower_priority`].
pub(crate) fn lowest_priority() {
    // On other systems the value applies to the whole process.
    if cfg!(target_os = "linux") {
        let _ = nice(19);
    }
}

/// Gives this thread a low priority: a third of the time of other threads if they compete (`nice`, sched(7)).
pub(crate) fn lower_priority() {
    // If the system refuses, the thread keeps its priority.
    let _ = nice(5);
}
