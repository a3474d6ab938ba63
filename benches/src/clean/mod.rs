//! Reads a file of records; writes the opted-in ones, and the faults. It uses crmflow's check and keys without engine and
//! store. So it measures the flow without the parts that make it durable.
//!
//! The program reads the file twice. The first pass checks every record and finds the winner of each address. The second
//! pass copies the winners. Memory grows with the addresses, by about 25 bytes each, not with the records.

mod addresses;
mod blocks;
mod ordered;

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::Mutex,
    thread,
};

use contacts::contact;
use kernel::fault::Fault;
use serde::Serialize;

use crate::generate::Counts;
use addresses::{AddressBuffer, Addresses, Winners};
use blocks::{Block, Blocks};
use ordered::Ordered;

/// One line of the error file.
#[derive(Serialize)]
struct Refused<'a> {
    line: u64,
    record: &'a str,
    faults: &'a [Fault],
}

/// Copies the opted-in records of `input` unchanged and in order to `opt_ins`, and writes the refused ones with their
/// faults to `errors`.
pub fn clean(input: &Path, opt_ins: &Path, errors: &Path, threads: usize) -> io::Result<Counts> {
    let addresses = Addresses::default();
    let mut counts = Counts::default();
    let checked = on_every_block(input, errors, threads, || AddressBuffer::new(&addresses), check)?;
    for (received, invalid) in checked {
        counts.received += received;
        counts.invalid += invalid;
    }
    let winners = Winners::of(addresses, &mut counts);
    on_every_block(
        input,
        opt_ins,
        threads,
        || (),
        |(), block, out| {
            for (_, text) in block.lines().filter(|(line, _)| winners.has(*line)) {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            Ok(())
        },
    )?;
    Ok(counts)
}

/// Checks a block's records. Returns their number, and the number of refused ones.
fn check(buffer: &mut AddressBuffer<'_>, block: &Block, out: &mut Vec<u8>) -> io::Result<(u64, u64)> {
    let (mut received, mut invalid) = (0, 0);
    for (line, bytes) in block.lines() {
        received += 1;
        let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        match contact::check(&text) {
            Ok((contact, key)) => buffer.add(&key, line, contact.opt_in),
            Err(faults) => {
                invalid += 1;
                serde_json::to_writer(&mut *out, &Refused { line, record: &text, faults: &faults })?;
                out.push(b'\n');
            }
        }
    }
    Ok((received, invalid))
}

/// Calls `work` with every block of a file, on some threads, and writes the results to a file in input order.
fn on_every_block<T: Send, S>(
    input: &Path,
    output: &Path,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &Block, &mut Vec<u8>) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let blocks = Mutex::new(Blocks::new(File::open(input)?));
    let output = Ordered::new(File::create(output)?);
    let one = || -> io::Result<Vec<T>> {
        let (mut results, mut state) = (Vec::new(), state());
        let (mut block, mut out) = (Block::default(), Vec::new());
        loop {
            // A poisoned lock means that the other thread panicked; the scope passes that on.
            let more = blocks.lock().map_err(|_| io::ErrorKind::Other)?.next(&mut block)?;
            if !more {
                return Ok(results);
            }
            results.push(work(&mut state, &block, &mut out)?);
            output.put(block.number, &mut out)?;
        }
    };
    let results = thread::scope(|scope| {
        let running: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(one)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| io::Error::other("a thread panicked"))?)
            .collect::<io::Result<Vec<_>>>()
    })?;
    output.into_inner()?.flush()?;
    Ok(results.into_iter().flatten().collect())
}
