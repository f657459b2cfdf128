//! SHA-256 (FIPS 180-4), for the content hash (FORMAT.md §5).

pub(crate) const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

const FIRST: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

struct Sha256 {
    h: [u32; 8],
    block: [u8; 64],
    held: usize, // bytes in the block
    length: u64,
}

impl Sha256 {
    fn add(&mut self, mut data: &[u8]) {
        self.length += data.len() as u64;
        if self.held > 0 {
            let taken = data.len().min(64 - self.held);
            self.block[self.held..self.held + taken].copy_from_slice(&data[..taken]);
            self.held += taken;
            data = &data[taken..];
            if self.held < 64 {
                return;
            }
            compress(&mut self.h, &self.block);
            self.held = 0;
        }
        let (blocks, rest) = data.as_chunks();
        compress_all(&mut self.h, blocks);
        self.block[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    fn end(mut self) -> [u32; 8] {
        let bits = 8 * self.length;
        let mut zeros = [0; 64];
        zeros[0] = 0x80;
        let room = 63 - (self.held + 8) % 64; // zeros behind the first byte
        self.add(&zeros[..=room]);
        self.add(&bits.to_be_bytes());
        self.h
    }
}

fn compress_all(h: &mut [u32; 8], blocks: &[[u8; 64]]) {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if crate::sha256_x86::compress(h, blocks) {
        return;
    }
    blocks.iter().for_each(|block| compress(h, block));
}

fn compress(h: &mut [u32; 8], block: &[u8; 64]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for t in 16..64 {
        let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ w[t - 15] >> 3;
        let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut last] = *h;
    for t in 0..64 {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let chosen = (e & f) ^ (!e & g);
        let t1 = last.wrapping_add(s1).wrapping_add(chosen).wrapping_add(K[t]).wrapping_add(w[t]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (last, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    for (sum, more) in h.iter_mut().zip([a, b, c, d, e, f, g, last]) {
        *sum = sum.wrapping_add(more);
    }
}

/// The digits of the content hash of a file whose header has been read: with these digits set to 0.
pub(crate) fn content_hash(file: &[u8]) -> [u8; 64] {
    let mut sha = Sha256 { h: FIRST, block: [0; 64], held: 0, length: 0 };
    sha.add(&file[..57]);
    sha.add(&[b'0'; 64]);
    sha.add(&file[121..]);
    let h = sha.end();
    core::array::from_fn(|place| b"0123456789abcdef"[(h[place / 8] >> (28 - 4 * (place % 8)) & 15) as usize])
}

#[cfg(all(test, feature = "std", target_arch = "x86_64"))]
mod tests {
    use super::{compress, FIRST};
    use crate::sha256_x86;

    #[test]
    fn the_instructions_hash_as_the_words_of_the_standard() {
        let blocks: [[u8; 64]; 5] =
            core::array::from_fn(|block| core::array::from_fn(|place| (97 * block + 31 * place) as u8));
        let (mut plain, mut fast) = (FIRST, FIRST);
        blocks.iter().for_each(|block| compress(&mut plain, block));
        if sha256_x86::compress(&mut fast, &blocks) {
            assert_eq!(plain, fast);
        }
    }
}
