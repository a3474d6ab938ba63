//! The progress of a long command: a bar on a terminal, otherwise a line every few seconds.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// Interval of lines, if the standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(3);

/// The kind of work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Bytes of a file.
    Reading,
    /// Chunks of a batch.
    Processing,
}

/// The progress of one piece of work. Clones show the same.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    work: Work,
    length: u64,
    done: Arc<AtomicU64>,
    shown: Shown,
}

#[derive(Clone, Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines(Arc<Mutex<Instant>>),
    Nothing,
}

impl Progress {
    /// Starts to show progress, unless the command is quiet.
    pub(super) fn new(work: Work, length: u64, is_quiet: bool) -> Self {
        let shown = match work {
            _ if is_quiet => Shown::Nothing,
            _ if io::stderr().is_terminal() => Shown::Bar(bar(work, length)),
            _ => Shown::Lines(Arc::new(Mutex::new(Instant::now()))),
        };
        Self { work, length, done: Arc::default(), shown }
    }

    /// Adds finished work.
    pub(super) fn add(&self, more: u64) {
        self.set(self.done.load(Ordering::Relaxed) + more);
    }

    /// Sets the amount of finished work.
    pub(super) fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        match &self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Nothing => {}
            Shown::Lines(last) => {
                let Ok(mut last) = last.lock() else { return };
                if last.elapsed() >= LINE_INTERVAL {
                    *last = Instant::now();
                    super::note(&self.line(done));
                }
            }
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn line(&self, done: u64) -> String {
        match self.work {
            // The size of a pipe is not known.
            Work::Reading if done > self.length => format!("read {}", HumanBytes(done)),
            Work::Reading => format!("read {} of {}", HumanBytes(done), HumanBytes(self.length)),
            Work::Processing if self.length == 0 => "processing".to_owned(),
            Work::Processing => format!("processed {done} of {} chunks", self.length),
        }
    }
}

fn bar(work: Work, length: u64) -> ProgressBar {
    let template = match work {
        Work::Reading => "reading   {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}",
        Work::Processing => "processing {bar:40} {pos} of {len} chunks, {eta} to go",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}
