//! CRC-64/NVME: the only checksum that `object_store` uses of the crate of this name.
//!
//! The original crate selects a checksum at run time, so the linker includes the tables of all. They need 0.6 MB in each
//! function's zip (B12), which is loaded at every cold start. `object_store` sends this checksum to S3 only if it is
//! configured to, and crmflow does not configure it. The checksum is correct all the same.

/// The generator of CRC-64/NVME, its bits reversed.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// The change of the remainder by each byte.
static TABLE: [u64; 256] = table();

/// The checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// The default checksum of S3.
    Crc64Nvme,
}

/// A checksum of bytes that arrive in pieces.
#[derive(Clone, Debug)]
pub struct Digest(u64);

impl Digest {
    /// Of no bytes yet.
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        match algorithm {
            CrcAlgorithm::Crc64Nvme => Self(u64::MAX),
        }
    }

    /// With these bytes behind those before.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [lowest, ..] = self.0.to_le_bytes();
            self.0 = TABLE[usize::from(lowest ^ byte)] ^ (self.0 >> 8);
        }
    }

    /// The checksum of all of them.
    pub fn finalize(&self) -> u64 {
        !self.0
    }
}

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut remainder = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            let carry = remainder & 1;
            remainder = (remainder >> 1) ^ (POLYNOMIAL * carry);
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], checksum: u64) {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        pieces.iter().for_each(|piece| digest.update(piece));
        assert_eq!(digest.finalize(), checksum, "{pieces:?}");
    }

    #[test]
    fn the_checksums_are_those_of_the_nvme_specification() {
        check(&[], 0);
        // The check value of the catalogue of parametrised CRC algorithms.
        check(&[b"123456789"], 0xae8b_1486_0a79_9888);
        check(&[b"1234", b"", b"56789"], 0xae8b_1486_0a79_9888);
        check(&[&[0; 4096]], 0x6482_d367_eb22_b64e);
        check(&[&[0xff; 4096]], 0xc0dd_ba73_02ec_a3ac);
    }
}
