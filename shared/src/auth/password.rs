//! Password checks against argon2id PHC strings.

use argon2::password_hash::{Ident, PasswordHash};
use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordVerifier};

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

/// Whether `password` is the one behind `phc`. Costs the same either way.
pub fn verify(password: &str, phc: &str) -> Result<bool, BadHash> {
    let hash = PasswordHash::new(phc).map_err(|_| BadHash)?;
    let argon2id: Ident<'_> = ARGON2ID_IDENT;
    let params = Params::try_from(&hash).map_err(|_| BadHash)?;
    let affordable = (MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&params.m_cost())
        && (PASSES_MIN..=PASSES_MAX).contains(&params.t_cost());
    if hash.algorithm != argon2id || !affordable || hash.hash.is_none() {
        return Err(BadHash);
    }
    Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use argon2::password_hash::{PasswordHasher, SaltString};
    use argon2::{Algorithm, Version};

    pub fn hash(password: &str, algorithm: Algorithm, memory_kib: u32, passes: u32) -> String {
        let params = Params::new(memory_kib, passes, 1, None).unwrap();
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        let hasher = Argon2::new(algorithm, Version::V0x13, params);
        hasher.hash_password(password.as_bytes(), &salt).unwrap().to_string()
    }

    #[test]
    fn the_right_password_only() {
        let phc = hash("correct horse", Algorithm::Argon2id, 19_456, 2);
        assert_eq!(verify("correct horse", &phc), Ok(true));
        assert_eq!(verify("correct horse ", &phc), Ok(false));
        assert_eq!(verify("", &phc), Ok(false));
    }

    #[test]
    fn weak_or_foreign_hashes_are_ours_to_fix() {
        for phc in [
            hash("p", Algorithm::Argon2i, 19_456, 2),
            hash("p", Algorithm::Argon2id, 8_192, 2),
            hash("p", Algorithm::Argon2id, 19_456, 1),
            "$2b$12$abcdefghijklmnopqrstuu".to_owned(),
            "plain".to_owned(),
            String::new(),
        ] {
            assert_eq!(verify("p", &phc), Err(BadHash), "{phc}");
        }
    }
}
