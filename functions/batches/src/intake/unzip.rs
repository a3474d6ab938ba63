//! Gzip, detected by its first two bytes (RFC 1952), unpacked as it streams in.

use std::io::{Read, Write};

use flate2::{read, write::MultiGzDecoder};

use kernel::{error::Error, objects};

/// Size of the pieces in which input is unpacked. Gzip grows at most about a thousandfold, so a piece of a bomb needs
/// 16 MiB before the limit on unpacked bytes applies.
pub(super) const PIECE_BYTES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) enum Unzip {
    /// No input yet.
    #[default]
    Start,
    /// The first byte alone, which may be gzip's.
    First(Vec<u8>),
    /// Not gzip.
    Plain(Vec<u8>),
    /// Gzip.
    Packed(Box<MultiGzDecoder<Vec<u8>>>, Vec<u8>),
}

impl Unzip {
    /// The unpacked content of these bytes.
    pub(super) fn push<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        if let Self::Start | Self::First(_) = self {
            return self.begin(bytes);
        }
        self.continue_input(bytes)
    }

    /// The rest, at the end of the input.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Start | Self::Plain(_) => Ok(Vec::new()),
            Self::First(first) => Ok(std::mem::take(first)),
            Self::Packed(decoder, _) => {
                decoder.try_finish().map_err(|_| broken())?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    fn begin<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        let mut first = match std::mem::take(self) {
            Self::First(first) => first,
            _ => Vec::new(),
        };
        first.extend_from_slice(bytes);
        if first.len() < 2 {
            *self = Self::First(first);
            return Ok(&[]);
        }
        if objects::is_gzip(&first) {
            *self = Self::Packed(Box::new(MultiGzDecoder::new(Vec::new())), Vec::new());
            return self.unpack(&first);
        }
        *self = Self::Plain(first);
        match self {
            Self::Plain(first) => Ok(first),
            _ => Ok(&[]),
        }
    }

    fn continue_input<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        match self {
            Self::Packed(..) => self.unpack(bytes),
            Self::Plain(first) => {
                first.clear();
                Ok(bytes)
            }
            Self::Start | Self::First(_) => Ok(bytes),
        }
    }

    fn unpack(&mut self, bytes: &[u8]) -> Result<&[u8], Error> {
        let Self::Packed(decoder, plain) = self else {
            return Ok(&[]);
        };
        decoder.write_all(bytes).and_then(|()| decoder.flush()).map_err(|_| broken())?;
        plain.clear();
        std::mem::swap(plain, decoder.get_mut());
        Ok(plain)
    }
}

/// The content of a whole gzip, if it has at most `limit` bytes: a larger one is not unpacked to its end.
pub fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    let mut within = read::MultiGzDecoder::new(packed).take(limit as u64 + 1);
    let unpacked = within.read_to_end(&mut plain);
    if plain.len() > limit {
        return Err(Error::TooLarge("the input is larger, once unpacked, than is taken here".into()));
    }
    unpacked.map_err(|_| broken())?;
    Ok(plain)
}

fn broken() -> Error {
    Error::BadInput("the input is gzip that ends early or is damaged".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::objects::gzip;

    #[track_caller]
    fn check(packed: &[u8], limit: usize, expected: Result<usize, &str>) {
        let found = unpack(packed, limit);
        let found = found.map(|plain| {
            // The buffer grows by doubling.
            assert!(plain.capacity() <= 2 * limit + 64, "{} for {limit}", plain.capacity());
            plain.len()
        });
        assert_eq!(found.as_ref().map_err(Error::name), expected.as_ref().map_err(|name| *name));
    }

    #[test]
    fn unpacking_ends_at_the_limit() {
        let packed = gzip(&[b'x'; 1000]);
        check(&packed, 1000, Ok(1000));
        check(&packed, 999, Err("TooLarge"));
        check(&[&*packed, &packed].concat(), 2000, Ok(2000));
        check(&[&*packed, &packed].concat(), 1999, Err("TooLarge"));
        check(&packed[..packed.len() - 1], 1000, Err("BadInput"));
        check(&[&*packed, b"rest"].concat(), 1000, Err("BadInput"));
        // The unpacking of a bomb ends at the limit, before the rest of the input.
        let bomb = gzip(&vec![0; 64 << 20]);
        check(&bomb[..bomb.len() / 2], 500 << 10, Err("TooLarge"));
    }
}
