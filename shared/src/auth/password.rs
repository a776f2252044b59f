//! Passwords as argon2id PHC strings: made, and checked.

use argon2::password_hash::{Ident, PasswordHash, PasswordHasher, SaltString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordVerifier, Version};

/// OWASP's floor for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB_MIN: u32 = 19_456;
const PASSES_MIN: u32 = 2;
/// A hash that asks for more would be a way to stop the function.
const MEMORY_KIB_MAX: u32 = 131_072;
const PASSES_MAX: u32 = 10;

/// The stored hash is not argon2id or its cost is out of bounds; ours to fix, not the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored password hash is not acceptable")]
pub struct BadHash;

/// What a name nobody has is checked against, so that it costs the same. No password is behind it: the hash is all zeros.
pub const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes a new password. `salt` is fresh randomness.
///
/// # Errors
/// Never with our own cost; the library's type says it may.
pub fn hash(password: &str, salt: u128) -> Result<String, BadHash> {
    let params = Params::new(MEMORY_KIB_MIN, PASSES_MIN, 1, None).map_err(|_| BadHash)?;
    let salt = SaltString::encode_b64(&salt.to_be_bytes()).map_err(|_| BadHash)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    hasher.hash_password(password.as_bytes(), &salt).map(|hash| hash.to_string()).map_err(|_| BadHash)
}

/// Whether `password` is the one behind `phc`. Costs the same either way.
pub fn verify(password: &str, phc: &str) -> Result<bool, BadHash> {
    let hash = parsed(phc)?;
    Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Whether `phc` could be checked at all.
pub fn acceptable(phc: &str) -> Result<(), BadHash> {
    parsed(phc).map(|_| ())
}

fn parsed(phc: &str) -> Result<PasswordHash<'_>, BadHash> {
    let hash = PasswordHash::new(phc).map_err(|_| BadHash)?;
    let argon2id: Ident<'_> = ARGON2ID_IDENT;
    let params = Params::try_from(&hash).map_err(|_| BadHash)?;
    let affordable = (MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&params.m_cost())
        && (PASSES_MIN..=PASSES_MAX).contains(&params.t_cost());
    if hash.algorithm != argon2id || !affordable || hash.hash.is_none() {
        return Err(BadHash);
    }
    Ok(hash)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn hash_as(password: &str, algorithm: Algorithm, memory_kib: u32, passes: u32) -> String {
        let params = Params::new(memory_kib, passes, 1, None).unwrap();
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        let hasher = Argon2::new(algorithm, Version::V0x13, params);
        hasher.hash_password(password.as_bytes(), &salt).unwrap().to_string()
    }

    #[test]
    fn ours_verify_and_the_stand_in_never_does() {
        let phc = super::hash("correct horse", 7).unwrap();
        assert_eq!(verify("correct horse", &phc), Ok(true));
        assert_ne!(phc, super::hash("correct horse", 8).unwrap());
        for password in ["", "correct horse", "\0"] {
            assert_eq!(verify(password, NOBODY), Ok(false));
        }
    }

    #[test]
    fn the_right_password_only() {
        let phc = hash_as("correct horse", Algorithm::Argon2id, 19_456, 2);
        assert_eq!(verify("correct horse", &phc), Ok(true));
        assert_eq!(verify("correct horse ", &phc), Ok(false));
        assert_eq!(verify("", &phc), Ok(false));
    }

    #[test]
    fn weak_or_foreign_hashes_are_ours_to_fix() {
        for phc in [
            hash_as("p", Algorithm::Argon2i, 19_456, 2),
            hash_as("p", Algorithm::Argon2id, 8_192, 2),
            hash_as("p", Algorithm::Argon2id, 19_456, 1),
            "$2b$12$abcdefghijklmnopqrstuu".to_owned(),
            "plain".to_owned(),
            String::new(),
        ] {
            assert_eq!(verify("p", &phc), Err(BadHash), "{phc}");
        }
    }
}
