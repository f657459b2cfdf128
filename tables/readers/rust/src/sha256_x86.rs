//! SHA-256 by the instructions that x86 processors have for it, where there are any: several times as fast.

use core::arch::x86_64::*;

use crate::sha256::K;

/// The hash after these blocks; false, with nothing done, where the processor has no such instructions.
pub(crate) fn compress(h: &mut [u32; 8], blocks: &[[u8; 64]]) -> bool {
    let known = std::is_x86_feature_detected!("sha")
        && std::is_x86_feature_detected!("sse4.1")
        && std::is_x86_feature_detected!("ssse3");
    if known {
        // SAFETY: the processor has the instructions.
        unsafe { compress_by_instructions(h, blocks) };
    }
    known
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn compress_by_instructions(h: &mut [u32; 8], blocks: &[[u8; 64]]) {
    let order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203); // big endian
    let [a, b, c, d, e, f, g, last] = h.map(|word| word as i32);
    let (mut low, mut high) = (_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, last));
    for block in blocks {
        let before = (low, high);
        let mut w = [0, 1, 2, 3].map(|place| _mm_shuffle_epi8(load(&block[16 * place..]), order));
        for t in 0..16 {
            // four rounds; what was low is high after two of them, and so on
            let k = &K[4 * t..4 * t + 4];
            let k = _mm_set_epi32(k[3] as i32, k[2] as i32, k[1] as i32, k[0] as i32);
            let wk = _mm_add_epi32(w[0], k);
            high = _mm_sha256rnds2_epu32(high, low, wk);
            low = _mm_sha256rnds2_epu32(low, high, _mm_shuffle_epi32(wk, 14));
            let next = _mm_add_epi32(_mm_sha256msg1_epu32(w[0], w[1]), _mm_alignr_epi8(w[3], w[2], 4));
            w = [w[1], w[2], w[3], _mm_sha256msg2_epu32(next, w[3])];
        }
        (low, high) = (_mm_add_epi32(low, before.0), _mm_add_epi32(high, before.1));
    }
    let ([f, e, b, a], [last, g, d, c]) = (words(low), words(high));
    *h = [a, b, c, d, e, f, g, last];
}

#[target_feature(enable = "sse2")]
fn load(bytes: &[u8]) -> __m128i {
    let (low, high) = bytes[..16].split_at(8);
    let word = |half: &[u8]| i64::from_le_bytes(core::array::from_fn(|place| half[place]));
    _mm_set_epi64x(word(high), word(low))
}

#[target_feature(enable = "sse4.1")]
fn words(x: __m128i) -> [u32; 4] {
    let pick =
        [_mm_extract_epi32(x, 0), _mm_extract_epi32(x, 1), _mm_extract_epi32(x, 2), _mm_extract_epi32(x, 3)];
    pick.map(|word| word as u32)
}
