//! The whole state as one JSON file: read at start, written at the end.
use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{Core, CoreState, lock};
use crate::{stripe::StripeState, toss::TossState};

#[derive(Deserialize)]
struct Loaded {
    core: CoreState,
    #[serde(default)]
    toss: TossState,
    #[serde(default)]
    stripe: StripeState,
}

#[derive(Serialize)]
struct Saved<'a> {
    core: &'a CoreState,
    toss: &'a TossState,
    stripe: &'a StripeState,
}

impl Core {
    /// Replaces the state by what `path` holds. No file is an empty sandbox; a file that does not parse is an error.
    pub fn load(&self, path: &Path) -> io::Result<()> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(other) => return Err(other),
        };
        let loaded: Loaded = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        *self.state() = loaded.core;
        *lock(&self.toss) = loaded.toss;
        *lock(&self.stripe) = loaded.stripe;
        Ok(())
    }

    /// Writes the state beside `path` and renames it, so that a crash leaves the old file whole.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let bytes = {
            let toss = lock(&self.toss);
            let stripe = lock(&self.stripe);
            let core = self.state();
            serde_json::to_vec(&Saved { core: &core, toss: &toss, stripe: &stripe }).map_err(io::Error::other)?
        };
        let beside = path.with_extension("tmp");
        fs::write(&beside, bytes)?;
        fs::rename(&beside, path)
    }
}
