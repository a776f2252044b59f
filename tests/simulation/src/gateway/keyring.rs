//! API keys and their rotation. The secret store offers the current and the previous version; the gateway accepts the
//! previous one for a while after a rotation.

pub struct Keyring {
    /// Number of the current version.
    current: u32,
    rotated_at: i64,
    /// How long the gateway accepts the previous key, milliseconds.
    grace: i64,
}

impl Keyring {
    #[must_use]
    pub fn new(grace: i64) -> Keyring {
        Keyring { current: 1, rotated_at: i64::MIN, grace }
    }

    pub fn rotate(&mut self, now: i64) {
        self.current += 1;
        self.rotated_at = now;
    }

    /// What our secret store offers, the current version first.
    #[must_use]
    pub fn offered(&self) -> Vec<String> {
        let previous = self.current.checked_sub(1).filter(|v| *v > 0);
        std::iter::once(self.current).chain(previous).map(name).collect()
    }

    #[must_use]
    pub fn accepts(&self, version: &str, now: i64) -> bool {
        let previous = self.current.checked_sub(1).map(name);
        version == name(self.current)
            || (previous.as_deref() == Some(version) && now < self.rotated_at.saturating_add(self.grace))
    }
}

fn name(version: u32) -> String {
    format!("v{version}")
}
