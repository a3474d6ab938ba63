//! What the system shares out: files that may be open, and time on its cores.

use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

/// How many threads can compute at once.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Lets the process open as many files as it may, up to `most`; gives how many those are.
pub(crate) fn open_files(most: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(most).min(most);
    let has = current.unwrap_or(most);
    if has >= wanted || setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_err() {
        return has;
    }
    wanted
}

/// Puts this thread behind all others: it gets a twentieth of what even those get that give way.
pub(crate) fn lowest_priority() {
    // Elsewhere it counts for the whole process.
    if cfg!(target_os = "linux") {
        let _ = nice(19);
    }
}

/// Puts this thread behind others: it gets a third of what they get where they compete (`nice`, sched(7)).
pub(crate) fn lower_priority() {
    // Where the system refuses, it competes as before.
    let _ = nice(5);
}
