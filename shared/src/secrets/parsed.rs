//! What was made of a secret, kept for as long as the same versions are handed out: reading a secret costs more than
//! using it, and a run uses it for every charge.
//!
//! Invariant: what is handed out was made of exactly the versions it is asked for; nothing outlives the next rotation.

use std::sync::{Arc, Mutex, PoisonError};

use super::{SecretVersions, SecretsError};

type Made<T> = Option<(Arc<SecretVersions>, Arc<T>)>;

/// The last thing made of a secret.
pub struct Parsed<T> {
    make: fn(&SecretVersions) -> Result<T, SecretsError>,
    last: Mutex<Made<T>>,
}

impl<T> Parsed<T> {
    #[must_use]
    pub fn new(make: fn(&SecretVersions) -> Result<T, SecretsError>) -> Parsed<T> {
        Parsed { make, last: Mutex::new(None) }
    }

    /// # Errors
    /// When the current version is malformed; that is tried again each time.
    pub fn of(&self, versions: &Arc<SecretVersions>) -> Result<Arc<T>, SecretsError> {
        // Whoever panicked in here had not changed anything.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, made)) = last.as_ref()
            && Arc::ptr_eq(of, versions)
        {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new((self.make)(versions)?);
        *last = Some((Arc::clone(versions), Arc::clone(&made)));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::testing::versions;
    use crate::secrets::{SecretName, formats};

    #[test]
    fn made_once_per_version() {
        let keys = Parsed::new(formats::data_keys);
        let key = |kid: &str| {
            Arc::new(versions(SecretName::DataKey, &format!(r#"{{"kid":"{kid}","key":"{}"}}"#, "ab".repeat(32)), None))
        };
        let (old, new) = (key("1"), key("2"));
        let made = keys.of(&old).unwrap();
        assert!(Arc::ptr_eq(&made, &keys.of(&old).unwrap()));
        assert_eq!(keys.of(&new).unwrap()[0].kid, "2");
        assert_eq!(keys.of(&old).unwrap()[0].kid, "1");
    }

    #[test]
    fn a_malformed_secret_is_neither_kept_nor_hides_the_last_good_one() {
        let keys = Parsed::new(formats::data_keys);
        let good =
            Arc::new(versions(SecretName::DataKey, &format!(r#"{{"kid":"1","key":"{}"}}"#, "ab".repeat(32)), None));
        let bad = Arc::new(versions(SecretName::DataKey, "{}", None));
        assert!(keys.of(&good).is_ok() && keys.of(&bad).is_err() && keys.of(&bad).is_err() && keys.of(&good).is_ok());
    }
}
