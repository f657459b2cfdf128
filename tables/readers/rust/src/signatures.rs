//! Ed25519 signatures of tables, as PUBLISHING.md states them: who published this?
//!
//! ```text
//! signed bytes = "quotegrid table " and the 64 digits of the content hash            80 bytes
//! a signature's file = the public key, then the signature of RFC 8032           32 + 64 bytes
//! ```
//!
//! The arithmetic is left to a function of the program, written with a library of its choice.

use crate::refusals::SignatureError;
use crate::table::Table;

/// Bytes of a signature's file: a public key and what it made.
pub(crate) const SIGNATURE_BYTES: usize = 32 + 64;

/// What is signed.
pub type SignedBytes = [u8; 80];

/// What a program's own function says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is trusted and the signature fits the message.
    Fits,
    /// The key is trusted and the signature does not fit.
    Wrong,
    /// The key is not one of those that are trusted.
    UnknownKey,
}

impl<B: AsRef<[u8]>> Table<B> {
    /// What is signed for this table. It vouches for all of it if the table was read with `Check::All`.
    pub fn signed_bytes(&self) -> SignedBytes {
        let mut message =
            *b"quotegrid table ----------------------------------------------------------------";
        message[16..].copy_from_slice(self.content_hash().as_bytes());
        message
    }

    /// Refuse unless `content`, a signature's file, is a signature of this table.
    ///
    /// `verify` is given the public key, the signature and the signed bytes. Refused are signature-form,
    /// signature-key and signature-wrong.
    pub fn check_signature(
        &self,
        content: &[u8],
        verify: impl FnOnce(&[u8; 32], &[u8; 64], &SignedBytes) -> Verdict,
    ) -> Result<(), SignatureError> {
        let (Some((key, rest)), true) = (content.split_first_chunk(), content.len() == SIGNATURE_BYTES)
        else {
            return Err(SignatureError::SignatureForm);
        };
        let signature = rest.first_chunk().ok_or(SignatureError::SignatureForm)?;
        match verify(key, signature, &self.signed_bytes()) {
            Verdict::Fits => Ok(()),
            Verdict::Wrong => Err(SignatureError::SignatureWrong),
            Verdict::UnknownKey => Err(SignatureError::SignatureKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;
    use crate::{Check, SignatureError, Table};

    const TINY: &[u8] = include_bytes!("../examples/tiny.safetensors");

    #[test]
    fn a_signature_is_a_key_and_what_it_made_of_the_hash() {
        let table = Table::read(TINY, Check::All).unwrap();
        let message = table.signed_bytes();
        assert_eq!((&message[..16], &message[16..]), (&b"quotegrid table "[..], &TINY[57..121]));
        let mut content = [7; 96];
        content[..32].fill(3);
        let says = |verdict, content: &[u8]| {
            table.check_signature(content, |key, signature, signed| {
                assert_eq!((key, signature, signed), (&[3; 32], &[7; 64], &message));
                verdict
            })
        };
        assert_eq!(says(Verdict::Fits, &content), Ok(()));
        assert_eq!(says(Verdict::Wrong, &content), Err(SignatureError::SignatureWrong));
        assert_eq!(says(Verdict::UnknownKey, &content), Err(SignatureError::SignatureKey));
        for cut in [0, 31, 32, 95] {
            assert_eq!(says(Verdict::Fits, &content[..cut]), Err(SignatureError::SignatureForm));
        }
        let mut long = [7; 97];
        long[..32].fill(3);
        assert_eq!(says(Verdict::Fits, &long), Err(SignatureError::SignatureForm));
    }
}
