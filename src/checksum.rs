//! Floor 1. A checksum of bytes: it finds damage, and is no defence against somebody who wants to deceive.
//!
//! Words of 8 bytes are mixed one after the other by the round of xxHash64, `h = rotate(h + word * a, 31) * b`, which loses
//! nothing of either: two texts of one length that differ in one word never agree.
#![forbid(unsafe_code)]

/// The sum so far.
#[derive(Clone, Debug)]
pub(crate) struct Checksum {
    hash: u64,
    len: u64,
    /// The bytes behind the last whole word.
    rest: [u8; 8],
}

/// Odd numbers of many bits: the first two primes of xxHash64.
const A: u64 = 0xc2b2_ae3d_27d4_eb4f;
const B: u64 = 0x9e37_79b1_85eb_ca87;

impl Checksum {
    /// The sum of no bytes.
    pub(crate) fn new() -> Checksum {
        Checksum { hash: B, len: 0, rest: [0; 8] }
    }

    /// Adds `bytes`: however they are cut into pieces, the sum is the same.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        let held = (self.len % 8) as usize;
        self.len += bytes.len() as u64;
        if held > 0 {
            let (now, later) = bytes.split_at(bytes.len().min(8 - held));
            self.rest[held..][..now.len()].copy_from_slice(now);
            if held + now.len() < 8 {
                return;
            }
            self.mix(u64::from_le_bytes(self.rest));
            bytes = later;
        }
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        self.rest = [0; 8];
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    fn mix(&mut self, word: u64) {
        self.hash = self.hash.wrapping_add(word.wrapping_mul(A)).rotate_left(31).wrapping_mul(B);
    }

    /// The sum of all bytes added.
    pub(crate) fn sum(&self) -> u64 {
        let mut last = self.clone();
        last.mix(u64::from_le_bytes(self.rest));
        last.mix(self.len);
        // The words at the end spread over all bits.
        let hash = (last.hash ^ last.hash >> 32).wrapping_mul(A);
        hash ^ hash >> 29
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(pieces: &[&[u8]]) -> u64 {
        let mut checksum = Checksum::new();
        pieces.iter().for_each(|piece| checksum.add(piece));
        checksum.sum()
    }

    #[test]
    fn pieces_change_nothing() {
        let bytes: [u8; 61] = core::array::from_fn(|i| (i * 7) as u8);
        let whole = sum(&[&bytes]);
        for i in 0..bytes.len() {
            for j in i..bytes.len() {
                assert_eq!(sum(&[&bytes[..i], &bytes[i..j], &bytes[j..]]), whole, "{i}, {j}");
            }
        }
    }

    #[test]
    fn every_bit_and_every_length_counts() {
        let bytes = [0u8; 33];
        let mut seen: std::vec::Vec<u64> = (0..=bytes.len()).map(|len| sum(&[&bytes[..len]])).collect();
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            seen.push(sum(&[&bytes]));
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}
